"""Adapters are found by the configuration; what is wrong there is named."""

from __future__ import annotations

import re
import sys
import types
from typing import Any

import pytest

from engine.ports.infrastructure import Counts, Sighting, connect


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
