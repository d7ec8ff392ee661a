"""The request resolution against exact recursions, other simulators and closed forms."""

import math

import numpy as np
import pytest
import simpy

from engine.model import SAMPLE_FIELDS, BootTime, Call, ServiceSpec
from twin.queues.kernels.requests import layout
from twin.queues.kernels.requests.recursion import kiefer_wolfowitz
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform

M = {name: i for i, name in enumerate(SAMPLE_FIELDS)}
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
PATIENT = ClientBehaviour(timeout_s=600.0, max_retries=0, queue_limit_per_slot=1e9)


def service(name, slots, service_s, scv, *, slo_p95_s=1.0, calls=()):
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


def platform(specs, arrivals, clients=PATIENT, seed=1, *, ready=(1,), **options):
    made = RequestPlatform(
        specs, np.atleast_2d(np.asarray(arrivals, float)), clients,
        np.random.Generator(np.random.Philox(seed)), **options,
    )  # fmt: skip
    for s, instances in enumerate(ready):
        made.set_ready(s, instances)
    return made


def steady(rate, seconds, seed=7):
    return np.random.default_rng(seed).poisson(rate, seconds).astype(float)


def scripted(slots, rho, count, scv, *, seed):
    """Arrival and service times (count,) of a queue with `slots` servers of mean service 1 s."""
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(1.0 / (rho * slots), count))
    service_s = rng.gamma(1.0 / scv, scv, count)
    return arrival_s, service_s


def run_script(arrival_s, service_s, slots):
    seconds = int(arrival_s[-1]) // 5 * 5 + 5
    made = platform(
        [service("one", slots, 1.0, 1.0)],
        np.bincount(arrival_s.astype(int), minlength=seconds),
        script=np.stack([arrival_s, service_s])[:, None, :],
        keep_waits=len(arrival_s),
    )
    made.advance(seconds)
    return made


def simpy_waits(arrival_s, service_s, slots):
    """The textbook model: one process a request before a `Resource`."""
    env = simpy.Environment()
    servers = simpy.Resource(env, slots)
    waits = np.empty(len(arrival_s))

    def request(i):
        with servers.request() as slot:
            yield slot
            waits[i] = env.now - arrival_s[i]
            yield env.timeout(service_s[i])

    def source():
        for i, at_s in enumerate(arrival_s):
            yield env.timeout(max(at_s - env.now, 0.0))
            env.process(request(i))

    env.process(source())
    env.run()
    return waits


@pytest.mark.parametrize(
    ("slots", "rho", "scv"), [(1, 0.7, 1.0), (3, 0.95, 4.0), (10, 0.8, 0.2), (300, 0.99, 2.0)]
)
def test_waits_are_those_of_the_kiefer_wolfowitz_recursion_to_the_last_bit(slots, rho, scv):
    arrival_s, service_s = scripted(slots, rho, 20_000, scv, seed=slots)
    made = run_script(arrival_s, service_s, slots)
    expected = kiefer_wolfowitz(arrival_s, service_s, slots)
    started = made.started(0)
    assert started > 19_000
    assert expected[:started].max() > 0.0
    np.testing.assert_array_equal(made.waits[0, :started], expected[:started])


def test_waits_are_those_of_simpy_request_by_request():
    arrival_s, service_s = scripted(4, 0.9, 2_000, 1.5, seed=5)
    made = run_script(arrival_s, service_s, 4)
    started = made.started(0)
    expected = simpy_waits(arrival_s, service_s, 4)[:started]
    assert np.count_nonzero(expected) > 500
    np.testing.assert_allclose(made.waits[0, :started], expected, rtol=0.0, atol=1e-9)


def erlang_c(servers, offered):
    """Probability of waiting, by the recursion of Erlang's loss formula."""
    loss = 1.0
    for k in range(1, servers + 1):
        loss = offered * loss / (k + offered * loss)
    rho = offered / servers
    return loss / (1.0 - rho * (1.0 - loss)), loss


