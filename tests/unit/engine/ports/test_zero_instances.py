"""An infrastructure that cannot go to zero, or hold instances warm, says so beforehand."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from engine.model import WarmOffer
from engine.ports.infrastructure import connect
from tests.unit.engine.conftest import make_spec


def adapter(**attributes: object) -> SimpleNamespace:
    return SimpleNamespace(observe=print, apply=print, close=print, **attributes)


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def made(one: SimpleNamespace) -> str:
        monkeypatch.setitem(
            sys.modules,
            "an_adapter",
            SimpleNamespace(connect=lambda _specs: one),  # type: ignore[arg-type]
        )
        return "an_adapter:connect"

    return made


@pytest.mark.parametrize("attributes", [{}, {"scales_to_zero": False}, {"scales_to_zero": "yes"}])
def test_a_minimum_of_zero_is_refused_where_nobody_would_wait(factory, attributes) -> None:  # type: ignore[no-untyped-def]
    specs = (make_spec("api"), make_spec("jobs", min_instances=0))
    with pytest.raises(ValueError, match=r"^platform.services.jobs.min_instances: 0 is not") as no:
        connect(factory(adapter(**attributes)), specs, {})
    assert "an_adapter:connect, which does not say (scales_to_zero = True)" in str(no.value)


def test_it_is_taken_where_requests_wait_and_other_minimums_everywhere(factory) -> None:  # type: ignore[no-untyped-def]
    asleep = adapter(scales_to_zero=True)
    assert connect(factory(asleep), (make_spec(min_instances=0),), {}) is asleep
    awake = adapter()
    assert connect(factory(awake), (make_spec(min_instances=1),), {}) is awake


@pytest.mark.parametrize("attributes", [{}, {"holds_warm": False}, {"holds_warm": "yes"}])
def test_warm_instances_are_refused_where_none_can_be_held(factory, attributes) -> None:  # type: ignore[no-untyped-def]
    specs = (make_spec("api"), make_spec("database", warm=WarmOffer(0.15, 0.1, 20)))
    with pytest.raises(ValueError, match=r"^platform.services.database.warm: is not") as no:
        connect(factory(adapter(**attributes)), specs, {})
    assert "an_adapter:connect, which does not say (holds_warm = True)" in str(no.value)


def test_they_are_taken_where_they_can(factory) -> None:  # type: ignore[no-untyped-def]
    holds = adapter(holds_warm=True)
    assert connect(factory(holds), (make_spec(warm=WarmOffer(0.15, 0.1, 20)),), {}) is holds
