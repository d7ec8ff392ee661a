"""What is measured, what is lost and what was never there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.figures import LOST_S, FiguresThere, figures, listed
from tests.unit.engine.conftest import NOW_S, make_window
from tests.unit.engine.decide.conftest import viewed

NAN = math.nan
ALL = ("cpu", "memory", "request_rate", "p95_s", "error_rate", "queue_depth")
EARLIER = dict.fromkeys(ALL, NOW_S - 100.0)


def without(*names: str, **changes: float) -> np.ndarray:
    window = make_window(**changes)
    for name in names:
        window[name] = NAN
    return window


def of(window: np.ndarray, before_s: dict[str, float] | None = None) -> FiguresThere:
    return figures({} if before_s is None else before_s, window, viewed(window), NOW_S)


def test_what_is_there_was_measured_with_the_newest_sample() -> None:
    for before_s in ({}, EARLIER):
        assert of(make_window(), before_s) == FiguresThere(
            (), (), False, dict.fromkeys(ALL, NOW_S - 3)
        )
    zeros = make_window(cpu=0.0, memory=0.0, rate=0.0, p95_s=0.0)
    assert of(zeros) == FiguresThere((), (), False, dict.fromkeys(ALL, NOW_S - 3.0))


@pytest.mark.parametrize("wild", [NAN, math.inf, -1.0])
@pytest.mark.parametrize("name", ALL)
def test_what_was_never_there_is_absent(name: str, wild: float) -> None:
    window = make_window()
    window[name] = wild
    seen = of(window)
    assert (seen.lost, seen.absent, seen.unmeasured) == ((), (name,), False)
    assert name not in seen.measured_s


@pytest.mark.parametrize("name", ALL)
def test_what_was_there_before_is_lost_until_an_hour_has_passed(name: str) -> None:
    before_s = EARLIER | {name: NOW_S - LOST_S + 1.0}
    seen = of(without(name), before_s)
    assert (seen.lost, seen.absent) == ((name,), ())
    assert seen.measured_s == dict.fromkeys(ALL, NOW_S - 3.0) | {name: before_s[name]}
    seen = of(without(name), EARLIER | {name: NOW_S - LOST_S})
    assert (seen.lost, seen.absent) == ((), (name,))


def test_an_engine_that_is_started_in_a_failure_looks_back() -> None:
    window = make_window()
    window["cpu"][-4:] = NAN
    seen = of(window)
    # the newest is 3 s old, the fifth newest 23 s
    assert (seen.lost, seen.measured_s["cpu"]) == (("cpu",), NOW_S - 23.0)
    assert of(window, {"memory": NOW_S - 5.0}).absent == ("cpu",)  # it has looked before
    window["cpu"][:-4] = [math.inf, -1.0, math.inf, -1.0, 0.0, math.inf, -1.0, NAN]
    assert of(window).measured_s["cpu"] == NOW_S - 38.0
    window["time_s"][4] = NOW_S
    assert of(window).measured_s["cpu"] == NOW_S
    window["time_s"][4] = NOW_S + 5.0
    assert of(window).absent == ("cpu",)


@pytest.mark.parametrize(
    ("rate", "lost"),
    [(0.0, ()), (0.1, ("p95_s", "error_rate")), (NAN, ("request_rate", "p95_s", "error_rate"))],
)
def test_at_no_requests_nothing_is_missing(rate: float, lost: tuple[str, ...]) -> None:
    window = without("p95_s", "error_rate", rate=rate)
    seen = of(window, EARLIER)
    assert (seen.lost, seen.absent) == (lost, ())
    assert seen.measured_s["p95_s"] == NOW_S - 100.0
    assert of(without("cpu", rate=0.0), EARLIER).lost == ("cpu",)
    assert seen.measured_s["queue_depth"] == NOW_S - 3.0


@pytest.mark.parametrize(
    ("there", "unmeasured"),
    [
        ((), True),
        (("memory", "error_rate", "queue_depth"), True),
        (("cpu",), False),
        (("request_rate",), False),
        (("p95_s",), False),
    ],
)
def test_whether_anything_tells_how_busy_it_is(there: tuple[str, ...], unmeasured: bool) -> None:
    missing = [name for name in ALL if name not in there]
    assert of(without(*missing)).unmeasured is unmeasured
    assert of(without(*missing), EARLIER).unmeasured is unmeasured


def test_of_stale_samples_nothing_is_said_and_nothing_forgotten() -> None:
    assert of(make_window(age_s=99.0), EARLIER) == FiguresThere((), (), True, EARLIER)


def test_figures_are_listed_in_words() -> None:
    assert listed(["p95_s"]) == "p95"
    assert listed(["cpu", "request_rate"]) == "cpu and request rate"
    assert listed(["memory", "error_rate", "queue_depth"]) == "memory, error rate and queue depth"
