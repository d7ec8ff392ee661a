"""The outlook's sums and the forecaster's corrections."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.forecast import schedule
from engine.forecast.blend import ServiceBlend
from engine.forecast.counting import OF_MEDIAN, Counting, counting
from engine.forecast.outlook import Grid, event_load, outlook
from engine.memory import ResponseMemory
from engine.model import Call, Forecast, Outlook, Response, Schedule
from engine.settings import ForecastSettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_spec

SETTINGS = ForecastSettings()
GRID = Grid(start_s=0.0, bins=240)


def fixtures(
    starts_s: list[float], people: list[float], major: list[bool] | None = None
) -> Schedule:
    """Football matches: two halves of 45 min with 15 min between them."""
    first = np.array(starts_s)[:, None]
    return Schedule(
        phases=("first_half", "break", "second_half"),
        roles=("spectator",),
        phase_start_s=first + np.array([0.0, 2700.0, 3600.0, 6300.0]),
        participants=np.array(people)[:, None],
        major=np.array(major or [False] * len(people), dtype=bool),
    )


def response(**changes: float) -> Response:
    """Each spectator makes 0.01, 0.05, 0.02 api requests a second in the three phases."""
    figures = {
        "lateness_mean_s": 0.0,
        "lateness_sd_s": 0.0,
        "turnout": 1.0,
        "unbooked_share": 0.0,
        "sigma": 0.1,
    }
    return Response(
        services=("api", "database"),
        rates=np.array([[[0.01, 0.0], [0.05, 0.0], [0.02, 0.0]]]),
        background=np.zeros((24, 2)),
        **(figures | changes),
    )


def issue(
    memory: ResponseMemory, seen: Outlook, at_s: float, blend: ServiceBlend | None = None
) -> tuple[ResponseMemory, tuple[Forecast, ...]]:
    """What is forecast of the api, off its own curve."""
    load = schedule.curve(memory, seen, 0, at_s, reach_s=7200.0, settings=SETTINGS, blend=blend)
    return schedule.issue(memory, seen, load, "api", now_s=at_s)


SPECS = (make_spec("api", calls=(Call("database", 1.6),)), make_spec("database"))


def test_overlapping_events_add_up_phase_by_phase() -> None:
    booked = fixtures([600.0, 600.0, 3300.0], [1000.0, 500.0, 2000.0])
    seen = outlook(event_load(booked, response(), GRID), response(), SPECS, GRID, issued_s=0.0)
    api = seen.load[0]
    assert api[9] == pytest.approx(0.0)
    assert api[10] == pytest.approx(0.01 * 1500)
    assert api[60] == pytest.approx(0.05 * 1500 + 0.01 * 2000)  # their break, the third's start
    assert api[80] == pytest.approx(0.02 * 1500 + 0.01 * 2000)
    assert seen.events[[9, 10, 60, 120, 170]].tolist() == pytest.approx([0, 2, 3, 1, 0])


def test_calls_pass_the_load_on() -> None:
    seen = outlook(
        event_load(fixtures([600.0], [1000.0]), response(), GRID),
        response(),
        SPECS,
        GRID,
        issued_s=0.0,
    )
    np.testing.assert_allclose(seen.load[1], 1.6 * seen.load[0])


def test_only_major_events_are_in_the_major_load() -> None:
    booked = fixtures([600.0, 600.0], [1000.0, 300.0], [False, True])
    seen = outlook(event_load(booked, response(), GRID), response(), SPECS, GRID, issued_s=0.0)
    assert seen.major_load[0, 20] == pytest.approx(0.01 * 300)
    assert seen.major_events[20] == pytest.approx(1.0)


def test_taking_a_cancelled_event_out_equals_never_having_had_it() -> None:
    everything = fixtures([600.0, 900.0, 3300.0], [1000.0, 500.0, 2000.0], [True, False, True])
    cancelled = fixtures([3300.0], [2000.0], [True])
    rest = fixtures([600.0, 900.0], [1000.0, 500.0], [True, False])
    left = event_load(everything, response(), GRID).minus(event_load(cancelled, response(), GRID))
    expected = event_load(rest, response(), GRID)
    for name in ("load", "major_load", "events", "major_events"):
        np.testing.assert_allclose(getattr(left, name), getattr(expected, name), atol=1e-9)


def test_lateness_shifts_and_spreads_but_loses_nothing() -> None:
    on_time = event_load(fixtures([3600.0], [1000.0]), response(), GRID)
    late = response(lateness_mean_s=600.0, lateness_sd_s=300.0)
    punctual = outlook(on_time, response(), SPECS, GRID, issued_s=0.0).load[0]
    delayed = outlook(on_time, late, SPECS, GRID, issued_s=0.0).load[0]
    minutes = np.arange(GRID.bins)
    assert delayed.sum() == pytest.approx(punctual.sum(), rel=1e-6)
    shift = (delayed * minutes).sum() / delayed.sum() - (punctual * minutes).sum() / punctual.sum()
    assert shift == pytest.approx(10.0, abs=0.05)
    assert delayed.max() < punctual.max()


def test_events_that_are_usually_missing_are_allowed_for() -> None:
    booked = event_load(fixtures([600.0], [900.0]), response(), GRID)
    plain = outlook(booked, response(), SPECS, GRID, issued_s=0.0).load[0, 20]
    allowed = outlook(booked, response(unbooked_share=0.1), SPECS, GRID, issued_s=0.0).load[0, 20]
    assert allowed == pytest.approx(plain / 0.9)


def test_an_empty_schedule_leaves_the_background() -> None:
    empty = fixtures([], [])
    quiet = response()
    quiet.background[:, 0] = np.arange(24.0)
    seen = outlook(event_load(empty, quiet, GRID), quiet, SPECS, GRID, issued_s=0.0)
    assert seen.load[0, 89] == pytest.approx(1.0, abs=0.02)  # 01:29.5: the middle of hour one
    assert seen.load[0, 120] == pytest.approx(1.5, abs=0.02)  # half-way to the next one


def test_calls_in_a_circle_are_refused() -> None:
    circle = (
        make_spec("api", calls=(Call("database", 1.0),)),
        make_spec("database", calls=(Call("api", 1.0),)),
    )
    with pytest.raises(ValueError, match="api, database form a cycle"):
        outlook(
            event_load(fixtures([], []), response(), GRID), response(), circle, GRID, issued_s=0.0
        )


def follow(ratio: float, minutes: int, memory: ResponseMemory | None = None, begin: int = 0):  # type: ignore[no-untyped-def]
    """Show the forecaster a load that is `ratio` times the booked one."""
    memory = memory or ResponseMemory()
    seen = make_outlook(1000.0, sigma=0.1)
    for k in range(4 * begin, 4 * (begin + minutes)):
        at_s = NOW_S + 15.0 * k
        memory = schedule.observe(memory, seen, 0, 1000.0 * ratio, sample_s=at_s, settings=SETTINGS)
        memory, _ = issue(memory, seen, at_s)
    return memory, seen


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.3])
def test_a_day_of_another_height_than_booked_is_learned(ratio: float) -> None:
    memory, seen = follow(ratio, 60)
    assert math.exp(memory.level) == pytest.approx(ratio, rel=0.03)
    curve = schedule.curve(memory, seen, 0, NOW_S + 3600.0, reach_s=7200.0, settings=SETTINGS)
    two_hours = curve.rate(0.0)[int(7200 / 60)]
    assert two_hours == pytest.approx(1000.0 * ratio, rel=0.12)


def test_a_surge_is_followed_at_once_and_expected_to_fade() -> None:
    memory, seen = follow(1.0, 60)
    memory, seen = follow(4.0, 3, memory, begin=60)
    curve = schedule.curve(memory, seen, 0, NOW_S + 3780.0, reach_s=7200.0, settings=SETTINGS)
    rate = curve.rate(0.0)
    assert rate[0] > 3300.0
    assert rate[30] < 0.6 * rate[0]


def test_the_intervals_follow_the_errors_that_were_really_made() -> None:
    calm, _ = follow(1.0, 180)
    rng = np.random.default_rng(7)
    seen, restless = make_outlook(1000.0, sigma=0.1), ResponseMemory()
    for k in range(4 * 300):  # each error counts as a few deviations at most: it takes a while
        rate = 1000.0 * math.exp(0.3 * rng.standard_normal())
        restless = schedule.observe(
            restless, seen, 0, rate, sample_s=NOW_S + 15.0 * k, settings=SETTINGS
        )
        restless, _ = issue(restless, seen, NOW_S + 15.0 * k)
    assert calm.horizon_variance[1] < 0.03**2
    assert 0.2**2 < restless.horizon_variance[1] < 0.6**2


def test_what_a_sample_counted_by_chance_widens_no_interval() -> None:
    """Of a load of 20 a second that stays as it is, five seconds count 100, give or take ten."""
    rng = np.random.default_rng(5)
    outlook, own, plain = make_outlook(20.0, sigma=0.1), ResponseMemory(), ResponseMemory()
    counts: list[float] = []
    for k in range(4 * 300):
        at_s = NOW_S + 15.0 * k
        counts = [*(rng.poisson(100.0, 3) / 5.0), *counts[:2]]
        rate, chance = float(np.median(counts[:3])), counting(counts, 5.0, 3)
        own = schedule.observe(
            own, outlook, 0, rate, sample_s=at_s, settings=SETTINGS, chance=chance
        )
        plain = schedule.observe(plain, outlook, 0, rate, sample_s=at_s, settings=SETTINGS)
        (own, _), (plain, _) = issue(own, outlook, at_s), issue(plain, outlook, at_s)
    one, other = (
        schedule.curve(memory, outlook, 0, at_s, reach_s=7200.0, settings=SETTINGS).sd
        for memory in (own, plain)
    )
    assert other[5] == pytest.approx(math.sqrt(OF_MEDIAN[3] / 100.0), rel=0.3)
    assert one[5] < 0.6 * other[5]
    assert own.scatter == pytest.approx(1.0 / 100.0, rel=0.4)


def test_a_running_mean_is_taken_for_what_it_scatters() -> None:
    seen, memory = make_outlook(20.0, sigma=0.1), ResponseMemory()
    smooth = Counting(0.01, 1e-5, OF_MEDIAN[3])
    for k in range(4 * 180):
        at_s = NOW_S + 15.0 * k
        memory = schedule.observe(
            memory, seen, 0, 20.0, sample_s=at_s, settings=SETTINGS, chance=smooth
        )
        memory, _ = issue(memory, seen, at_s)
    assert memory.scatter == pytest.approx(1e-5, rel=0.01)
    assert memory.counted[0] == pytest.approx(1e-5 * OF_MEDIAN[3], rel=0.06)
    assert 0.0 < memory.counted[2] < memory.counted[0]  # judged for two hours of the three
    assert memory.counted[3] < memory.counted[2]
    # What nobody says the counting of counts as an error in full, and so it is before long.
    for k in range(4 * 180, 4 * 900):
        at_s = NOW_S + 15.0 * k
        memory = schedule.observe(memory, seen, 0, 20.0, sample_s=at_s, settings=SETTINGS)
        memory, _ = issue(memory, seen, at_s)
    assert memory.scatter == pytest.approx(1e-5, rel=0.01)
    assert max(memory.counted) < 0.01 * 1e-5


def test_what_an_older_engine_remembered_has_no_counting_in_it() -> None:
    memory, seen = follow(1.0, 30)
    older = memory._replace(counted=())
    at_s = NOW_S + 1800.0
    sd = schedule.curve(older, seen, 0, at_s, reach_s=7200.0, settings=SETTINGS).sd
    now = schedule.curve(memory, seen, 0, at_s, reach_s=7200.0, settings=SETTINGS).sd
    np.testing.assert_array_equal(sd, now)
    again = schedule.observe(older, seen, 0, 1000.0, sample_s=at_s, settings=SETTINGS)
    assert again.counted == (0.0,) * 4
    assert (again.level, again.horizon_variance) == (
        schedule.observe(memory, seen, 0, 1000.0, sample_s=at_s, settings=SETTINGS)[0],
        memory.horizon_variance,
    )


def room(factor: float, length_s: float, begin_s: float = 3600.0) -> float:
    """The widest room (98 %) in the hour after rates that were wrong, as a share of the rate."""
    seen, memory, widest = make_outlook(1000.0, sigma=0.1), ResponseMemory(), 0.0
    for k in range(4 * 150):
        after_s = 15.0 * k - begin_s
        rate = 1000.0 * (factor if 0.0 <= after_s < length_s else 1.0)
        at_s = NOW_S + 15.0 * k
        memory = schedule.observe(memory, seen, 0, rate, sample_s=at_s, settings=SETTINGS)
        memory, _ = issue(memory, seen, at_s)
        if after_s >= length_s + 300.0:
            ahead = schedule.curve(memory, seen, 0, at_s, reach_s=3600.0, settings=SETTINGS).rate(
                2.05
            )
            widest = max(widest, float(ahead.max()) / 1000.0)
    return widest


@pytest.mark.parametrize("factor", [3.0, 1e3, 1e6, 1e12, 1e300])
@pytest.mark.parametrize("length_s", [15.0, 60.0])
@pytest.mark.parametrize("begin_s", [60.0, 3600.0])
def test_a_rate_that_is_wrong_for_a_minute_buys_little_room_whatever_its_size(
    factor: float, length_s: float, begin_s: float
) -> None:
    assert room(factor, length_s, begin_s) < 1.15 * room(1.0, 0.0, begin_s)


@pytest.mark.parametrize("factor", [1e-300, 1e-9, 1e-3, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("length_s", [15.0, 60.0, 600.0])
def test_neither_a_fall_nor_the_recovery_from_it_buys_room(factor: float, length_s: float) -> None:
    # Ten minutes of less load look like a quieter day: their end may surprise a little.
    limit = 1.02 if length_s <= 60.0 else 1.08
    assert room(factor, length_s) <= limit * room(1.0, 0.0)


def test_what_is_forecast_from_a_spike_is_no_under_forecast_when_it_is_over() -> None:
    memory, _ = follow(1.0, 30)
    begun = memory.horizon_variance
    memory, _ = follow(3.0, 1, memory, begin=30)
    memory, _ = follow(1.0, 20, memory, begin=31)
    _, spread_900s, _, _ = memory.horizon_variance
    assert spread_900s <= begun[1]


def test_no_interval_is_wider_than_one_that_says_hardly_anything() -> None:
    seen, memory = make_outlook(1000.0, sigma=0.1), ResponseMemory()
    for k in range(4 * 300):
        at_s = NOW_S + 15.0 * k
        rate = 1000.0 * (50.0 if k // 20 % 2 else 1.0)
        memory = schedule.observe(memory, seen, 0, rate, sample_s=at_s, settings=SETTINGS)
        memory, _ = issue(memory, seen, at_s)
    assert max(memory.horizon_variance) <= schedule.MOST_SD**2


def test_an_absurd_rate_hardly_moves_the_level_and_a_busy_day_does() -> None:
    quiet, _ = follow(1.0, 60)
    for ratio in (1e9, 1e-9):
        spoilt, _ = follow(ratio, 10, quiet, begin=60)
        assert abs(spoilt.level - quiet.level) < 0.05
    busy, _ = follow(1.4, 30, quiet, begin=60)
    assert busy.level == pytest.approx(math.log(1.4), abs=0.1)


def test_what_is_expected_now_is_the_booked_rate_on_a_day_of_the_level_learned() -> None:
    memory, seen = follow(1.3, 60)
    at_s = NOW_S + 3600.0
    assert schedule.expected(memory, seen, 0, at_s) == pytest.approx(
        1000.0 * math.exp(memory.level)
    )
    assert math.isnan(schedule.expected(memory, seen, -1, at_s))  # not in the calendar
    assert math.isnan(schedule.expected(memory, seen, 0, 1e12))  # nor then
    assert math.isnan(schedule.expected(memory, make_outlook(0.0), 0, at_s))


def test_quantiles_are_in_order_and_horizons_are_issued_once_a_minute() -> None:
    memory, seen = follow(1.1, 10)
    at_s = memory.issued_s
    assert issue(memory, seen, at_s + 59.0) == (memory, ())
    _, issued = issue(memory, seen, at_s + 60.0)
    assert tuple(f.horizon_s for f in issued) == schedule.HORIZONS_S
    for f in issued:
        assert f.q10 < f.q50 < f.q90


def test_an_old_or_empty_observation_changes_nothing() -> None:
    memory, seen = follow(1.2, 10)
    for rate, at_s in ((5000.0, memory.updated_s), (5000.0, memory.updated_s - 5.0), (0.0, 1e9)):
        assert schedule.observe(memory, seen, 0, rate, sample_s=at_s, settings=SETTINGS) == memory


@pytest.mark.parametrize("blended", [False, True])
@pytest.mark.parametrize("surge", [0.0, 1.5, -0.8])
@pytest.mark.parametrize("bin_s", [60.0, 2.5, 900.0])
@pytest.mark.parametrize("into_s", [0.0, 17.0, 59.9])
def test_the_forecast_that_is_judged_is_the_one_that_capacity_is_asked_for(
    blended: bool, surge: float, bin_s: float, into_s: float
) -> None:
    bins = int(20_000.0 / bin_s)
    load = 500.0 + 400.0 * np.sin(np.arange(bins) / 40.0)[None, :]
    seen = replace(make_outlook(1.0), bin_s=bin_s, start_s=NOW_S, load=load, major_load=0.1 * load)
    own = ServiceBlend(
        schedule.HORIZONS_S, ((0.9, 0.5, 0.01), (0.8, 0.2, 0.0), (0.5, 0.1, 0.0), (0.4, 0.0, 0.0)),
        (0.1, 0.1, 0.2, 0.2),
    )  # fmt: skip
    blend = own if blended else None
    now_s = NOW_S + 1000.0 + into_s
    memory = schedule.observe(
        ResponseMemory(), seen, 0, 700.0, sample_s=now_s - 5.0, settings=SETTINGS, blend=blend
    )
    memory = memory._replace(level=0.2, surge=surge)
    used = schedule.curve(memory, seen, 0, now_s, reach_s=10_000.0, settings=SETTINGS, blend=blend)
    memory, issued = issue(memory, seen, now_s, blend)
    assert tuple(f.horizon_s for f in issued) == schedule.HORIZONS_S
    for forecast, waiting in zip(issued, memory.issued, strict=True):
        due_s = now_s + forecast.horizon_s
        at = int((due_s - seen.start_s) / bin_s) - int((now_s - seen.start_s) / bin_s)
        for z, value in ((-schedule.Z90, forecast.q10), (0.0, forecast.q50)):
            assert value == pytest.approx(used.rate(z)[at], rel=1e-9)
        assert forecast.q90 == pytest.approx(used.rate(schedule.Z90)[at], rel=1e-9)
        # Where the rate has just fallen, nobody is to be judged by that.
        if surge < math.log(schedule.FALLEN_SHARE):
            assert waiting == ()
        else:
            assert waiting == ((due_s, pytest.approx(math.log(used.rate(0.0)[at]))),)


def test_beyond_the_calendar_nothing_is_forecast_and_nothing_learned() -> None:
    seen = make_outlook(1000.0, start_s=NOW_S, bins=60)
    memory = schedule.observe(
        ResponseMemory(), seen, 0, 1500.0, sample_s=NOW_S + 1800.0, settings=SETTINGS
    )
    _, issued = issue(memory, seen, NOW_S + 1800.0)
    assert [f.horizon_s for f in issued] == [300.0, 900.0]  # the calendar ends in half an hour
    for at_s in (NOW_S + 3600.0, NOW_S + 86_400.0):
        assert schedule.observe(memory, seen, 0, 9000.0, sample_s=at_s, settings=SETTINGS) == memory
        assert issue(memory, seen, at_s) == (memory, ())


def test_forecasts_that_nobody_can_judge_are_not_kept() -> None:
    memory, _ = follow(1.0, 1)
    long = make_outlook(1000.0, sigma=0.1, bins=6000)
    for k in range(1, 40 * 60):  # forty hours without a sample
        memory, _ = issue(memory, long, NOW_S + 60.0 * k)
        for horizon_s, waiting in zip(schedule.HORIZONS_S, memory.issued, strict=True):
            assert len(waiting) <= (horizon_s + schedule.JUDGED_WITHIN_S) / 60.0 + 1


def test_the_outlook_counts_the_events_of_each_phase_and_the_major_ones_that_begin() -> None:
    booked = fixtures([600.0, 3300.0, -7200.0], [10.0, 10.0, 10.0], [True, False, True])
    seen = outlook(event_load(booked, response(), GRID), response(), SPECS, GRID, issued_s=0.0)
    assert seen.phases == ("first_half", "break", "second_half")
    np.testing.assert_allclose(seen.in_phases.sum(axis=0), seen.events, atol=1e-9)
    at = [int(time_s // 60) for time_s in (600, 3300, 3420, 6000, 6300)]
    assert seen.in_phases[:, at].T.round(9).tolist() == [
        [1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 1, 1],
    ]  # fmt: skip
    # What began before the grid does not begin in it.
    assert np.flatnonzero(seen.major_starts).tolist() == [10]
    assert seen.major_starts[10] == 1.0


def test_a_cancelled_event_begins_no_more() -> None:
    both = fixtures([600.0, 1200.0], [10.0, 10.0], [True, True])
    gone = fixtures([600.0], [10.0], [True])
    left = event_load(both, response(), GRID).minus(event_load(gone, response(), GRID))
    one = event_load(fixtures([1200.0], [10.0], [True]), response(), GRID)
    np.testing.assert_array_equal(left.major_starts, one.major_starts)
    np.testing.assert_array_equal(left.in_phases, one.in_phases)
    np.testing.assert_array_equal(left.plus(event_load(gone, response(), GRID)).in_phases,
                                  event_load(both, response(), GRID).in_phases)  # fmt: skip


def test_counting_a_schedule_of_one_event_leaves_the_schedule_as_it_is() -> None:
    booked = fixtures([600.0], [10.0])
    before = booked.phase_start_s.copy()
    grid = Grid(start_s=300.0, bins=240)
    first, again = (event_load(booked, response(), grid) for _ in range(2))
    np.testing.assert_array_equal(booked.phase_start_s, before)
    np.testing.assert_array_equal(first.load, again.load)
