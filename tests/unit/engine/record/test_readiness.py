from __future__ import annotations

import math

import numpy as np
import pytest

from engine.model import BootTime, ServiceSpec
from engine.record.readiness import InstancesOverTime, figures, readiness

START_S = 1_800_000_000.0  # on a full half hour
HOUR = 3600.0


def spec(name: str, price: float, user_facing: bool) -> ServiceSpec:
    return ServiceSpec(
        name, 2, 1000, 10, 0.1, 1.0, BootTime(60.0, 120.0), 0.0, 1.0, price, user_facing=user_facing
    )


SPECS = (spec("web", 1.0, True), spec("jobs", 3.0, False))


def counts(
    ready: tuple[int, int], needed: tuple[int, int], floor: int = 0, samples: int = 6 * 720
) -> InstancesOverTime:
    shape = (2, samples)
    return InstancesOverTime(
        START_S,
        5.0,
        np.broadcast_to(np.array(ready, np.int32)[:, None], shape).copy(),
        np.broadcast_to(np.array(needed, float)[:, None], shape).copy(),
        np.full(shape, floor, np.int32),
    )


def test_events_of_one_half_hour_are_one_group_at_the_first_of_them() -> None:
    starts_s = START_S + np.array([3 * HOUR + 700.0, 3 * HOUR + 60.0, 3 * HOUR + 1800.0])
    rows = readiness(SPECS, counts((10, 10), (8, 8)), starts_s, 7200.0)
    assert [(row.at_s - START_S, row.events, row.service) for row in rows] == [
        (3 * HOUR + 60.0, 2, "web"),
        (3 * HOUR + 60.0, 2, "jobs"),
        (3 * HOUR + 1800.0, 1, "web"),
        (3 * HOUR + 1800.0, 1, "jobs"),
    ]


def test_need_is_the_highest_minute_of_the_first_five_and_ready_what_stands_at_the_start() -> None:
    given = counts((10, 10), (8, 8))
    k = 3 * 720
    given.needed[0, k + 24 : k + 36] = 12.0  # the third minute
    given.needed[0, k + 60 + 12 :] = 99.0  # after the fifth
    given.ready[0, k:] = 15  # booted right after the start
    (web, jobs) = readiness(SPECS, given, np.array([START_S + 3 * HOUR]), 7200.0)
    assert (web.need, web.ready, web.kept) == (12.0, 10, False)
    assert (jobs.need, jobs.ready, jobs.kept) == (8.0, 10, True)
    assert web.waited_for
    assert not jobs.waited_for


def test_less_than_the_minimum_is_never_needed() -> None:
    rows = readiness(SPECS, counts((2, 2), (0, 0)), np.array([START_S + HOUR]), 7200.0)
    assert [row.need for row in rows] == [2.0, 2.0]


def test_a_promise_is_judged_only_where_there_was_one() -> None:
    at = np.array([START_S + 3 * HOUR])
    promised = readiness(SPECS, counts((10, 10), (8, 8), floor=11), at, 7200.0)[0]
    assert (promised.lead_floor, promised.lead_ready, promised.kept_lead) == (11.0, 10.0, False)
    assert readiness(SPECS, counts((10, 10), (8, 8)), at, 7200.0)[0].kept_lead is None
    early = readiness(SPECS, counts((10, 10), (8, 8), floor=9), at - 2 * HOUR, 7200.0)[0]
    assert math.isnan(early.lead_ready)
    assert early.kept_lead is None


def test_the_figures_count_events_and_weigh_by_cost() -> None:
    given = counts((10, 10), (8, 8), floor=9)
    late = 4 * 720
    given.ready[0, late:] = 6  # at hour 4 the web is short by two
    starts_s = START_S + np.array([3 * HOUR, 3 * HOUR, 3 * HOUR, 4.5 * HOUR])
    rows = readiness(SPECS, given, starts_s, 7200.0)
    seen = figures(rows, 7200.0)
    assert (seen.events, seen.groups) == (4, 2)
    assert seen.ready_share == 0.75
    assert seen.lead_ready_share == 1.0
    assert seen.worst_ready_ratio == 0.75
    first, second = 40.0 / 32.0 - 1.0, 36.0 / 32.0 - 1.0
    assert seen.excess_share == pytest.approx((3 * first + second) / 4)
    assert seen.services["jobs"].ready_share == 1.0
    assert seen.services["web"].excess_share == pytest.approx((3 * 0.25 - 0.25) / 4)


def test_without_events_there_is_nothing_to_judge() -> None:
    after = np.array([START_S + 100 * HOUR])
    for starts_s in (np.zeros(0), after):
        seen = figures(readiness(SPECS, counts((10, 10), (8, 8)), starts_s, 7200.0), 7200.0)
        assert seen.model_dump() == {
            "lead_s": 7200.0, "events": 0, "groups": 0, "ready_share": None,
            "lead_ready_share": None, "worst_ready_ratio": None, "excess_share": None,
            "services": {},
        }  # fmt: skip
