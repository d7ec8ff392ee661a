"""Whatever part of the figures is measured: what works then (docs/guides/bad-metrics.md)."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from engine import Autoscaler
from engine.decide.figures import WORDS
from engine.model import Category, Plan
from engine.settings import EngineSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

PAGE = Path(__file__).parents[4] / "docs" / "guides" / "bad-metrics.md"
FIGURES = tuple(WORDS)
SUBSETS = [
    there
    for count in range(len(FIGURES), -1, -1)
    for there in itertools.combinations(FIGURES, count)
]
YES, NO = "yes", "–"
CALM = {"cpu": 0.05, "memory": 0.3, "rate": 200.0, "p95_s": 0.1}
CROWD = {"cpu": 1.0, "memory": 0.3, "rate": 2000.0, "p95_s": 3.0, "error_rate": 0.1, "queue": 5e3}
HEAD = [*WORDS.values(), "scale-in", "emergency", "slowness learned", "forecast corrected"]


def looked_at(there: tuple[str, ...], desired: int, **figures: float) -> tuple[Plan, Autoscaler]:
    """The first plan for ten slots an instance and 100 requests a second."""
    window = make_window(**figures)
    for name in FIGURES:
        if name not in there:
            window[name] = math.nan
    engine = Autoscaler(EngineSettings())
    service = make_service(make_spec(user_facing=True), desired=desired, window=window)
    return engine.step(observe(service, outlook=make_outlook(200.0))), engine


def what_works(there: tuple[str, ...]) -> list[str]:
    calm, settled = looked_at(there, 40, **CALM)
    crowd, _ = looked_at(there, 8, **CROWD)
    _, slow = looked_at(there, 10, cpu=0.9, rate=300.0)
    works = (
        any(action.to_instances < 40 for action in calm.actions),
        any(action.category is Category.EMERGENCY for action in crowd.actions),
        slow.memory.services["api"].slowdown > 1.0,
        settled.memory.services["api"].response.updated_s > 0.0,
    )
    return [YES if name in there else NO for name in FIGURES] + [YES if w else NO for w in works]


def table() -> list[str]:
    rows = [HEAD, ["---"] * len(HEAD), *map(what_works, SUBSETS)]
    return [f"| {' | '.join(row)} |" for row in rows]


def test_the_page_says_for_each_subset_of_the_figures_what_works() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index(table()[0])
    assert lines[begin : begin + len(SUBSETS) + 2] == table()


@pytest.mark.parametrize("there", SUBSETS)
def test_what_nobody_measures_is_no_reason_for_anything(there: tuple[str, ...]) -> None:
    plan, _ = looked_at(there, 40, **CALM)
    absent = [WORDS[name] for name in FIGURES if name not in there]
    if {"cpu", "request_rate", "p95_s"} & set(there):
        (action,) = plan.actions
        assert action.to_instances == 28  # one step of 30 %
        explanation = action.explanation
        assert ("nobody measures its" in explanation) is bool(absent)
        assert all(words in explanation for words in absent)
    else:
        assert plan.actions == ()
        assert [declined.why for declined in plan.declined] == [
            "no scale-in without any of cpu, request rate and p95"
        ]


@pytest.mark.parametrize("lost", FIGURES)
def test_what_was_there_and_is_lost_holds_the_scale_in_until_it_is_back(lost: str) -> None:
    engine = Autoscaler(EngineSettings())

    def step(now_s: float, *, missing: bool) -> Plan:
        seen = make_window(now_s, **(CALM | ({} if missing else {"cpu": 0.7})))
        if missing:
            seen[lost] = math.nan
        service = make_service(desired=40, window=seen)
        return engine.step(observe(service, now_s=now_s, outlook=make_outlook(200.0)))

    assert step(NOW_S, missing=False).actions == ()
    again = Autoscaler(EngineSettings())
    again.restore(engine.snapshot())
    engine = again  # a restart does not forget what there was
    plan = step(NOW_S + 600.0, missing=True)
    assert plan.actions == ()
    assert f"no scale-in after the loss of {WORDS[lost]}" in [d.why for d in plan.declined]
    # an hour later, once what follows a sleep is over
    moved = [step(NOW_S + 3600.0 + 15.0 * k, missing=True).actions for k in range(22)]
    assert moved[0] == ()
    assert any(moved)


def test_an_idle_service_has_no_response_time_and_is_taken_in_all_the_same() -> None:
    engine, desired = Autoscaler(EngineSettings()), 40
    for cycle in range(240):
        now_s = NOW_S + 15.0 * cycle
        window = make_window(now_s, cpu=0.0, rate=0.0, p95_s=math.nan, error_rate=math.nan)
        service = make_service(desired=desired, window=window)
        plan = engine.step(observe(service, now_s=now_s, outlook=make_outlook(10.0)))
        for action in plan.actions:
            desired = action.to_instances
            assert "nobody measures" not in action.explanation
    assert desired == 2
