"""The fluid services against their plain reference and against figures worked out by hand."""

import math

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS, BootTime, Call, ServiceSpec
from twin.queues.fluid import BUCKETS, FluidPlatform
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.reference import ReferencePlatform

M = {name: i for i, name in enumerate(SAMPLE_FIELDS)}
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
PATIENT = ClientBehaviour(timeout_s=600.0, max_retries=0, queue_limit_per_slot=1e9)


def service(name, slots, service_s, scv, *, slo_p95_s, calls=()):
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


PLATFORM = (
    service("api", 16, 0.04, 1.5, slo_p95_s=0.5, calls=(Call("database", 1.6),)),
    service("database", 64, 0.006, 2.0, slo_p95_s=0.1),
    service(
        "file-storage",
        32,
        0.12,
        2.5,
        slo_p95_s=1.0,
        calls=(Call("ai-services", 0.3, asynchronous=True),),
    ),
    service("real-time", 128, 0.005, 1.0, slo_p95_s=0.2, calls=(Call("database", 0.1),)),
    service("ai-services", 4, 0.9, 1.0, slo_p95_s=5.0),
)
RATES = np.array([spec.rate_per_instance for spec in PLATFORM])
QUICK = service("quick", 10, 0.01, 1.0, slo_p95_s=5.0)  # 1000 requests/s an instance


def single(spec, arrivals, clients=PATIENT, ready=1, **changes):
    platform = FluidPlatform([spec], np.atleast_2d(np.asarray(arrivals, float)), clients, **changes)
    platform.set_ready(0, ready)
    return platform


def random_case(seed):
    """Loads around capacity, with changes of capacity, a crash and a slow database."""
    rng = np.random.default_rng(seed)
    ready = rng.integers(1, 4, 5)
    arrivals = (RATES * ready)[:, None] * rng.uniform(0.2, 1.3, (5, 1))
    arrivals = arrivals * rng.uniform(0.5, 1.4, (5, 60))
    arrivals[1] *= 0.1
    clients = [
        ClientBehaviour(
            timeout_s=float(rng.uniform(1.0, 12.0)),
            max_retries=int(rng.integers(0, 4)),
            retry_share=float(rng.uniform(0.0, 1.0)),
            backoff_s=float(rng.choice([0.0, 0.5, 2.3])),
            queue_limit_per_slot=float(rng.choice([0.1, 2.0, 50.0])),
        )
        for _ in PLATFORM
    ]
    changes = {
        tick: np.where(rng.random(5) < 0.15, 0, np.maximum(1, ready + rng.integers(-1, 2, 5)))
        for tick in range(0, 60, 10)
    }
    return arrivals, clients, changes