@pytest.mark.parametrize(("servers", "rho"), [(1, 0.6), (10, 0.8), (100, 0.95)])
def test_mean_wait_of_an_m_m_c_queue_is_erlangs(servers, rho):
    service_s = 0.01
    rate = rho * servers / service_s
    seconds = int(1_500_000 / rate) // 5 * 5 + 5
    made = platform([service("m", servers, service_s, 1.0)], steady(rate, seconds))
    made.advance(seconds)
    wait_p, _ = erlang_c(servers, rho * servers)
    expected = wait_p * service_s / (servers * (1.0 - rho))
    # 1.5 million requests: a standard error of about 1 to 2 % at these loads
    assert made.mean_wait_s(0) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("scv", [0.0, 0.25, 4.0])
def test_mean_wait_of_an_m_g_1_queue_is_pollaczek_khinchines(scv):
    made = platform([service("g", 1, 0.01, scv)], steady(60.0, 20_000))
    made.advance(20_000)
    expected = 0.6 * 0.01 * (1.0 + scv) / 2.0 / 0.4
    assert made.mean_wait_s(0) == pytest.approx(expected, rel=0.06)


def test_without_room_to_wait_the_share_turned_away_is_erlangs_loss_formula():
    client = ClientBehaviour(max_retries=0, queue_limit_per_slot=0.0)
    made = platform([service("b", 20, 0.1, 3.0)], steady(180.0, 2_000), client)
    made.advance(2_000)
    totals = made.totals()[0]
    _, loss = erlang_c(20, 18.0)
    assert totals[T["shed"]] / totals[T["arrived"]] == pytest.approx(loss, rel=0.03)


def test_a_response_waits_for_its_calls_one_after_the_other():
    front = service("front", 1000, 0.05, 1.0, calls=(Call("back", 2.5), Call("jobs", 0.3, True)))
    specs = [front, service("back", 1000, 0.02, 2.0), service("jobs", 1000, 4.0, 1.0)]
    arrivals = np.stack([steady(400.0, 500), np.zeros(500), np.zeros(500)])
    made = platform(specs, arrivals, ready=(1, 1, 5))
    made.advance(500)
    totals = made.totals()
    assert totals[1, T["arrived"]] / totals[0, T["arrived"]] == pytest.approx(2.5, rel=0.01)
    assert totals[2, T["arrived"]] / totals[0, T["arrived"]] == pytest.approx(0.3, rel=0.02)
    mean_s = made._loop.real[0, layout.RESPONDED] / totals[0, T["served"]]
    assert mean_s == pytest.approx(0.05 + 2.5 * 0.02, rel=0.01)
    assert made.conservation_error() == 0.0


def test_a_failed_call_fails_its_caller_and_only_the_client_tries_again():
    client = ClientBehaviour(
        timeout_s=1.0, max_retries=1, retry_share=1.0, backoff_s=2.0, queue_limit_per_slot=1e9
    )
    specs = [service("front", 100, 0.01, 1.0, calls=(Call("back", 1.0),)), service("back", 1, 1, 1)]
    arrivals = np.zeros((2, 60))
    arrivals[0, 0] = 500.0
    made = platform(specs, arrivals, client, ready=(10, 0), sample_s=1)
    made.advance(60)
    totals = made.totals()
    assert totals[0, T["arrived"]] == 1000.0
    assert totals[0, T["retried"]] == 500.0
    assert totals[0, T["failed"]] == 1000.0
    assert totals[1, T["timed_out"]] == totals[1, T["arrived"]] == 1000.0
    # first attempts come within a second, fail a second later and come back after 1 to 3 s
    again = np.nonzero(made.truth[0, :, T["retried"]])[0]
    assert set(again) == {2, 3, 4}


def test_whoever_waits_too_long_leaves_at_that_very_time():
    client = ClientBehaviour(timeout_s=2.5, max_retries=0, queue_limit_per_slot=1e9)
    made = platform([service("shut", 1, 1.0, 1.0)], [100.0] * 20, client, ready=(0,), sample_s=1)
    made.advance(20)
    totals = made.totals()[0]
    assert totals[T["timed_out"]] == pytest.approx(1750, abs=15)
    assert made.mean_wait_s(0) == pytest.approx(2.5, rel=1e-12)


def test_drained_instances_finish_what_they_serve_and_start_nothing():
    made = platform([service("slow", 50, 20.0, 0.01)], [40.0] * 5 + [0.0] * 55, ready=(4,))
    made.advance(5)
    made.set_ready(0, 0)
    made.advance(60)
    totals = made.totals()[0]
    assert totals[T["failed"]] == totals[T["queued"]] == 0.0
    assert totals[T["served"]] == 200.0
    assert made._loop.counts[0, [layout.IDLE, layout.BUSY, layout.DRAINING]].tolist() == [0, 0, 0]


