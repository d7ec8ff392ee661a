"""What a controller may not answer, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model import Plan
from engine.runtime.ask import blaming, decide
from engine.runtime.errors import ControllerError


class Answers:
    """A controller with one answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def step(self, observation: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def snapshot(self) -> str:
        return ""

    def restore(self, text: str) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (KeyError("api"), "controller mine raised KeyError('api') at noon"),
        (None, "controller mine returned NoneType, not a Plan"),
        (Plan(actions=None), "controller mine: actions of its plan are no tuple"),  # type: ignore[arg-type]
        (Plan(actions=(3,)), "controller mine: 3 is no Action"),  # type: ignore[arg-type]
        (
            Plan(actions=(), awaiting=("x",)),  # type: ignore[arg-type]
            "controller mine: 'x' is no Action",
        ),
    ],
)
def test_nonsense_is_reported_with_the_name_of_who_said_it(answer: Any, said: str) -> None:
    with pytest.raises(ControllerError) as error:
        decide(Answers(answer), None, {}, "at noon", name="mine")  # type: ignore[arg-type]
    assert str(error.value) == said


def test_without_a_name_the_class_is_named() -> None:
    with pytest.raises(ControllerError, match="controller Answers returned int"):
        decide(Answers(1), None, {}, "at noon")  # type: ignore[arg-type]


def test_a_memory_that_cannot_be_read_is_the_controllers_fault() -> None:
    with pytest.raises(ControllerError, match="controller mine raised"), blaming("mine", "now"):
        raise ValueError("no such snapshot")
