"""The controller that plans: its optimisation worked out by hand, and what it makes of samples."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from engine.controllers.mpc import (
    WEIGHTS,
    Mpc,
    PlanningProblem,
    SlotUse,
    first_step,
    missed,
    reach,
)
from engine.decide.rails.limits import step_bounds
from engine.model import BootTime, FloatArray, Observation, ServiceSpec
from engine.settings import EngineSettings, LimitSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

SETTINGS = EngineSettings()
FREE = 1000.0
"""More than any bin costs."""


def plan(counts: FloatArray, start: int, stage: FloatArray, **changes: object) -> PlanningProblem:
    """A plan whose steps may go anywhere at any time, two bins after they are asked for."""
    places = np.arange(len(counts))
    free = PlanningProblem(
        counts=counts,
        start=int(np.searchsorted(counts, start)),
        highest=np.full(len(counts), places[-1]),
        lowest=np.zeros(len(counts), np.int64),
        stage=stage,
        rise=0.5,
        lead=2,
        rest_out=0,
        apart_out=1,
        rest_in=0,
        apart_in=1,
    )
    return free._replace(**changes)


def needs(counts: FloatArray, need: list[float], short: float = FREE) -> FloatArray:
    """One USD for each instance and bin, and `short` for each that is missing."""
    return counts + short * np.maximum(np.array(need)[:, None] - counts, 0.0)


def steps_of(counts: FloatArray, step_out: float) -> np.ndarray:
    highest = np.maximum(counts + 1, np.floor(counts * (1.0 + step_out)))
    return np.minimum(np.searchsorted(counts, highest, side="right") - 1, len(counts) - 1)


@pytest.mark.parametrize(
    ("need", "asked"),
    [
        ([1, 1, 1, 1, 1, 1], 1),
        ([1, 1, 2, 2, 2, 2], 2),  # ordered now it serves when it is needed
        ([1, 1, 1, 2, 2, 2], 1),  # the next bin is early enough
        ([1, 2, 2, 2, 2, 2], 2),  # too late for the first of them, in time for the others
        ([1, 2, 1, 1, 1, 1], 1),  # what is over when it serves is not ordered for
    ],
)
def test_what_is_needed_is_ordered_a_lead_time_before_and_no_sooner(
    need: list[float], asked: int
) -> None:
    counts = np.array([1.0, 2.0])
    assert first_step(plan(counts, 1, needs(counts, need))) == asked


@pytest.mark.parametrize(
    ("usd_short", "count"),
    [
        (0.5, 1),  # an instance costs more than who is missed
        (5.0, 4),  # 5 × 0.1 does not pay for one that is used once in ten times
        (20.0, 8),  # 20 × 0.1 does
    ],
)
def test_a_dear_miss_buys_more(usd_short: float, count: int) -> None:
    counts = np.arange(1.0, 10.0)
    short = 0.9 * np.maximum(4.0 - counts, 0.0) + 0.1 * np.maximum(8.0 - counts, 0.0)
    stage = np.tile(counts + usd_short * short, (20, 1))
    assert first_step(plan(counts, 1, stage)) == count
    assert first_step(plan(counts, 9, stage)) == count


@pytest.mark.parametrize(
    ("dip", "asked"),
    [
        (0, 9),
        (2, 9),  # two bins of six instances cost less than six new ones, which cost three each
        (4, 3),
    ],
)
def test_what_is_needed_again_is_kept_where_that_is_cheaper(dip: int, asked: int) -> None:
    counts = np.arange(1.0, 10.0)
    stage = needs(counts, [3] * dip + [9] * 10)
    assert first_step(plan(counts, 9, stage, rise=3.0)) == asked


def test_a_step_is_no_larger_than_it_may_be_and_comes_early_for_the_next() -> None:
    counts = np.arange(1.0, 41.0)
    rules = {"highest": steps_of(counts, 0.5), "apart_out": 5}
    at_once = plan(counts, 10, needs(counts, [10, 10] + [40] * 20), **rules)
    assert first_step(at_once) == 15
    # Five bins after it serves the next step may: from 14 it gets to 21, from 13 to 19 only.
    later = plan(counts, 10, needs(counts, [10] * 7 + [20] * 20), **rules)
    assert first_step(later) == 14
    resting = at_once._replace(rest_out=1)
    assert first_step(resting) == 10


def test_a_fall_is_no_larger_than_it_may_be_and_rests() -> None:
    counts = np.arange(1.0, 11.0)
    lowest = np.maximum(np.ceil(counts * 0.7 - 1e-9).astype(np.int64) - 1, 0)
    falling = plan(counts, 10, needs(counts, [2] * 30), lowest=lowest)
    assert first_step(falling) == 7
    assert first_step(falling._replace(rest_in=3)) == 10


def cheapest_of_all(p: PlanningProblem) -> tuple[int, ...]:
    """The places of the cheapest plan, of all plans there are: the reference."""
    bins, places = p.stage.shape

    @cache
    def after(k: int, place: int, rest: int) -> tuple[float, tuple[int, ...]]:
        if k == bins:
            return 0.0, ()
        plans = []
        for to in range(places):
            paid, left = p.stage[k, to], rest if k < p.lead else max(rest - 1, 0)
            if to > place:
                if k < p.lead or rest > 0 or to > p.highest[place]:
                    continue
                paid += p.rise * (p.counts[to] - p.counts[place])
                left = max(p.apart_out - 1, 0)
            resting = k < p.rest_in or (k - p.rest_in) % p.apart_in > 0
            if to < place and (resting or to < p.lowest[place]):
                continue
            cost, path = after(k + 1, to, left)
            plans.append((paid + cost, (to, *path)))
        return min(plans)

    return after(0, p.start, min(p.rest_out, p.apart_out))[1]


def test_no_other_plan_is_cheaper() -> None:
    draw = np.random.default_rng(5)
    asked = {"less": 0, "the same": 0, "more": 0}
    for _ in range(300):
        bins, places = int(draw.integers(2, 9)), int(draw.integers(1, 6))
        index, reach = np.arange(places), int(draw.integers(1, 4))
        counts = np.cumsum(draw.integers(1, 3, places)).astype(float)
        p = plan(
            counts, int(draw.choice(counts)), draw.uniform(0.0, 10.0, (bins, places)),
            highest=np.minimum(index + reach, places - 1), lowest=np.maximum(index - reach, 0),
            rise=float(draw.uniform(0.0, 3.0)), lead=int(draw.integers(1, bins)),
            rest_out=int(draw.integers(0, 3)), apart_out=int(draw.integers(0, 4)),
            rest_in=int(draw.integers(0, 3)), apart_in=int(draw.integers(1, 4)),
        )  # fmt: skip
        path = cheapest_of_all(p)
        place = path[0] if path[0] < p.start else max(path[p.lead], p.start)
        assert first_step(p) == counts[place]
        asked["less" if place < p.start else "more" if place > p.start else "the same"] += 1
    assert min(asked.values()) > 10


@pytest.mark.parametrize(("step_out", "step_in"), [(0.5, 0.3), (0.01, 0.01), (3.0, 0.9)])
def test_a_step_reaches_as_far_as_the_rails_let_it(step_out: float, step_in: float) -> None:
    limits = LimitSettings(step_out=step_out, step_in=step_in)
    counts = np.arange(0.0, 60.0)
    highest, lowest = reach(counts, limits)
    for place, count in enumerate(counts):
        least, most = step_bounds(int(count), limits)
        assert counts[highest[place]] == min(most, counts[-1])
        assert counts[lowest[place]] == least


def test_who_comes_too_late_by_hand() -> None:
    counts = np.array([0.0, 0.5, 1.0, 2.0, 20.0])
    # Ten slots are busy, of ten an instance; 100 requests/s, each for 0.1 s, with 0.05 s to wait.
    shares = (
        missed(np.array([[100.0]]), np.ones(1), counts, SlotUse(10.0, 0.1, 1.0, 0.05))[0] / 100.0
    )
    assert shares[0] == pytest.approx(2.0)  # nobody is served, and all of it is left over
    assert shares[1] == pytest.approx(1.5)  # half of it is
    assert shares[2] == pytest.approx(1.0)  # the queue does not get shorter
    x = 10.0 / math.sqrt(10.0)
    density = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    below = 0.5 * (1.0 + math.erf(x / math.sqrt(2.0)))
    waits = 1.0 / (1.0 + x * below / density)
    assert shares[3] == pytest.approx(waits * math.exp(-10.0 * 0.05 / 0.1))
    assert shares[4] == 0.0


def test_what_is_missed_is_weighed_over_the_forecast() -> None:
    counts = np.arange(0.0, 40.0)
    rates = np.array([[100.0, 200.0], [0.0, 100.0]])
    weights = np.array([0.75, 0.25])
    whole = missed(rates, weights, counts, SlotUse(10.0, 0.1, 1.0, 0.05))
    for k, q in itertools.product(range(2), range(2)):
        alone = missed(
            rates[k : k + 1, q : q + 1], np.ones(1), counts, SlotUse(10.0, 0.1, 1.0, 0.05)
        )
        whole[k] -= weights[q] * alone[0]
    np.testing.assert_allclose(whole, 0.0, atol=1e-9)
    assert WEIGHTS.sum() == pytest.approx(1.0)


class Platform:
    """One service whose instances serve `boot_s` after they were asked for, under a given load."""

    def __init__(self, controller: Mpc, spec: ServiceSpec, desired: int, boot_s: float) -> None:
        self.controller, self.spec, self.boot_s = controller, spec, boot_s
        self.desired, self.asked = desired, {0.0: desired}
        self.samples: list[tuple[float, float, float]] = []

    def ready(self, after_s: float) -> int:
        """What was asked for a boot ago, or less since."""
        old = max(time_s for time_s in self.asked if time_s <= max(after_s - self.boot_s, 0.0))
        later = [count for time_s, count in self.asked.items() if old <= time_s <= after_s]
        return min(later)

    def seen(self, after_s: float, rate: float, outlook: object) -> Observation:
        ready = self.ready(after_s)
        self.samples.append((after_s, rate, min(rate / 100.0 / max(ready, 1), 1.0)))
        window = make_window(NOW_S + after_s, age_s=0.0, samples=min(len(self.samples), 12))
        for row, (time_s, load, cpu) in zip(window, self.samples[-12:], strict=True):
            row["time_s"], row["request_rate"], row["cpu"] = NOW_S + time_s, load, cpu
        service = make_service(
            self.spec, desired=self.desired, ready=ready, booting=max(self.desired - ready, 0),
            window=window,
        )  # fmt: skip
        return observe(service, now_s=NOW_S + after_s, outlook=outlook)

    def run(self, until_s: float, rate: object, outlook: object) -> dict[float, int]:
        """Changes of the count, by the seconds after which they were asked for."""
        changes = {}
        for after_s in np.arange(0.0, until_s, 5.0):
            now = float(rate(np.array([after_s]))[0]) if callable(rate) else float(rate)
            for action in self.controller.step(self.seen(float(after_s), now, outlook)).actions:
                self.desired = changes[float(after_s)] = action.to_instances
                self.asked[float(after_s)] = action.to_instances
        return changes


def up_at(time_s: float, before: float, after: float) -> object:
    return lambda ahead_s: np.where(ahead_s < time_s, before, after)


def test_at_a_constant_load_there_is_nothing_to_do() -> None:
    platform = Platform(Mpc(SETTINGS), make_spec(), 7, 70.0)
    assert len(platform.run(3600.0, 500.0, make_outlook(500.0))) <= 1
    settled = Platform(Mpc(SETTINGS), make_spec(), platform.desired, 70.0)
    assert settled.run(3600.0, 500.0, make_outlook(500.0)) == {}


def test_a_booked_rise_is_there_when_it_comes_and_a_booked_fall_not_before() -> None:
    rises = up_at(1800.0, 500.0, 900.0)
    changes = Platform(Mpc(SETTINGS), make_spec(), 7, 130.0).run(2400.0, rises, make_outlook(rises))
    larger = {time_s: count for time_s, count in changes.items() if count > 9}
    assert larger
    assert 1800.0 - 900.0 < min(larger) <= 1800.0 - 130.0  # a step before it, or a lead time
    falls = up_at(1800.0, 900.0, 500.0)
    changes = Platform(Mpc(SETTINGS), make_spec(), 12, 130.0).run(
        2700.0, falls, make_outlook(falls)
    )
    assert all(count > 9 for time_s, count in changes.items() if time_s < 1700.0)
    assert min(changes.values()) <= 8


def test_more_is_bought_where_a_miss_is_dear() -> None:
    asked = []
    for usd in (1e-6, 1e-5, 1e-3, 1.0):
        platform = Platform(Mpc(SETTINGS, usd_per_missed_request=usd), make_spec(), 30, 70.0)
        platform.run(3600.0, 2500.0, make_outlook(2500.0, sigma=0.2))
        asked.append(platform.desired)
    assert asked == sorted(asked)
    assert asked[0] < asked[-1]


def test_steps_have_their_size_and_their_rest() -> None:
    rises = up_at(300.0, 500.0, 5000.0)
    platform = Platform(Mpc(SETTINGS), make_spec(), 7, 70.0)
    changes = platform.run(3600.0, rises, make_outlook(500.0))
    counts = [7, *changes.values()]
    assert max(counts) >= 50
    for before, after in itertools.pairwise(counts):
        assert max(before - 1, 1) * 0.7 - 1 <= after <= max(before + 1, int(before * 1.5))
    assert (np.diff(list(changes)) >= 300.0).all()


def test_what_waits_is_served_besides_what_comes() -> None:
    def asked(queue: float) -> int:
        window = make_window(rate=500.0, cpu=1.0 if queue else 500.0 / 700.0, queue=queue)
        calm = make_service(desired=7, window=window)
        plan = Mpc(SETTINGS).step(observe(calm, outlook=make_outlook(500.0)))
        return plan.actions[0].to_instances if plan.actions else 7

    assert asked(100_000.0) == 10
    assert asked(0.0) <= 7


@pytest.mark.parametrize("booting", [0, 3])
def test_what_is_lost_or_boots_for_long_is_not_given_back_and_ordered_again(booting: int) -> None:
    mpc, spec = Mpc(SETTINGS), make_spec(boot=BootTime(420.0, 900.0), warmup_s=30.0)
    for after_s in np.arange(0.0, 900.0, 15.0):
        window = make_window(NOW_S + after_s, rate=500.0, cpu=1.0)
        short = make_service(spec, desired=6, ready=3, booting=booting, window=window)
        plan = mpc.step(observe(short, now_s=NOW_S + after_s, outlook=make_outlook(500.0)))
        assert all(action.to_instances > 6 for action in plan.actions)


def test_between_two_solves_nothing_happens() -> None:
    mpc = Mpc(SETTINGS, sync_s=30.0)
    assert mpc.step(observe(make_service(desired=3))).cycle
    for after_s, cycle in ((5.0, False), (25.0, False), (30.0, True)):
        assert mpc.step(observe(make_service(desired=3), now_s=NOW_S + after_s)).cycle is cycle


@pytest.mark.parametrize("rate", [500.0, math.nan])
@pytest.mark.parametrize("age_s", [3.0, 600.0])
@pytest.mark.parametrize("ahead_s", [0.0, 100_000.0, -100_000.0])
def test_silence_and_a_calendar_that_ends_take_nothing_away(
    rate: float, age_s: float, ahead_s: float
) -> None:
    now_s = NOW_S + ahead_s
    window = make_window(now_s, rate=rate, cpu=math.nan, age_s=age_s)
    silent = math.isnan(rate) or age_s > 45.0
    plan = Mpc(SETTINGS).step(observe(make_service(desired=40, window=window), now_s=now_s))
    asked = plan.actions[0].to_instances if plan.actions else 40
    if silent and (ahead_s or age_s > 45.0):
        assert asked == 40
    else:
        assert 28 <= asked < 40  # at most 30 % of it goes
    empty = make_service(desired=40, window=window[:0])
    assert Mpc(SETTINGS).step(observe(empty, now_s=now_s)).actions == ()


@pytest.mark.parametrize(
    ("bounds", "desired", "asked"),
    [
        ((10, 10), 10, 10),
        ((10, 10), 3, 10),
        ((10, 10), 30, 10),
        ((2, 8), 8, 8),  # more would be needed
        ((20, 40), 20, 20),  # less would do
        ((0, 40), 0, 1),  # somebody asks for it
    ],
)
def test_bounds_hold_whatever_is_needed(bounds: tuple[int, int], desired: int, asked: int) -> None:
    spec = make_spec(min_instances=bounds[0], max_instances=bounds[1])
    service = make_service(spec, desired=desired, window=make_window(rate=900.0, cpu=1.0))
    plan = Mpc(SETTINGS).step(observe(service, outlook=make_outlook(900.0)))
    assert (plan.actions[0].to_instances if plan.actions else desired) == asked


def test_who_may_sleep_does_so_when_nobody_has_asked_for_a_while() -> None:
    spec = make_spec(min_instances=0)
    platform = Platform(Mpc(SETTINGS), spec, 2, 70.0)
    changes = platform.run(1800.0, up_at(300.0, 50.0, 0.0), make_outlook(0.0))
    asleep = min(time_s for time_s, count in changes.items() if count == 0)
    assert asleep >= 300.0 + SETTINGS.limits.idle_s


def test_thousands_of_instances_are_planned_on_a_coarser_grid() -> None:
    spec = replace(make_spec(), max_instances=20_000)
    window = make_window(rate=600_000.0, cpu=0.9)
    service = make_service(spec, desired=6500, window=window)
    plan = Mpc(SETTINGS).step(observe(service, outlook=make_outlook(600_000.0)))
    asked = plan.actions[0].to_instances if plan.actions else 6500
    assert 6000 < asked < 8000


def test_it_forecasts_as_the_engine_does() -> None:
    from engine.autoscaler import Autoscaler

    seen = observe(make_service(desired=7))
    assert Mpc(SETTINGS).step(seen).forecasts == Autoscaler(SETTINGS).step(seen).forecasts
