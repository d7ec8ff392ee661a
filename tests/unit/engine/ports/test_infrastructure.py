"""Adapters are found by the configuration; what is wrong there is named."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import numpy as np
import pytest

from engine.model import VowLocks
from engine.ports.infrastructure import Counts, Sighting, connect, seen_there


class Nothing:
    """An infrastructure without a single instance."""

    def __init__(self, specs: object, zones: int = 1) -> None:
        self.zones = zones

    def observe(self) -> Sighting:
        return Sighting({"api": Counts(0, 0, 0, 0)})

    def apply(self, actions: object) -> tuple[()]:
        return ()

    def close(self) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module name under which this file's classes are found."""
    module = types.ModuleType("adapters_of_the_test")
    module.Nothing = Nothing  # type: ignore[attr-defined]
    module.blind = lambda _: object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_the_factory_gets_the_options(here: str) -> None:
    made = connect(f"{here}:Nothing", (), {"zones": 3})
    assert isinstance(made, Nothing)
    assert made.zones == 3


@pytest.mark.parametrize(
    ("factory", "options", "said"),
    [
        ("no.such.module:connect", {}, "infrastructure.factory: no.such.module:connect cannot be"),
        ("engine.model:connect", {}, "infrastructure.factory: engine.model:connect cannot be"),
        ("engine.model", {}, "infrastructure.factory: engine.model cannot be loaded"),
        (
            "{here}:Nothing",
            {"zone": 3},
            "infrastructure.options.zone: unknown key; did",
        ),
        ("{here}:blind", {}, "{here}:blind makes something of type object, which has no observe()"),
    ],
)
def test_what_is_wrong_is_named(
    here: str, factory: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(said.format(here=here))):
        connect(factory.format(here=here), (), options)


def carrying(since: Any, until: Any, *, waits: Any = False) -> VowLocks:
    return VowLocks(np.array(since), np.array(until), waits)


def test_an_infrastructure_tells_of_ceremonies_or_cannot() -> None:
    counts = {"api": Counts(2, 2, 0, 0)}
    assert seen_there(Sighting(counts), ["api"]).locks == {}
    shown = {"api": carrying([1.0, 2.0], [np.inf, 3.0])}
    assert seen_there(Sighting(counts, locks=shown), ["api"]).locks is shown
    assert seen_there(Sighting(counts, locks={"api": carrying([], [])}), ["api"])


@pytest.mark.parametrize(
    "lie",
    [
        None,
        [],
        {"api": None},
        {"api": 3},
        {"other": carrying([1.0], [2.0])},
        {"api": carrying([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])},  # two are ready
        {"api": carrying([1.0], [2.0, 3.0])},
        {"api": carrying([1, 2], [3, 4])},
        {"api": carrying([np.nan], [2.0])},
        {"api": carrying([1.0], [np.nan])},
        {"api": carrying(1.0, 2.0)},
        {"api": carrying([[1.0]], [[2.0]])},
        {"api": carrying([1.0], [2.0], waits=1)},
        {"api": VowLocks([1.0], [2.0])},  # type: ignore[arg-type]
    ],
)
def test_nothing_is_believed_of_ceremonies_that_cannot_be(lie: Any) -> None:
    sighting = Sighting({"api": Counts(2, 2, 0, 0)}, locks=lie)
    with pytest.raises(ValueError, match="are no vow locks"):
        seen_there(sighting, ["api"])