@pytest.mark.parametrize("seed", range(8))
def test_kernel_agrees_with_the_plain_reference(seed):
    arrivals, clients, changes = random_case(seed)
    by_name = {spec.name: client for spec, client in zip(PLATFORM, clients, strict=True)}
    fluid = FluidPlatform(PLATFORM, arrivals, by_name)
    plain = ReferencePlatform(PLATFORM, arrivals, clients)
    for tick in range(60):
        for s, instances in enumerate(changes.get(tick, ())):
            fluid.set_ready(s, int(instances))
            plain.services[s].ready = int(instances)
        if tick == 25:
            before = plain.services[0].ready
            fluid.set_ready(0, before // 2, crashed=before - before // 2)
            plain.lose(0, (before - before // 2) / before if before else 0.0)
            plain.services[0].ready = before // 2
        if tick in (30, 45):
            factor = 3.0 if tick == 30 else 1.0
            fluid.set_slowdown(1, factor)
            plain.services[1].slowdown = factor
        fluid.advance(tick + 1)
        plain.step()
        ours, theirs = fluid.totals(), plain.totals()
        counts = [c for c in range(9) if c != T["slow"]]
        np.testing.assert_allclose(
            ours[:, counts], theirs[:, counts], rtol=1e-9, atol=1e-9 * theirs.max()
        )
    slow, expected = ours[:, T["slow"]], theirs[:, T["slow"]]
    # the reference has 4000 points: shares below a thousandth are beyond its own resolution
    assert np.all(np.abs(slow - expected) <= 0.04 * expected + 1e-4 * theirs[:, T["served"]])
    assert (expected / theirs[:, T["served"]]).max() > 0.01


@pytest.mark.parametrize("seed", range(4))
def test_identical_input_gives_identical_bytes(seed):
    arrivals, clients, changes = random_case(seed)
    by_name = {spec.name: client for spec, client in zip(PLATFORM, clients, strict=True)}
    runs = []
    for until_s in (1, 7, 60):  # and however the time is cut into calls
        platform = FluidPlatform(PLATFORM, arrivals, by_name)
        now_s = 0
        while now_s < 60:
            for s, instances in enumerate(changes.get(now_s, ())):
                platform.set_ready(s, int(instances))
            now_s = min(now_s + until_s, 10 * (now_s // 10 + 1))
            platform.advance(now_s)
        runs.append(platform.metrics.tobytes() + platform.truth.tobytes())
    assert runs[0] == runs[1] == runs[2]


def test_backlog_clears_when_arithmetic_says_so():
    # 1500/s for 40 s at a capacity of 1000/s leave 20,000; at 500/s they are gone 40 s later
    platform = single(QUICK, [1500.0] * 40 + [500.0] * 60, sample_s=1)
    platform.advance(100)
    queued = platform.truth[0, :, T["queued"]]
    seconds = np.arange(1, 101)
    expected = np.where(seconds <= 40, 500.0 * seconds, np.maximum(40_000.0 - 500.0 * seconds, 0))
    np.testing.assert_allclose(queued, expected, atol=1e-6)
    # wait above 5 s: those who came from second 10 to 40 (at 1500/s) and from 40 to 70 (500/s)
    assert platform.totals()[0, T["slow"]] == pytest.approx(60_000.0, rel=2e-3)
    p50_s = platform.metrics[0, :, M["p50_s"]]
    assert p50_s[59] == pytest.approx(19.83, abs=0.1)  # the 60,000th request came at 40 s
    assert platform.response_quantiles(0, (1 / 3, 0.9)) == pytest.approx((5.0, 17.75), rel=0.05)


def test_waiting_requests_leave_after_the_timeout():
    client = ClientBehaviour(timeout_s=10.0, max_retries=0, queue_limit_per_slot=1e9)
    platform = single(QUICK, [2000.0] * 100, client)
    platform.advance(100)
    truth = platform.truth[0]
    assert truth[0, T["timed_out"]] == 0.0
    np.testing.assert_allclose(truth[10:, T["timed_out"]], 5000.0, rtol=1e-9)
    np.testing.assert_allclose(truth[10:, T["served"]], 5000.0, rtol=1e-3)
    assert platform.metrics[0, 5:, M["p99_s"]].max() < 10.5


def test_requests_beyond_the_queue_limit_are_shed():
    client = ClientBehaviour(timeout_s=60.0, max_retries=0, queue_limit_per_slot=20.0)
    platform = single(QUICK, [1500.0] * 50, client)
    platform.advance(50)
    truth = platform.truth[0]
    assert truth[:, T["queued"]].max() == pytest.approx(200.0)  # 20 for each of 10 slots
    np.testing.assert_allclose(truth[1:, T["shed"]], 2500.0)
    np.testing.assert_allclose(platform.metrics[0, 1:, M["error_rate"]], 1 / 3)
    assert platform.metrics[0, 1:, M["p95_s"]].max() < 0.5  # a short queue is a short wait


def test_waits_are_right_after_a_time_in_which_everything_was_shed():
    client = ClientBehaviour(timeout_s=3.0, max_retries=0, queue_limit_per_slot=0.0)
    platform = single(QUICK, [1100.0] * 60, client, ready=0)
    platform.advance(45)
    platform.set_ready(0, 1)
    platform.advance(60)
    assert platform.metrics[0, 9:, M["p99_s"]].max() < 0.5  # no wait outlives its second


def test_nothing_starts_without_instances():
    platform = single(QUICK, [100.0] * 60, ready=0)
    platform.advance(60)
    totals = platform.totals()[0]
    assert totals[T["served"]] == 0.0
    assert totals[T["queued"]] == pytest.approx(6000.0)
    assert np.isnan(platform.metrics[0, :, [M["p95_s"], M["cpu"], M["memory"]]]).all()


def test_idle_service_reports_no_load():
    platform = single(QUICK, [0.0] * 60, ready=1)
    platform.advance(60)
    np.testing.assert_array_equal(platform.metrics[0, :, M["cpu"]], 0.0)
    np.testing.assert_array_equal(platform.metrics[0, :, M["error_rate"]], 0.0)
    np.testing.assert_array_equal(platform.truth[0, :, T["needed"]], 0.0)


def test_metrics_of_a_steady_service():
    platform = single(QUICK, [600.0] * 600, start_s=1e9)
    platform.advance(600)
    last = dict(zip(SAMPLE_FIELDS, platform.metrics[0, -1], strict=True))
    assert last["time_s"] == 1e9 + 600
    assert platform.metrics[0, 0, M["time_s"]] == 1e9 + 5
    assert last["cpu"] == pytest.approx(0.6, rel=1e-6)
    assert last["memory"] == pytest.approx(0.30 + 0.45 * 0.6, rel=1e-4)
    assert last["request_rate"] == 600.0
    assert last["error_rate"] == 0.0
    assert platform.truth[0, -1, T["in_flight"]] == pytest.approx(6.0, rel=1e-9)  # Little


def test_crash_fails_what_is_in_service_and_nothing_else():
    slow = service("slow", 25, 2.0, 1.0, slo_p95_s=10.0)
    platform = single(slow, [100.0] * 60, ready=4)
    platform.advance(60)
    before = platform.totals()[0]
    platform.set_ready(0, 3, crashed=1)
    after = platform.totals()[0]
    assert after[T["failed"]] == pytest.approx(0.25 * before[T["in_flight"]])
    assert after[T["in_flight"]] == pytest.approx(0.75 * before[T["in_flight"]])
    assert after[T["queued"]] == before[T["queued"]] > 0.0
    assert platform.conservation_error() < 1e-12


def test_failed_attempts_come_back_with_backoff_and_then_give_up():
    client = ClientBehaviour(
        timeout_s=5.0, max_retries=2, retry_share=0.8, backoff_s=4.0, queue_limit_per_slot=0.0
    )
    arrivals = np.zeros(60)
    arrivals[0] = 1000.0
    platform = single(QUICK, arrivals, client, ready=0, sample_s=1)
    platform.advance(60)
    came = platform.truth[0, :, T["arrived"]]
    assert platform.totals()[0, T["shed"]] == pytest.approx(1000.0 * (1 + 0.8 + 0.64))
    assert came[0] == 1000.0
    assert came[1] == 0.0
    # mean time of the first retry 4 s, of the second another 8 s later
    second = np.arange(60)
    assert (came[1:] * second[1:]).sum() == pytest.approx(800 * 4 + 640 * 12, rel=1e-6)


def test_slow_database_starts_a_retry_storm_that_ends_with_it():
    clients = ClientBehaviour(timeout_s=3.0, backoff_s=1.0, queue_limit_per_slot=1e4)
    arrivals = np.zeros((2, 900))
    arrivals[0] = 0.8 * RATES[1] / 1.6  # database at 80 %
    platform = FluidPlatform(PLATFORM[:2], arrivals, clients)
    platform.set_ready(0, 40)
    platform.set_ready(1, 1)
    platform.advance(300)
    platform.set_slowdown(1, 3.0)
    platform.advance(600)
    platform.set_slowdown(1, 1.0)
    platform.advance(900)
    api, database = platform.truth
    calm, storm, after = slice(20, 60), slice(80, 120), slice(150, 180)
    assert api[calm, T["failed"]].sum() == 0.0
    assert api[storm, T["failed"]].min() > 0.5 * 5 * arrivals[0, 0]
    assert api[storm, T["arrived"]].min() > 1.5 * api[calm, T["arrived"]].max()
    assert database[storm, T["timed_out"]].min() > 0.0
    assert database[:, T["retried"]].sum() == 0.0  # the api does not repeat its calls
    assert api[after, T["failed"]].sum() == 0.0
    np.testing.assert_allclose(api[after, T["arrived"]], api[calm, T["arrived"]].mean())
    slow_share = api[:, T["slow"]] / api[:, T["served"]]
    assert slow_share[storm].min() > 0.5
    assert slow_share[after].max() == pytest.approx(slow_share[calm].max(), rel=1e-3)
    assert platform.conservation_error() < 1e-12


def test_waiting_for_a_rare_call_slows_only_the_requests_that_make_it():
    # 10 % of real-time requests call a database that has a backlog of many seconds
    services = (PLATFORM[3], PLATFORM[1])
    arrivals = np.zeros((2, 200))
    arrivals[0] = 1000.0
    arrivals[1] = 1.5 * RATES[1]
    platform = FluidPlatform(services, arrivals, PATIENT)
    platform.set_ready(0, 1)
    platform.set_ready(1, 1)
    platform.advance(20)
    truth = platform.truth[0, 3]
    assert platform.truth[1, 3, T["queued"]] / RATES[1] > 5.0
    assert truth[T["slow"]] / truth[T["served"]] == pytest.approx(0.1, rel=1e-3)
    assert platform.metrics[0, 3, M["p50_s"]] < 0.01
    assert platform.metrics[0, 3, M["p99_s"]] > 5.0


def test_asynchronous_jobs_do_not_touch_their_producer():
    services = (PLATFORM[2], PLATFORM[4])
    arrivals = np.zeros((2, 300))
    arrivals[0] = 100.0
    clients = {"file-storage": ClientBehaviour(), "ai-services": ClientBehaviour(timeout_s=120.0)}
    platform = FluidPlatform(services, arrivals, clients)
    platform.set_ready(0, 1)
    platform.advance(300)
    storage, jobs = platform.totals()
    assert storage[T["failed"]] == 0.0
    assert jobs[T["arrived"]] - jobs[T["retried"]] == pytest.approx(0.3 * storage[T["served"]])
    assert jobs[T["timed_out"]] + jobs[T["shed"]] > 0.0
    assert jobs[T["retried"]] > 0.0
    share = storage[T["slow"]] / storage[T["served"]]
    assert share == pytest.approx(0.0068, rel=0.02)  # P(Gamma(SCV 2.5, mean 120 ms) > 1 s)


def test_histogram_holds_every_served_request_across_slowdowns():
    rng = np.random.default_rng(3)
    arrivals = RATES[:2, None] * 3 * rng.uniform(0.5, 1.1, (2, 300)) * [[1.0], [0.05]]
    platform = FluidPlatform(PLATFORM[:2], arrivals, ClientBehaviour())
    for s in (0, 1):
        platform.set_ready(s, 3)
    for step, factor in enumerate((1.0, 4.0, 1.0, 4.0, 1.0)):
        platform.set_slowdown(1, factor)
        platform.advance(60 * (step + 1))
    for s in (0, 1):
        counts = platform.histogram(s)
        assert counts.shape == (len(BUCKETS),)
        assert counts.min() >= -1e-9 * counts.max()
        assert counts.sum() == pytest.approx(platform.totals()[s, T["served"]], rel=1e-9)


def test_slow_share_of_the_samples_agrees_with_the_histogram():
    platform = single(PLATFORM[1], [0.98 * RATES[1]] * 600)
    platform.advance(600)
    totals = platform.totals()[0]
    share = totals[T["slow"]] / totals[T["served"]]
    at_slo_s = platform.response_quantiles(0, (1.0 - share,))[0]
    assert at_slo_s == pytest.approx(PLATFORM[1].slo_p95_s, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrivals": np.zeros((2, 10))}, "shape"),
        ({"arrivals": np.zeros((1, 11))}, "multiple"),
        ({"arrivals": np.full((1, 10), -1.0)}, "not negative"),
        ({"arrivals": np.full((1, 10), math.nan)}, "finite"),
        ({"clients": {"other": PATIENT}}, "quick"),
    ],
)
def test_wrong_input_is_refused(change, message):
    arguments = {"services": [QUICK], "arrivals": np.zeros((1, 10)), "clients": PATIENT, **change}
    with pytest.raises(ValueError, match=message):
        FluidPlatform(**arguments)


def test_wrong_calls_are_refused():
    platform = single(QUICK, [1.0] * 10)
    platform.advance(5)
    for wrong in (
        lambda: platform.advance(4),
        lambda: platform.advance(11),
        lambda: platform.set_ready(0, -1),
        lambda: platform.set_ready(0, 1, crashed=-1),
        lambda: platform.set_slowdown(0, math.nan),
        lambda: ClientBehaviour(timeout_s=math.nan),
    ):
        with pytest.raises(ValueError, match="not allowed"):
            wrong()
    assert platform.now_s == 5
    assert platform.samples == 1
