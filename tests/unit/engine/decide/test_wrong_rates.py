"""A request rate that is wrong by any factor, played against the engine for half an hour."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from engine import Autoscaler
from engine.settings import EngineSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

STEADY = 20
"""Instances for 1000 requests a second."""


BEGIN_S = 600.0


@cache
def counts(
    factor: float = 1.0, length_s: float = 0.0, *, load: float = 1000.0, cpu: bool = True
) -> tuple[int, ...]:
    """Instances at each step of 15 s for half an hour, the rate wrong by `factor` for `length_s`.

    With `cpu` the busy slots say what they really hold, without it they are not measured.
    """
    engine, count = Autoscaler(EngineSettings()), math.ceil(STEADY * load / 1000.0)
    course = []
    spec, outlook = make_spec(user_facing=True), make_outlook(load)
    for k in range(120):
        now_s = NOW_S + 15.0 * k
        busy = load / (100.0 * count) if cpu else math.nan
        window = make_window(now_s, cpu=busy, rate=load, p95_s=0.2, samples=5)
        since_s = window["time_s"] - NOW_S - BEGIN_S
        window["request_rate"] *= np.where((since_s > 0.0) & (since_s <= length_s), factor, 1.0)
        service = make_service(spec, desired=count, window=window)
        for action in engine.step(observe(service, now_s=now_s, outlook=outlook)).actions:
            count = action.to_instances
        course.append(count)
    return tuple(course)


@pytest.mark.parametrize("factor", [3.0, 1e3, 1e12, math.inf, math.nan, -1.0, 0.5, 0.1, 1e-6, 0.0])
@pytest.mark.parametrize("length_s", [10.0, 60.0, 600.0])
def test_a_rate_that_the_busy_slots_contradict_changes_nothing(
    factor: float, length_s: float
) -> None:
    assert counts(factor, length_s) == counts()


@pytest.mark.parametrize("factor", [2.0, 1e3])
def test_where_nothing_contradicts_it_a_rate_too_high_for_a_minute_costs_one_step(
    factor: float,
) -> None:
    right, wrong = counts(cpu=False), counts(factor, 60.0, cpu=False)
    assert max(right) < max(wrong) <= 1.5 * max(right)
    assert wrong[-1] <= 1.1 * right[-1]


@pytest.mark.parametrize("factor", [0.5, 0.1, 1e-6])
@pytest.mark.parametrize("length_s", [10.0, 60.0, 600.0])
def test_where_nothing_contradicts_it_a_fall_buys_nothing(factor: float, length_s: float) -> None:
    assert max(counts(factor, length_s, cpu=False)) == max(counts(cpu=False))


@pytest.mark.parametrize("load", [100.0, 20_000.0])
def test_small_and_large_services_fare_alike(load: float) -> None:
    assert max(counts(1e6, 60.0, load=load, cpu=False)) <= 1.5 * max(counts(load=load))
    assert counts(1e6, 60.0, load=load) == counts(load=load)


def test_a_crowd_that_fills_the_slots_is_believed() -> None:
    """Six times as many, and the busy slots say so too."""
    engine, spec, outlook = (
        Autoscaler(EngineSettings()),
        make_spec(user_facing=True),
        make_outlook(),
    )
    service = make_service(spec, window=make_window(cpu=1.0, rate=3000.0, p95_s=2.0, queue=900.0))
    engine.step(observe(service, outlook=outlook))
    assert engine.memory.services["api"].response.surge > 0.5