def test_a_crash_fails_what_was_in_service_there_and_nothing_else():
    made = platform([service("slow", 250, 1000.0, 0.01)], [100.0] * 20, ready=(4,))
    made.advance(20)
    before = made.totals()[0]
    made.set_ready(0, 3, crashed=1)
    after = made.totals()[0]
    assert before[T["in_flight"]] == 1000.0
    assert after[T["failed"]] == 250.0
    assert after[T["in_flight"]] == 750.0
    assert after[T["queued"]] == before[T["queued"]] == 1000.0


def test_metrics_say_what_happened():
    made = platform([service("calm", 100, 0.05, 1.0)], steady(1200.0, 300), start_s=1e9)
    made.advance(300)
    metrics = made.metrics[0]
    assert metrics[0, M["time_s"]] == 1e9 + 5
    assert metrics[10:, M["cpu"]].mean() == pytest.approx(0.6, rel=0.02)
    assert metrics[:, M["request_rate"]].mean() == pytest.approx(1200.0, rel=0.01)
    # exponential responses: quantiles are -ln(1 - q) means
    assert metrics[10:, M["p50_s"]].mean() == pytest.approx(0.05 * math.log(2.0), rel=0.02)
    assert metrics[10:, M["p95_s"]].mean() == pytest.approx(0.05 * math.log(20.0), rel=0.02)
    assert made.response_quantiles(0, (0.99,))[0] == pytest.approx(0.05 * math.log(100.0), rel=0.02)


def test_slowdown_holds_for_what_starts_from_now_on():
    made = platform([service("one", 1000, 0.1, 1.0)], steady(1000.0, 200))
    made.advance(100)
    made.set_slowdown(0, 3.0)
    made.advance(200)
    p50_s = made.metrics[0, :, M["p50_s"]]
    assert p50_s[22:].mean() / p50_s[:20].mean() == pytest.approx(3.0, rel=0.03)


def test_the_same_seed_gives_the_same_bytes_however_it_is_cut_into_stretches():
    specs = [
        service("front", 8, 0.05, 1.5, calls=(Call("back", 1.6),)),
        service("back", 4, 0.02, 2),
    ]
    arrivals = np.stack([steady(300.0, 200), np.zeros(200)])
    client = ClientBehaviour(timeout_s=1.0, max_retries=2, queue_limit_per_slot=3.0)
    whole, parts = (platform(specs, arrivals, client, ready=(2, 2)) for _ in range(2))
    whole.advance(200)
    for second in range(1, 201):
        parts.advance(second)
    assert whole.totals()[:, T["retried"]].sum() > 0.0
    assert whole.truth.tobytes() == parts.truth.tobytes()
    assert whole.metrics.tobytes() == parts.metrics.tobytes()
    other = platform(specs, arrivals, client, ready=(2, 2), seed=2)
    other.advance(200)
    assert other.truth.tobytes() != whole.truth.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrivals": np.zeros((2, 10))}, "shape"),
        ({"arrivals": np.full((1, 10), -1.0)}, "not negative"),
        ({"arrivals": np.full((1, 10), math.nan)}, "finite"),
        ({"arrivals": np.full((1, 10), 0.5)}, "whole numbers"),
        ({"sample_s": 3}, "multiple"),
        ({"clients": {}}, "no behaviour"),
    ],
)
def test_wrong_input_is_refused(change, message):
    arguments = {
        "services": [service("a", 1, 1.0, 1.0)],
        "arrivals": np.zeros((1, 10)),
        "clients": PATIENT,
        "rng": np.random.default_rng(1),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        RequestPlatform(**arguments)


def test_wrong_calls_are_refused():
    made = platform([service("a", 1, 1.0, 1.0)], [1.0] * 10)
    made.advance(5)
    for wrong in (
        lambda: made.advance(4),
        lambda: made.advance(11),
        lambda: made.set_ready(0, -1),
        lambda: made.set_ready(0, 1, crashed=-1),
        lambda: made.set_slowdown(0, math.nan),
    ):
        with pytest.raises(ValueError, match="not allowed"):
            wrong()
    assert (made.now_s, made.samples) == (5, 1)
