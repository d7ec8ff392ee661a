"""The same small day at both resolutions: the engine cannot tell them apart, nor can the bill."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from engine.config.strict import ConfigError
from engine.model import BootTime, ServiceSpec
from tests import composition
from twin.queues.fluid import FluidPlatform
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform
from twin.world.world import World

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
SMALL = (
    "population.simultaneous=1500",
    "population.duration_s=3600",
    'population.start_utc="17:00"',
)


def new_world(*overrides: str) -> World:
    world = World(composition.configuration(*SMALL, *overrides))
    world.run()
    return world


@lru_cache(maxsize=8)
def world_of(*overrides: str) -> World:
    """The world of these overrides, run once: the tests only look at it."""
    return new_world(*overrides)


@pytest.fixture(scope="module", params=["june_peak", "zone_outage"])
def pair(request: pytest.FixtureRequest) -> tuple[World, World]:
    """A fluid world and one that follows every request."""
    scenario = f"scenario={request.param}"
    return world_of(scenario), world_of(scenario, "resolution=request")


def test_both_see_the_same_users_and_serve_them_alike(pair: tuple[World, World]) -> None:
    fluid, single = pair
    np.testing.assert_array_equal(fluid.load.arrivals, single.load.arrivals)
    ours, theirs = single.platform.totals(), fluid.platform.totals()
    np.testing.assert_allclose(ours[:, T["served"]], theirs[:, T["served"]], rtol=0.01)
    assert single.platform.conservation_error() == 0.0
    for s, spec in enumerate(single.specs):
        exact = single.platform.response_quantiles(s, (0.5, 0.95))
        modelled = fluid.platform.response_quantiles(s, (0.5, 0.95))
        assert exact == pytest.approx(modelled, rel=0.05), spec.name


def test_both_are_scaled_alike(pair: tuple[World, World]) -> None:
    fluid, single = pair
    hours = [
        [fleet.instance_seconds(world.now_s) / 3600.0 for fleet in world.fleets.values()]
        for world in pair
    ]
    assert sum(hours[0]) == pytest.approx(sum(hours[1]), rel=0.05)
    assert any(row["kind"] == "action" for row in single.recorder.decisions)
    assert len(single.recorder.decisions) > 0 < len(fluid.recorder.decisions)


@pytest.mark.parametrize("scv", [0.25, 1.0, 2.5])
def test_the_fluid_is_within_its_promise_at_high_load(scv: float) -> None:
    """p95 within 10 % up to ρ 0.9, as published; 200 servers, two million requests."""
    spec = ServiceSpec("queue", 1, 10**6, 1, 0.1, scv, BootTime(60.0, 120.0), 0.0, 0.4, 1.0)
    seconds = 1200
    load = np.random.default_rng(1).poisson(1800.0, (1, seconds)).astype(np.float64)
    patient = ClientBehaviour(timeout_s=600.0, max_retries=0, queue_limit_per_slot=1e9)
    fluid = FluidPlatform([spec], load, patient)
    single = RequestPlatform([spec], load, patient, np.random.default_rng(2))
    for platform in (fluid, single):
        platform.set_ready(0, 200)
        platform.advance(seconds)
    exact, modelled = (p.response_quantiles(0, (0.5, 0.95))[1] for p in (single, fluid))
    assert modelled == pytest.approx(exact, rel=0.10)


def test_a_lost_zone_fails_requests_at_both() -> None:
    for resolution in ("fluid", "request"):
        chosen = () if resolution == "fluid" else (f"resolution={resolution}",)
        world = world_of("scenario=zone_outage", *chosen)
        failed = world.platform.totals()[:, T["failed"]]
        assert failed.sum() > 0.0, resolution


def test_the_same_seed_gives_the_same_requests() -> None:
    one, two = (new_world("resolution=request", "population.duration_s=900") for _ in range(2))
    assert one.platform.truth.tobytes() == two.platform.truth.tobytes()
    assert one.platform.metrics.tobytes() == two.platform.metrics.tobytes()
    assert one.recorder.decisions == two.recorder.decisions


def test_a_window_of_some_cells_is_scaled_and_served_like_the_whole() -> None:
    window = (
        "resolution=hybrid", "request.at=peak-600", "request.duration_s=900",
        "request.cells=4", "request.simulated=3",
    )  # fmt: skip
    one, two, fluid = new_world(*window), new_world(*window), world_of("scenario=june_peak")
    assert one.platform.metrics.tobytes() == two.platform.metrics.tobytes()
    assert one.platform.truth.tobytes() == two.platform.truth.tobytes()
    assert one.recorder.decisions == two.recorder.decisions
    assert one.platform.conservation_error() < 1e-9
    assert one.platform.truth.tobytes() != fluid.platform.truth.tobytes()
    np.testing.assert_allclose(
        one.platform.totals()[:, T["served"]], fluid.platform.totals()[:, T["served"]], rtol=0.01
    )
    for s, spec in enumerate(one.specs):
        ours = one.platform.response_quantiles(s, (0.5, 0.95))
        assert ours == pytest.approx(fluid.platform.response_quantiles(s, (0.5, 0.95)), rel=0.05), (
            spec.name
        )


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("resolution=hybrid", "request.cells=0"), "request.cells: 0"),
        (("resolution=hybrid", "request.simulated=2"), "request.simulated: 2 is not allowed"),
        (("resolution=hybrid", "request.at=noon"), '"noon" is not allowed'),
        (("resolution=hybrid", "request.duration_s=0"), "request.duration_s: 0"),
        (("request.cells=4",), "ask for resolution=hybrid"),
        (("resolution=exact",), "resolution"),
    ],
)
def test_a_wrong_window_is_refused(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        world_of(*overrides)
    assert says in str(refused.value)
