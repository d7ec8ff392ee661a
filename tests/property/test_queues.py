"""What holds for every load, capacity, fault and client of the fluid services."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.model import BootTime, Call, ServiceSpec
from twin.queues.fluid import FluidPlatform
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
TICKS = 40
EVERY = 5


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
    service(
        "api", 16, 0.04, 1.5, slo_p95_s=0.5, calls=(Call("database", 1.6), Call("jobs", 0.3, True))
    ),
    service("jobs", 4, 0.9, 1.0, slo_p95_s=5.0),
    service("database", 64, 0.006, 2.0, slo_p95_s=0.1),
)

rates = st.floats(1e-6, 1e6) | st.sampled_from([0.0, 400.0, 800.0])
clients = st.builds(
    ClientBehaviour,
    timeout_s=st.floats(1.0, 20.0),
    max_retries=st.integers(0, 3),
    retry_share=st.floats(0.0, 1.0),
    backoff_s=st.floats(0.0, 3.0),
    queue_limit_per_slot=st.sampled_from([0.0, 0.5, 10.0, 1e9]),
)
steps = st.lists(
    st.tuples(
        st.lists(rates, min_size=3, max_size=3),
        st.lists(st.integers(0, 50), min_size=3, max_size=3),
        st.sampled_from([1.0, 1.0, 3.0, 0.5]),
        st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    ),
    min_size=TICKS // EVERY,
    max_size=TICKS // EVERY,
)


def _in_range_where_something_is_ready(metrics, ready):
    """Utilisation and memory are shares; they are missing where no instance is there alone."""
    shares, missing = metrics[:, :, 1:3], np.isnan(metrics[:, :, 1:3])
    assert ((shares >= 0.0) & (shares <= 1.0) | missing).all()
    assert not missing[np.array(ready).T > 0].any()


@given(steps=steps, behaviours=st.lists(clients, min_size=3, max_size=3))
def test_requests_are_conserved_and_every_figure_stays_in_its_range(steps, behaviours):
    arrivals = np.repeat(np.array([step[0] for step in steps]).T, EVERY, axis=1)
    by_name = {spec.name: b for spec, b in zip(PLATFORM, behaviours, strict=True)}
    platform = FluidPlatform(PLATFORM, arrivals, by_name)
    for k, (_, ready, slowdown, lost) in enumerate(steps):
        for s, instances in enumerate(ready):
            before = steps[k - 1][1][s] if k else 0
            platform.set_ready(s, instances, crashed=round(lost * before))
        platform.set_slowdown(2, slowdown)
        for now_s in range(k * EVERY + 1, (k + 1) * EVERY + 1):
            platform.advance(now_s)
            assert platform.conservation_error() < 1e-9
            assert platform.totals().min() >= 0.0
    truth, metrics = platform.truth, platform.metrics
    assert truth.min() >= 0.0
    served = truth[:, :, T["served"]]
    assert (truth[:, :, T["slow"]] <= served * (1.0 + 1e-9)).all()
    np.testing.assert_allclose(
        platform.totals()[:, :7], truth[:, :, :7].sum(axis=1), rtol=1e-9, atol=1e-9
    )
    _in_range_where_something_is_ready(metrics, [step[1] for step in steps])
    assert (metrics[:, :, 7] <= 1.0).all()
    # quantiles are there whenever something was served, and in order
    p50_s, p95_s, p99_s = np.moveaxis(metrics[:, :, 4:7], 2, 0)
    assert (np.isfinite(p50_s) == (served > 0.0)).all()
    answered = served > 0.0
    assert (p50_s[answered] <= p95_s[answered]).all()
    assert (p95_s[answered] <= p99_s[answered]).all()


@given(
    loads=st.lists(st.floats(0.0, 3.0), min_size=8, max_size=8),
    fewer=st.integers(1, 200),
    more=st.integers(1, 50),
    limit=st.sampled_from([2.0, 1e9]),
)
def test_more_instances_never_leave_more_requests_waiting_refused_or_slow(
    loads, fewer, more, limit
):
    spec = service("api", 16, 0.04, 1.5, slo_p95_s=0.5)
    client = ClientBehaviour(timeout_s=15.0, max_retries=0, queue_limit_per_slot=limit)
    arrivals = np.repeat(loads, EVERY)[None] * fewer * spec.rate_per_instance
    outcome = []
    for instances in (fewer, fewer + more):
        platform = FluidPlatform([spec], arrivals, client)
        platform.set_ready(0, instances)
        platform.advance(TICKS)
        outcome.append(platform.truth[0].copy())
    waiting, refused = (
        [truth[:, T["queued"]] for truth in outcome],
        [(truth[:, T["shed"]] + truth[:, T["timed_out"]]).sum() for truth in outcome],
    )
    scale = arrivals.sum() * 1e-9 + 1e-9
    if limit == 1e9:  # otherwise more instances are also allowed more waiting requests
        assert (waiting[1] <= waiting[0] + scale).all()
    assert refused[1] <= refused[0] + scale
    bad = [
        truth[:, T["slow"]].sum() + refused[k] + truth[-1, T["queued"]]
        for k, truth in enumerate(outcome)
    ]
    assert bad[1] <= bad[0] * (1.0 + 1e-3) + scale


@given(
    loads=st.lists(st.floats(0.0, 2.0), min_size=8, max_size=8), factor=st.integers(2, 1_000_000)
)
def test_backlog_scales_with_the_platform(loads, factor):
    """Twice the load on twice the instances is twice the fluid: volume costs nothing."""
    spec = service("api", 16, 0.04, 1.5, slo_p95_s=0.5)
    client = ClientBehaviour(timeout_s=15.0, max_retries=2)
    arrivals = np.repeat(loads, EVERY)[None] * spec.rate_per_instance
    small = FluidPlatform([spec], arrivals, client)
    large = FluidPlatform([spec], arrivals * factor, client)
    small.set_ready(0, 1)
    large.set_ready(0, factor)
    for platform in (small, large):
        platform.advance(TICKS)
    counts = [T[name] for name in ("arrived", "served", "shed", "timed_out", "queued")]
    np.testing.assert_allclose(
        large.truth[0][:, counts] / factor, small.truth[0][:, counts], rtol=1e-6, atol=1e-6
    )


@given(
    steps=steps,
    behaviours=st.lists(clients, min_size=3, max_size=3),
    seed=st.integers(0, 2**32),
)
def test_single_requests_are_conserved_and_obey_littles_law(steps, behaviours, seed):
    # One of `api` serves 400 requests a second, and each request is a step of its own here.
    loads = np.minimum(np.array([step[0] for step in steps]).T, 600.0)
    arrivals = np.floor(np.repeat(loads, EVERY, axis=1))
    by_name = {spec.name: b for spec, b in zip(PLATFORM, behaviours, strict=True)}
    platform = RequestPlatform(PLATFORM, arrivals, by_name, np.random.default_rng(seed))
    for k, (_, ready, slowdown, lost) in enumerate(steps):
        for s, instances in enumerate(ready):
            before = steps[k - 1][1][s] if k else 0
            platform.set_ready(s, instances, crashed=round(lost * before))
        platform.set_slowdown(2, slowdown)
        platform.advance((k + 1) * EVERY)
        assert platform.conservation_error() == 0.0
        assert platform.little_error() < 1e-9
        assert platform.totals().min() >= 0.0
    truth, metrics = platform.truth, platform.metrics
    assert (truth[:, :, T["slow"]] <= truth[:, :, T["served"]]).all()
    np.testing.assert_array_equal(platform.totals()[:, :7], truth[:, :, :7].sum(axis=1))
    _in_range_where_something_is_ready(metrics, [step[1] for step in steps])
    p50_s, p95_s, p99_s = np.moveaxis(metrics[:, :, 4:7], 2, 0)
    answered = truth[:, :, T["served"]] > 0.0
    assert (np.isfinite(p50_s) == answered).all()
    assert (p50_s[answered] <= p95_s[answered]).all()
    assert (p95_s[answered] <= p99_s[answered]).all()
