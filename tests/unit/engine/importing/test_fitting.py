"""Service times, slots and spread are found again in what a known queue shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.importing import fitting
from engine.importing.fitting import FitError, MeasuredWork

STEPS = 600


def shown(slots: int, service_s: float, scv: float, cores: float = 1.0) -> MeasuredWork:
    """A day and more of a service under an autoscaler that is late, with some noise."""
    rng = np.random.default_rng(3)
    busy = 0.25 + 0.6 * rng.random(STEPS)
    ready = 2.0 + np.floor(6.0 * rng.random(STEPS))
    load = busy * ready * slots / service_s
    response = fitting.response(slots, service_s, load, ready, scv=scv)
    from scipy.special import gammaincinv

    p95 = service_s * scv * gammaincinv(1.0 / scv, 0.95) * np.ones(STEPS)
    used = load * service_s / slots * cores
    noise = rng.normal(1.0, 0.01, STEPS)
    return MeasuredWork(load, ready, response * noise, p95, used, np.zeros(STEPS))


@pytest.mark.parametrize("slots", [1, 2, 4, 12])
@pytest.mark.parametrize(("service_s", "scv"), [(0.02, 0.5), (0.4, 2.0)])
def test_slots_and_service_time_are_found_again(slots: int, service_s: float, scv: float) -> None:
    fitted = fitting.fit(shown(slots, service_s, scv), most_cores=1.0)
    assert fitted.service_s == pytest.approx(service_s, rel=0.05)
    assert fitted.slots == pytest.approx(slots, rel=0.25)
    assert fitted.service_scv == pytest.approx(scv, rel=0.2)
    assert fitted.cores == pytest.approx(1.0, rel=0.25)


def test_gaps_are_left_out_and_too_little_is_refused() -> None:
    whole = shown(4, 0.1, 1.0)
    holes = np.where(np.arange(STEPS) % 3 == 0, np.nan, whole.load)
    fitted = fitting.fit(replace(whole, load=holes), most_cores=1.0)
    assert fitted.steps == STEPS - STEPS // 3
    assert fitted.service_s == pytest.approx(0.1, rel=0.05)
    with pytest.raises(FitError, match="not measured: cores"):
        fitting.fit(replace(whole, cores=np.full(STEPS, np.nan)), most_cores=1.0)


def test_without_a_p95_the_spread_is_said_to_be_assumed() -> None:
    fitted = fitting.fit(replace(shown(4, 0.1, 1.0), p95_s=np.full(STEPS, np.nan)), 1.0)
    assert not fitted.scv_measured
    assert fitted.service_scv == 1.0


def test_what_comes_from_outside_is_the_load_without_the_calls() -> None:
    load = np.array([10.0, 20.0, np.nan, 5.0])
    calls = {"a": np.array([4.0, np.nan, 1.0, 9.0])}
    np.testing.assert_array_equal(fitting.outside(load, calls), [6.0, np.nan, np.nan, 0.0])
    assert fitting.per_request(calls["a"], load) == pytest.approx(13.0 / 15.0)
