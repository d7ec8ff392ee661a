"""Who went wrong first: by the figures alone, at a lag."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engine.model import SAMPLE_DTYPE, FloatArray, ServiceObservation
from engine.monitoring.causes import CauseKind
from engine.monitoring.findings import FindingKind
from engine.monitoring.lags import MOST_SERVICES, Leads
from engine.monitoring.lags import leads as leads_of
from tests.unit.engine.conftest import NOW_S, make_spec
from tests.unit.engine.monitoring.conftest import DATABASE, Platform, make_monitor


def leads(
    services: Sequence[ServiceObservation | None], rows: Sequence[int] | None = None
) -> Leads:
    return leads_of(services, NOW_S, range(len(services)) if rows is None else rows)


def service(
    name: str,
    *,
    p95_s: FloatArray | float = 0.2,
    every_s: float = 5.0,
    count: int = 120,
    **other: FloatArray,
) -> ServiceObservation:
    """Measured at `NOW_S` last; ten instances of ten slots."""
    window = np.zeros(count, SAMPLE_DTYPE)
    window["time_s"] = NOW_S - every_s * np.arange(count - 1, -1, -1.0)
    window["cpu"], window["p95_s"], window["request_rate"] = 0.5, p95_s, 100.0
    for figure, values in other.items():
        window[figure] = values
    return ServiceObservation(make_spec(name), 10, 10, 0, 0, window)


def after(quiet: float, bad: float, bad_for: int, count: int = 120) -> FloatArray:
    """A figure that is `bad` in the last `bad_for` samples."""
    values = np.full(count, quiet)
    values[count - bad_for :] = bad
    return values


@pytest.mark.parametrize("lag", [1, 4, 12])
@pytest.mark.parametrize(
    ("figure", "quiet", "bad"),
    [("p95_s", 0.2, 2.0), ("error_rate", 0.0, 0.3), ("queue_depth", 0.0, 300.0), ("cpu", 0.3, 0.9)],
)
def test_who_departs_first_leads_by_the_time_between(
    figure: str, quiet: float, bad: float, lag: int
) -> None:
    first = service("first", **{figure: after(quiet, bad, 10 + lag)})
    second = service("second", p95_s=after(0.2, 1.0, 10))
    same = service("same")
    seen = leads([second, same, first])
    assert list(seen) == [(0, 2)]
    assert seen[0, 2].lag_s == 5.0 * lag
    assert seen[0, 2].r > 0.9


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (after(0.2, 2.0, 10), after(0.2, 2.0, 10)),  # at once
        (after(0.2, 2.0, 30), after(0.2, 2.0, 10)),  # more than a minute apart
        (after(0.2, 2.0, 14), after(0.2, 0.21, 10)),  # within its usual spread
        (after(0.2, 0.02, 14), after(0.2, 2.0, 10)),  # for the better
        (after(0.2, 2.0, 120), after(0.2, 2.0, 110)),  # has lasted for long
        (np.full(120, np.nan), after(0.2, 2.0, 10)),  # not measured
    ],
)
def test_nobody_leads_where_nothing_shows_it(first: FloatArray, second: FloatArray) -> None:
    assert leads([service("one", p95_s=first), service("two", p95_s=second)]) == {}


def test_noise_leads_nobody() -> None:
    noise = np.random.default_rng(3)
    for _ in range(50):
        services = []
        for k in range(5):
            p95_s = 0.2 * np.exp(0.2 * noise.standard_normal(120))
            cpu = np.clip(0.5 + 0.05 * noise.standard_normal(120), 0.0, 1.0)
            services.append(service(f"s{k}", p95_s=p95_s, cpu=cpu))
        assert leads(services) == {}


@pytest.mark.parametrize("every_s", [5.0, 15.0, 30.0])
def test_the_lag_is_as_fine_as_the_samples_are(every_s: float) -> None:
    first, second = (
        service(name, p95_s=after(0.2, 2.0, bad_for), every_s=every_s)
        for name, bad_for in (("first", 12), ("second", 10))
    )
    assert leads([first, second])[1, 0].lag_s == 2.0 * every_s


def test_gaps_wrong_times_and_samples_of_the_future_do_no_harm() -> None:
    first, second = (
        service("a", p95_s=after(0.2, 2.0, 14)),
        service("b", p95_s=after(0.2, 2.0, 10)),
    )
    window = first.window.copy()
    window["time_s"][40:44] = np.nan
    window["p95_s"][50:60] = np.nan
    window["cpu"] = np.nan
    window[[70, 71]] = window[[71, 70]]
    late = np.zeros(1, SAMPLE_DTYPE)
    late["time_s"], late["p95_s"] = NOW_S + 3600.0, 900.0
    broken = ServiceObservation(first.spec, 10, 10, 0, 0, np.concatenate((window, late)))
    seen = leads([broken, None, second])
    assert list(seen) == [(2, 0)]
    assert seen[2, 0].lag_s == 20.0


@pytest.mark.parametrize("count", [0, 1, 10])
def test_a_short_past_says_nothing(count: int) -> None:
    services = [service("a", count=count), service("b", count=count)]
    assert leads(services) == {}
    assert leads([]) == {}


def test_only_those_that_are_asked_for_are_compared_and_not_more_than_a_few_hundred() -> None:
    size = MOST_SERVICES + 50
    services = [service(f"s{k}", p95_s=after(0.2, 0.5, 10)) for k in range(size)]
    services[7] = service("s7", p95_s=after(0.2, 5.0, 14))
    seen = leads(services)
    assert len(seen) == MOST_SERVICES - 1
    assert {earlier for _, earlier in seen} == {7}
    assert sorted(leads(services, [249, 7, 3])) == [(3, 7), (249, 7)]
    assert leads(services, [7]) == {}


UNLINKED = make_spec("api", user_facing=True)


def both_slow(platform: Platform, looks_between: int) -> None:
    """The database, and so long after it api, which is not said to call it."""
    platform.steps(120)
    platform.change("database", cpu=0.95, p95_s=1.4)
    platform.steps(looks_between)
    platform.change("api", cpu=0.95, p95_s=1.4)


def test_a_service_that_nobody_wrote_down_is_named_if_it_went_first() -> None:
    platform = Platform(make_monitor((UNLINKED, DATABASE)))
    both_slow(platform, 4)
    lasting = platform.steps(24)[-1].lasting
    slow = [f for f in lasting if (f.service, f.kind) == ("api", FindingKind.RESPONSE_TIME)]
    assert len(slow) == 1
    cause = slow[0].causes[0]
    assert (cause.service, cause.kind) == ("database", CauseKind.SLOWNESS)
    assert cause.words.endswith(", 20 s before api departed from what is usual")


def test_one_that_went_wrong_later_is_not_blamed_for_what_was_before() -> None:
    platform = Platform(make_monitor((UNLINKED, DATABASE)))
    both_slow(platform, 4)
    lasting = platform.steps(24)[-1].lasting
    assert {f.causes[0].service for f in lasting if f.service == "database"} == {"database"}
