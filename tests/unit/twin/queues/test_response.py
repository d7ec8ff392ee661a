"""Waits and response times against closed forms, and the count of instances built on them."""

import heapq
import math

import numpy as np
import pytest

from engine.model import BootTime, Call, ServiceSpec
from twin.queues.fluid import FluidPlatform
from twin.queues.port import ClientBehaviour
from twin.queues.reference import erlang_c
from twin.queues.response import base_moments, needed_curve

PATIENT = ClientBehaviour(timeout_s=600.0, max_retries=0, queue_limit_per_slot=1e9)


def service(name="api", slots=16, service_s=0.04, scv=1.5, *, slo_p95_s=0.5, calls=()):
    return ServiceSpec(
        name=name,
        min_instances=1,
        max_instances=10_000,
        slots=slots,
        service_s=service_s,
        service_scv=scv,
        boot=BootTime(60.0, 120.0),
        warmup_s=10.0,
        slo_p95_s=slo_p95_s,
        price_per_hour=0.1,
        calls=calls,
    )


def count_for(spec, rate, platform=(), slowdown=1.0):
    return int(needed_curve(spec, np.array([rate]), platform, slowdown)[0])


SERVERS = (1, 2, 5, 16, 64, 250, 1000)
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)


@pytest.mark.parametrize("servers", SERVERS)
@pytest.mark.parametrize("rho", LOADS)
def test_mean_wait_of_a_steady_service_is_that_of_mmc(servers, rho):
    spec = service(slots=1, scv=1.0)
    rate = rho * servers / spec.service_s
    platform = FluidPlatform([spec], np.full((1, 300), rate), PATIENT)
    platform.set_ready(0, servers)
    platform.advance(300)
    wait_s = platform.metrics[0, -1, 8] / rate  # Little: waiting requests over their rate
    exact_s = erlang_c(servers, rho) * spec.service_s / (servers * (1.0 - rho))
    assert wait_s == pytest.approx(exact_s, rel=0.008, abs=1e-12)


@pytest.mark.parametrize(("servers", "scv", "rho"), [(1, 1.0, 0.8), (16, 1.5, 0.9), (32, 2.5, 0.9)])
def test_response_quantiles_agree_with_a_simulated_queue(servers, scv, rho):
    rng = np.random.default_rng(7)
    spec = service(slots=servers, scv=scv)
    count = 400_000
    rate = rho * servers / spec.service_s
    at_s = np.cumsum(rng.exponential(1.0 / rate, count))
    holds_s = rng.gamma(1.0 / scv, scv * spec.service_s, count)
    free_s = [0.0] * servers
    response_s = np.empty(count)
    for i in range(count):
        start_s = max(at_s[i], free_s[0])
        heapq.heapreplace(free_s, start_s + holds_s[i])
        response_s[i] = start_s + holds_s[i] - at_s[i]
    platform = FluidPlatform([spec], np.full((1, 600), rate), PATIENT)
    platform.set_ready(0, 1)
    platform.advance(600)
    simulated_s = np.quantile(response_s[20_000:], (0.5, 0.95, 0.99))
    np.testing.assert_allclose(platform.metrics[0, -1, 4:7], simulated_s, rtol=0.08)


def test_wait_at_saturation_grows_with_the_square_root_of_time():
    spec = service(slots=100, scv=1.0)
    capacity = 100 / spec.service_s
    platform = FluidPlatform([spec], np.full((1, 400), capacity), PATIENT, sample_s=1)
    platform.set_ready(0, 1)
    platform.advance(400)
    wait_s = platform.metrics[0, :, 8] / capacity
    seconds = np.arange(1, 401)
    brownian_s = np.sqrt(2.0 / math.pi * 2.0 * seconds / capacity)  # mean of |B|, variance 2/mu
    np.testing.assert_allclose(wait_s, brownian_s, rtol=1e-9)


def test_wait_returns_to_normal_after_overload():
    spec = service(slots=100)
    capacity = 100 / spec.service_s
    arrivals = np.concatenate([np.full(100, 0.8), np.full(30, 1.3), np.full(170, 0.8)]) * capacity
    platform = FluidPlatform([spec], arrivals[None], PATIENT)
    platform.set_ready(0, 1)
    platform.advance(300)
    p95_s = platform.metrics[0, :, 5]
    assert p95_s[24] > 5.0
    assert p95_s[-1] == pytest.approx(p95_s[15], rel=1e-3)


def test_base_response_is_the_sum_of_service_and_calls():
    api = service(calls=(Call("database", 1.6), Call("jobs", 3.0, asynchronous=True)))
    database = service("database", 64, 0.006, 2.0, slo_p95_s=0.1)
    moments = base_moments([api, database, service("jobs")], [1.0, 3.0, 1.0])
    rng = np.random.default_rng(5)
    n = 2_000_000
    samples_s = rng.gamma(1 / 1.5, 1.5 * 0.04, n)
    call_s = rng.gamma(1 / 2.0, 2.0 * 0.018, (2, n))
    samples_s += call_s[0] + call_s[1] * (rng.random(n) < 0.6)
    assert moments[0, 0] == pytest.approx(samples_s.mean(), rel=0.004)
    assert moments[0, 1] == pytest.approx(samples_s.var(), rel=0.02)


@pytest.mark.parametrize("rate", [1.0, 300.0, 12_345.0, 400_000.0])
def test_needed_count_meets_the_slo_and_one_less_does_not(rate):
    spec = service(slo_p95_s=0.15)
    count = count_for(spec, rate)

    def p95_s(instances):
        platform = FluidPlatform([spec], np.full((1, 900), rate), PATIENT)
        platform.set_ready(0, instances)
        platform.advance(900)
        return platform.metrics[0, -1, 5]

    def utilisation(instances):
        return rate / (instances * spec.rate_per_instance)

    assert p95_s(count) <= spec.slo_p95_s * 1.002
    assert utilisation(count) <= 0.98
    if count > 1:
        assert utilisation(count - 1) > 0.98 or p95_s(count - 1) > spec.slo_p95_s * 0.998


def test_needed_counts_special_cases():
    spec = service()
    assert count_for(spec, 0.0) == 0
    assert count_for(spec, 1e-9) == 1
    assert count_for(spec, 392.0) >= 1
    # a service that cannot meet its SLO on its own gets what its utilisation asks for
    hopeless = service(slo_p95_s=0.001)
    assert count_for(hopeless, 4000.0) == math.ceil(4000.0 / (0.98 * 400.0))
    slowed = count_for(spec, 4000.0, slowdown=3.0)
    assert slowed >= 3 * 4000.0 / 400.0
    # calls take their part of the SLO
    database = service("database", 64, 0.05, 2.0, slo_p95_s=1.0)
    caller = service(slo_p95_s=0.3, calls=(Call("database", 1.6),))
    alone = count_for(caller, 4000.0)
    assert count_for(caller, 4000.0, (caller, database)) >= alone
    rates = np.linspace(0.0, 5e4, 200)
    curve = needed_curve(spec, rates)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == count_for(spec, 5e4)
    with pytest.raises(ValueError, match="finite"):
        needed_curve(spec, np.array([math.nan]))
