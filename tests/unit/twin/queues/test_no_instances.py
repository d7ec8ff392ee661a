"""A service without instances: what comes waits, up to a limit and a time, in both resolutions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS, BootTime, ServiceSpec
from twin.queues.fluid import FluidPlatform
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour, SimulatedPlatform
from twin.queues.requests import RequestPlatform

M = {name: i for i, name in enumerate(SAMPLE_FIELDS)}
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
SPEC = ServiceSpec(
    name="jobs", min_instances=0, max_instances=100, slots=4, service_s=0.1, service_scv=1.0,
    boot=BootTime(20.0, 30.0), warmup_s=0.0, slo_p95_s=1.0, price_per_hour=0.1,
)  # fmt: skip
CLIENT = ClientBehaviour(timeout_s=60.0, max_retries=0, queue_limit_per_slot=50.0)


def fluid(arrivals: np.ndarray, client: ClientBehaviour) -> SimulatedPlatform:
    return FluidPlatform((SPEC,), arrivals[None, :], client)


def single(arrivals: np.ndarray, client: ClientBehaviour) -> SimulatedPlatform:
    return RequestPlatform(
        (SPEC,), arrivals[None, :], client, np.random.Generator(np.random.Philox(1))
    )


BOTH = pytest.mark.parametrize("make", [fluid, single])
Make = Callable[[np.ndarray, ClientBehaviour], SimulatedPlatform]


def arriving(rate: float, begin_s: int, seconds: int = 200) -> np.ndarray:
    arrivals = np.zeros(seconds)
    arrivals[begin_s:] = rate
    return arrivals


@BOTH
def test_what_nobody_serves_has_no_cpu_no_memory_and_no_response_times(make: Make) -> None:
    platform = make(arriving(2.0, 50), CLIENT)
    platform.advance(100)
    seen = platform.metrics[0, :20]
    assert np.isnan(seen[:, [M[name] for name in ("cpu", "memory", "p50_s", "p95_s")]]).all()
    assert (seen[:10, M["request_rate"]] == 0.0).all()
    assert (seen[:10, M["queue_depth"]] == 0.0).all()
    assert seen[10:, M["request_rate"]] == pytest.approx(2.0)
    assert seen[19, M["queue_depth"]] == pytest.approx(100.0)
    platform.set_ready(0, 1)
    platform.advance(105)
    assert np.isfinite(platform.metrics[0, 20]).all()


@BOTH
def test_the_first_requests_wait_is_among_the_response_times(make: Make) -> None:
    platform = make(arriving(2.0, 50), CLIENT)
    platform.advance(90)
    platform.set_ready(0, 1)
    platform.advance(200)
    totals = platform.totals()[0]
    assert totals[T["timed_out"]] == totals[T["shed"]] == totals[T["failed"]] == 0.0
    assert platform.conservation_error() < 1e-9
    # Who came in the 40 s before it was there waited for up to that, 80 of 300 requests.
    (p50_s, p80_s, p99_s) = platform.response_quantiles(0, (0.5, 0.8, 0.99))
    assert p50_s < 1.0 < p80_s < p99_s < 41.0
    assert p99_s > 35.0
    assert totals[T["slow"]] == pytest.approx(78.0, abs=8.0)


@BOTH
def test_who_waits_gives_up_after_the_time_out_and_beyond_the_limit_nobody_waits(
    make: Make,
) -> None:
    platform = make(arriving(2.0, 50), CLIENT)
    platform.advance(200)
    totals = platform.totals()[0]
    assert totals[T["arrived"]] == pytest.approx(300.0)
    assert totals[T["timed_out"]] == pytest.approx(2.0 * (150.0 - 60.0), abs=4.0)
    assert totals[T["shed"]] == 0.0
    assert platform.conservation_error() < 1e-9
    crowd = make(arriving(20.0, 50), CLIENT)
    crowd.advance(100)
    totals = crowd.totals()[0]
    assert totals[T["shed"]] == pytest.approx(1000.0 - 200.0)  # as many wait as at one instance
    assert crowd.conservation_error() < 1e-9


@BOTH
def test_it_can_go_to_nothing_and_come_back_again_and_again(make: Make) -> None:
    platform = make(arriving(3.0, 0, 600), CLIENT)
    for k in range(12):
        platform.set_ready(0, k % 2)
        platform.advance(50 * (k + 1))
        assert platform.conservation_error() < 1e-9
    totals = platform.totals()[0]
    ended = sum(totals[T[name]] for name in ("served", "queued", "in_flight", "timed_out"))
    assert totals[T["arrived"]] == pytest.approx(ended)
    assert totals[T["served"]] > 1500.0
