"""Every kind of fault really happens to a running platform, says so, and touches nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.config.strict import ConfigError
from scenarios.faults.registry import KINDS
from tests import composition
from twin.config import RunConfig
from twin.world.world import World

FAULTS = {name: dict(kind.example) for name, kind in KINDS.items()}


def configuration(faults: dict[str, dict[str, Any]], *overrides: str) -> RunConfig:
    """A part of a June afternoon, with a ramp that the engine has to follow."""
    small = ["population.simultaneous=2500", "population.duration_s=2100"]
    given = [*small, 'population.start_utc="17:00"', *overrides]
    return composition.configuration(*given, faults=faults)


def ran(faults: dict[str, dict[str, Any]], *overrides: str) -> World:
    world = World(configuration(faults, *overrides))
    world.run()
    return world


def sampled(world: World) -> list[float]:
    """Times of the samples of the last minute that the engine was shown."""
    time_s = world.telemetry[0].window(world.duration_s)["time_s"]
    return [at_s for at_s in time_s.tolist() if at_s > world.start_s + world.duration_s - 60]


@pytest.fixture(scope="module")
def calm() -> World:
    """The same afternoon without any fault."""
    return ran({})


@pytest.mark.parametrize("kind", list(FAULTS))
def test_a_fault_fires_and_says_so(kind: str, calm: World) -> None:
    world = ran({"trouble": {"kind": kind, **FAULTS[kind]}})
    events = [event for event in world.recorder.events if event["name"] == "trouble"]
    began = [event for event in events if event["kind"] == "fault_started"]
    assert [event["what"] for event in began] == [kind]
    assert world.recorder.fired["trouble"] >= 1
    if kind != "slow_boot":
        assert [event["what"] for event in events if event["kind"] == "fault_ended"] == [kind]
    if kind == "flash_crowd":
        assert world.load.arrivals.sum() > 1.02 * calm.load.arrivals.sum()
    else:
        assert (world.load.arrivals == calm.load.arrivals).all()
    changed = (
        world.recorder.decisions != calm.recorder.decisions
        or not np.array_equal(world.platform.truth, calm.platform.truth)
        or world.infrastructure.replayed > 0
        or len(sampled(world)) > len(sampled(calm))
        or world.feed.missed > 0
        or world.shell.deposed_steps > 0
    )
    assert changed


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["fluid", "request"])
def test_the_faults_of_a_service_hit_both_resolutions(resolution: str) -> None:
    faults = {
        kind: {"kind": kind, **FAULTS[kind]}
        for kind in ("slow_service", "cache_flush", "zone_loss")
    }
    small = ("population.simultaneous=100", f"resolution={resolution}")
    world, calm = ran(faults, *small), ran({}, *small)
    database = world.config.platform.services
    row = list(database).index("database")
    inside = slice(660 // 5, 900 // 5)
    assert (
        world.platform.truth[row, inside, 0].sum() > 2.0 * calm.platform.truth[row, inside, 0].sum()
    )
    busy, was_busy = world.platform.metrics[row, inside, 1], calm.platform.metrics[row, inside, 1]
    assert np.nanmean(busy) > 2.0 * np.nanmean(was_busy)


def test_a_fault_that_meets_nothing_has_not_fired() -> None:
    early = {"at": 0, "duration_s": 60}
    world = ran({
        "boots": {"kind": "slow_boot", "factor": 4, **early},
        "closed": {"kind": "capacity_shortage", "zones": [0], **early},
        "flush": {"kind": "cache_flush", "service": "database", "factor": 5, "at": 0},
        "lost": {"kind": "commands_lost", "at": 0, "duration_s": 4},
    })  # fmt: skip
    assert {name: fired for name, fired in world.recorder.fired.items() if fired} == {}


def test_taking_one_fault_out_leaves_the_draws_of_the_others() -> None:
    two = {
        "holes": {"kind": "sample_nan", **FAULTS["sample_nan"]},
        "losses": {"kind": "sample_loss", **FAULTS["sample_loss"]},
    }
    both, one = World(configuration(two)), World(configuration({"losses": two["losses"]}))
    assert (both.load.arrivals == one.load.arrivals).all()
    for with_holes, without in zip(both.telemetry, one.telemetry, strict=True):
        assert (with_holes.delivered_s == without.delivered_s).all()


def test_the_same_faults_give_the_same_run_again() -> None:
    faults = {kind: {"kind": kind, **FAULTS[kind]} for kind in KINDS}
    one, again = ran(faults), ran(faults)
    assert one.recorder.decisions == again.recorder.decisions
    assert one.recorder.events == again.recorder.events
    assert one.recorder.fired == again.recorder.fired
    assert np.array_equal(one.platform.metrics, again.platform.metrics, equal_nan=True)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "meteor"}, 'faults.trouble.kind: "meteor" is not allowed'),
        ({"kind": "sample_loss", "at": 0, "duration_s": 9, "share": 2}, "faults.trouble.share: 2"),
        ({"kind": "sample_loss", "at": 0, "share": 0.5}, "faults.trouble.duration_s: is missing"),
        (
            {"kind": "api_errors", "at": 0, "duration_s": 9, "status": 404},
            "faults.trouble.status: 404",
        ),
        (
            {"kind": "slow_zone", "at": 0, "duration_s": 9, "zone": 3, "factor": 2},
            "faults.trouble.zone",
        ),
        (
            {"kind": "spot_reclaim", "at": 0, "share": 0.5, "zones": [0, 7]},
            "faults.trouble.zones: 7",
        ),
        (
            {"kind": "capacity_shortage", "at": 0, "duration_s": 9, "granted": 0.5, "zones": [0]},
            "faults.trouble.granted",
        ),
        ({"kind": "cache_flush", "at": 0, "service": "apy", "factor": 2}, "did you mean api"),
        (
            {"kind": "unit_spike", "at": 0, "duration_s": 9, "share": 0.1, "figure": "disk"},
            'faults.trouble.figure: "disk"',
        ),
        ({"kind": "clock_step", "at": 0, "duration_s": 9, "step_s": "x"}, "faults.trouble.step_s"),
        ({"kind": "scrape_lag", "at": 0, "duration_s": 9, "lag": 3}, "faults.trouble.lag"),
    ],
)
def test_a_wrong_fault_is_refused_with_the_path_of_its_key(
    fault: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        configuration({"trouble": fault})
    assert says in str(refused.value)
