"""What the newest samples say: every row worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.view import most_rate, newest, possible, view
from engine.model import SAMPLE_DTYPE
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window

NAN, INF = math.nan, math.inf


def window_of(*samples: tuple[float, float]) -> np.ndarray:
    """Samples of an age (s) and a CPU, in the order of their arrival."""
    window = np.full(len(samples), NAN, SAMPLE_DTYPE)
    for row, (age_s, cpu) in zip(window, samples, strict=True):
        row["time_s"], row["cpu"] = NOW_S - age_s, cpu
    return window


def cpu_of(*samples: tuple[float, float]) -> float:
    return view(make_service(window=window_of(*samples)), NOW_S, 45.0).cpu


@pytest.mark.parametrize(
    ("newest_three", "median"),
    [
        ((0.1, 0.2, 0.3), 0.2),
        ((0.3, 0.2, 0.1), 0.2),
        ((0.2, 0.1, 0.3), 0.2),
        ((0.2, 0.3, 0.1), 0.2),
        ((0.1, 0.3, 0.2), 0.2),
        ((0.3, 0.1, 0.2), 0.2),
        ((0.2, 0.2, 0.1), 0.2),
        ((0.0, 0.0, 0.4), 0.0),  # zero is a figure
        ((0.0, 0.1, 0.4), 0.1),
        ((0.1, NAN, 0.3), 0.2),  # of two, the middle between them
        ((-1.0, 0.1, 0.3), 0.2),
        ((0.1, -1.0, 0.3), 0.2),
        ((0.1, 0.3, -1.0), 0.2),
        ((0.1, 0.3, INF), 0.2),
        ((NAN, 0.4, NAN), 0.4),
        ((NAN, NAN, NAN), NAN),
        ((-1.0, INF, NAN), NAN),
    ],
)
def test_a_figure_is_the_median_of_the_newest_three_that_can_be_one(newest_three, median) -> None:  # type: ignore[no-untyped-def]
    samples = zip((13.0, 8.0, 3.0), newest_three, strict=True)
    assert cpu_of((18.0, 9.0), *samples) == pytest.approx(median, nan_ok=True)


@pytest.mark.parametrize(
    ("five", "median"),
    [
        # Oldest first; of the newest three that lack it, the ones before take the place.
        ((0.9, 0.1, NAN, 0.3, 0.4), 0.3),
        ((0.9, 0.1, 0.3, NAN, 0.4), 0.3),
        ((0.9, 0.1, 0.3, 0.4, NAN), 0.3),
        ((0.1, 0.3, NAN, NAN, 1.9), 0.3),  # a wild one after two that are missing
        ((0.1, 0.3, NAN, 1.9, NAN), 0.3),
        ((0.2, NAN, NAN, 1.9, 0.4), 0.4),
        ((0.2, -1.0, INF, 1.9, 0.4), 0.4),
        ((NAN, 0.2, NAN, NAN, 0.4), 0.3),  # there are no more
        ((NAN, NAN, NAN, NAN, 0.4), 0.4),
        ((0.1, 0.3, NAN, NAN, NAN), NAN),  # lost
        ((0.9, 0.9, 0.1, 0.2, 0.3), 0.2),  # of three that hold it none is older
    ],
)
def test_one_wild_sample_beside_missing_ones_moves_nothing(five, median) -> None:  # type: ignore[no-untyped-def]
    ages_s = (23.0, 18.0, 13.0, 8.0, 3.0)
    assert cpu_of(*zip(ages_s, five, strict=True)) == pytest.approx(median, nan_ok=True)
    window = make_window(samples=5)
    for figure in ("memory", "request_rate", "queue_depth", "p95_s", "error_rate"):
        window[figure] = five
    seen = view(make_service(window=window), NOW_S, 45.0)
    for value in (seen.memory, seen.request_rate, seen.queue_depth):
        assert value == pytest.approx(median, nan_ok=True)
    # Who is idle has no response times and no failures, and neither counts for longer.
    for value, most in ((seen.p95_s, INF), (seen.error_rate, 1.0)):
        there = [one for one in five[2:] if 0.0 <= one <= most and one < INF]
        expected = float(np.median(there)) if there else NAN
        assert value == pytest.approx(expected, nan_ok=True)


def test_what_was_ready_counts_for_each_sample_that_takes_a_place() -> None:
    window = window_of((23.0, NAN), (18.0, 0.6), (13.0, NAN), (8.0, 0.4), (3.0, 0.2))
    service = make_service(ready=20, window=window)
    seen = view(service, NOW_S, 45.0, ((NOW_S - 100.0, 10), (NOW_S - 10.0, 20)))
    assert seen.cpu == pytest.approx(0.3)  # 0.6 of ten, 0.4 and 0.2 of twenty
    assert seen.cpu_then == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("samples", "cpu"),
    [
        ([(3.0, 0.3)], 0.3),
        ([(8.0, 0.1), (3.0, 0.3)], 0.2),
        # The sample of exactly 45 s still counts, the older one does not.
        ([(45.1, 0.9), (45.0, 0.1), (3.0, 0.3)], 0.2),
        # Two of the same time: the later arrival counts alone.
        ([(8.0, 0.1), (3.0, 0.9), (3.0, 0.3)], 0.2),
        # Late arrivals are put in their place: the newest three are 3, 8 and 13 s old.
        ([(18.0, 0.9), (3.0, 0.1), (8.0, 0.2), (13.0, 0.3)], 0.2),
        ([(3.0, 0.1), (18.0, 0.9), (13.0, 0.3), (8.0, 0.2)], 0.2),
        # Of now is not of the future; a moment later is.
        ([(8.0, 0.1), (0.0, 0.3)], 0.2),
        ([(3.0, 0.1), (0.0, 0.9), (0.0, 0.3)], 0.2),
        ([(8.0, 0.1), (3.0, 0.3), (-0.1, 0.9)], 0.2),
        # The last twenty are read: an older one that would count again is not.
        ([(4.0, 0.9)] + [(44.0, 0.1)] * 20, 0.1),
        ([(4.0, 0.9)] + [(44.0, 0.1)] * 19, 0.5),
    ],
)
def test_which_samples_count(samples: list[tuple[float, float]], cpu: float) -> None:
    assert cpu_of(*samples) == pytest.approx(cpu)


def test_each_figure_is_read_from_its_own_column() -> None:
    window = make_window(cpu=0.1, memory=0.2, rate=3.0, p95_s=0.5, error_rate=0.6, queue=7.0)
    seen = view(make_service(window=window), NOW_S, 45.0)
    assert (seen.cpu, seen.memory, seen.request_rate) == (0.1, 0.2, 3.0)
    assert (seen.p95_s, seen.error_rate, seen.queue_depth) == (0.5, 0.6, 7.0)
    assert (seen.newest_s, seen.age_s, seen.age) == (NOW_S - 3.0, 3.0, "3 s old")
    assert len(seen.rows) == 5


@pytest.mark.parametrize(
    ("samples", "age_s", "age"),
    [
        ([(300.0, 0.5)], 300.0, "300 s old"),
        ([(300.0, 0.5), (400.0, 0.5)], 300.0, "300 s old"),
        ([], INF, "no sample yet"),
        ([(-5.0, 0.5)], INF, "no sample yet"),
    ],
)
def test_a_service_without_fresh_samples_is_stale_and_knows_nothing(samples, age_s, age) -> None:  # type: ignore[no-untyped-def]
    seen = view(make_service(window=window_of(*samples)), NOW_S, 45.0)
    assert (seen.stale, seen.age_s, seen.age) == (True, age_s, age)
    figures = (seen.cpu, seen.memory, seen.request_rate, seen.p95_s, seen.error_rate)
    assert all(math.isnan(figure) for figure in (*figures, seen.queue_depth))


@pytest.mark.parametrize(
    ("ages_s", "age_s"),
    [
        ([8.0, 3.0], 3.0),
        ([8.0, 0.0], 0.0),
        ([8.0, 3.0, -1.0], 3.0),
        ([8.0, NAN], 8.0),
        ([-1.0, 8.0, -2.0], 8.0),
        ([-1.0], None),
        ([], None),
    ],
)
def test_the_newest_sample_is_one_that_was_taken(ages_s: list[float], age_s: float | None) -> None:
    window = window_of(*((age, 0.5) for age in ages_s))
    row = newest(make_service(window=window), NOW_S)
    assert (None if row is None else row[0]) == (None if age_s is None else NOW_S - age_s)


@pytest.mark.parametrize(
    ("step_s", "stale_after_s", "fresh_s"),
    [
        (5.0, 45.0, 45.0),
        (15.0, 45.0, 45.0),
        # Three samples are older than 45 s: they count all the same.
        (30.0, 45.0, 90.0),
        (60.0, 45.0, 180.0),
        (60.0, 300.0, 300.0),
        (10.0, 10.0, 30.0),
        # Beyond 120 s a gap is none between samples.
        (120.0, 45.0, 360.0),
        (300.0, 45.0, 360.0),
    ],
)
def test_samples_that_come_seldom_count_for_longer(
    step_s: float, stale_after_s: float, fresh_s: float
) -> None:
    for age_s, stale in ((fresh_s - 0.1, False), (fresh_s, False), (fresh_s + 0.1, True)):
        ages = [(age_s + step_s * k, 0.5) for k in (4, 3, 2, 1, 0)]
        seen = view(make_service(window=window_of(*ages)), NOW_S, stale_after_s)
        assert (seen.stale, seen.spacing_s) == (stale, pytest.approx(step_s))


@pytest.mark.parametrize(
    ("ages_s", "spacing_s"),
    [
        ([3.0], 0.0),
        ([63.0, 3.0], 0.0),  # one gap may be a failure that is over
        ([123.0, 63.0, 3.0], 60.0),
        ([1000.0, 63.0, 3.0], 60.0),  # of two the smaller
        ([63.0, 58.0, 53.0, 8.0, 3.0], 5.0),
        ([103.0, 93.0, 33.0, 3.0], 30.0),  # of three the middle
        ([23.0, 18.0, 8.0, 3.0, 3.0], 5.0),  # twice is no gap
        # A sample that is there twice takes no older one's place …
        ([85.0, 80.0, 35.0, 35.0, 25.0, 20.0], 5.0),
        ([age_s for age_s in (85.0, 80.0, 35.0, 25.0, 20.0) for _ in range(4)], 5.0),
        # … but for one that is there more than four times.
        ([age_s for age_s in (85.0, 80.0, 35.0, 25.0, 20.0) for _ in range(5)], 10.0),
        ([303.0, 243.0, 183.0, 123.0, 63.0, 3.0, -10.0], 60.0),
    ],
)
def test_what_lies_between_two_samples(ages_s: list[float], spacing_s: float) -> None:
    window = window_of(*((age_s, 0.5) for age_s in ages_s))
    assert view(make_service(window=window), NOW_S, 45.0).spacing_s == pytest.approx(spacing_s)


@pytest.mark.parametrize(
    ("counts", "ready", "then", "cpu", "memory"),
    [
        ((), 20, (20, 20, 20, 20, 20), 0.8, 0.4),
        (((NOW_S - 99.0, 20),), 20, (20, 20, 20, 20, 20), 0.8, 0.4),
        # Ten of them have been there for 4 s: only the newest sample has seen them.
        (((NOW_S - 99.0, 10), (NOW_S - 4.0, 20)), 20, (20, 10, 10, 10, 10), 0.4, 0.2),
        (((NOW_S - 99.0, 10), (NOW_S - 1.0, 20)), 20, (10, 10, 10, 10, 10), 0.4, 0.2),
        (((NOW_S - 99.0, 30), (NOW_S - 1.0, 10)), 10, (30, 30, 30, 30, 30), 2.4, 1.2),
        # Only the newest three count.
        (((NOW_S - 99.0, 10), (NOW_S - 14.0, 20)), 20, (20, 20, 20, 10, 10), 0.8, 0.4),
        # None is left: as shares of one.
        (((NOW_S - 99.0, 2), (NOW_S - 1.0, 0)), 0, (2, 2, 2, 2, 2), 1.6, 0.8),
    ],
)
def test_shares_of_what_was_ready_then_are_read_as_shares_of_what_is_ready_now(
    counts, ready, then, cpu, *, memory  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    window = make_window(cpu=0.8, memory=0.4, rate=700.0)
    seen = view(make_service(desired=20, ready=ready, window=window), NOW_S, 45.0, counts)
    assert seen.ready_then == then
    assert (seen.cpu, seen.memory) == (pytest.approx(cpu), pytest.approx(memory))
    assert (seen.request_rate, seen.rows[0][1], seen.rows[0][2]) == (700.0, 0.8, 0.4)


MOST = (1e9, 2.0, 2.0, INF, 3600.0, 3600.0, 3600.0, 1.0, INF)


def test_the_most_that_a_figure_can_be_is_one() -> None:
    assert possible(MOST) == MOST
    calm = (NOW_S, 0.4, 0.5, 100.0, 0.1, 0.2, 0.3, 0.0, 0.0)
    assert possible(calm) == calm


def test_no_more_arrives_than_a_hundred_times_what_the_maximum_could_serve() -> None:
    spec = make_spec(max_instances=5)  # 100 requests/s each
    most = (NOW_S, 0.5, 0.5, 50_000.0, 0.1, 0.2, 0.3, 0.0, 0.0)
    assert most_rate(spec) == pytest.approx(50_000.0)
    assert possible(most, 50_000.0) is most
    read = possible((*most[:3], 50_001.0, *most[4:]), 50_000.0)
    assert math.isnan(read[3])
    assert (*read[:3], *read[4:]) == (*most[:3], *most[4:])
    service = make_service(spec, window=make_window(rate=50_001.0))
    assert math.isnan(view(service, NOW_S, 45.0).request_rate)
    row, earlier = newest(service, NOW_S), newest(service, NOW_S - 5.0)
    assert row is not None
    assert earlier is not None
    assert math.isnan(row[3])
    assert math.isnan(earlier[3])
    assert most_rate(make_spec(min_instances=0, max_instances=0)) == pytest.approx(10_000.0)


@pytest.mark.parametrize("column", [1, 2, 4, 5, 6, 7])
def test_a_figure_that_cannot_be_is_none_and_the_others_count(column: int) -> None:
    row = list(MOST)
    row[column] = MOST[column] * 1.001
    read = possible(tuple(row))
    assert math.isnan(read[column])
    assert [value for k, value in enumerate(read) if k != column] == [
        value for k, value in enumerate(MOST) if k != column
    ]


def test_what_is_not_there_stays_so_beside_what_cannot_be() -> None:
    read = possible((NOW_S, 1e9, NAN, 5.0, NAN, 7200.0, NAN, 50.0, 3.0))
    assert (read[0], read[3], read[8]) == (NOW_S, 5.0, 3.0)
    assert all(math.isnan(read[k]) for k in (1, 2, 4, 5, 6, 7))


def test_a_service_is_seen_without_figures_that_cannot_be() -> None:
    window = make_window(cpu=50.0, memory=1e9, p95_s=1e6, error_rate=5.0, rate=7.0)
    looked = view(make_service(window=window), NOW_S, 45.0)
    gone = (looked.cpu, looked.cpu_then, looked.memory, looked.p95_s, looked.error_rate)
    assert all(map(math.isnan, gone))
    assert looked.request_rate == 7.0
    row = newest(make_service(window=window), NOW_S)
    assert row is not None
    assert math.isnan(row[1])
    later = newest(
        make_service(window=window), NOW_S - 5.0
    )  # the newest of all is ahead of the clock then
    assert later is not None
    assert math.isnan(later[1])
