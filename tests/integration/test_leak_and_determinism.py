"""The two promises that everything else rests on: nothing leaks, and nothing is left to chance."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import composition, warm
from twin.config import RunConfig
from twin.world.world import RealisedLoad, World

SMALL = (
    "population.simultaneous=400",
    "population.duration_s=5400",
    'population.start_utc="17:00"',
)


def configuration(*overrides: str) -> RunConfig:
    """A small June afternoon, two hours around the ramp."""
    return composition.configuration(*SMALL, *overrides)


def decided(world: World, until_s: float = float("inf")) -> list[dict[str, Any]]:
    """What was decided up to a time, without what became of it later."""
    later = ("outcome", "accepted_s", "completed_s")
    return [
        {key: value for key, value in row.items() if key not in later}
        for row in world.recorder.decisions
        if row["time_s"] <= world.start_s + until_s
    ]


def scramble(after_s: int) -> Callable[[RealisedLoad], RealisedLoad]:
    """Another future: what arrives after a time is shuffled and made five times as much."""

    def change(load: RealisedLoad) -> RealisedLoad:
        rng = np.random.default_rng(99)
        order = after_s + rng.permutation(load.arrivals.shape[1] - after_s)
        arrivals = load.arrivals.copy()
        arrivals[:, after_s:] = 5.0 * load.arrivals[:, order]
        rates = load.demand.rates.copy()
        rates[:, after_s:] = 5.0 * load.demand.rates[:, order]
        return RealisedLoad(replace(load.demand, rates=rates), arrivals)

    return change


AT_S = 2700
"""When the future begins to differ."""


def played(config: RunConfig, *, scrambled: bool = False) -> tuple[World, str]:
    """A world at its end, and what its controller knew at `AT_S`."""
    world = World(config, change_load=scramble(AT_S) if scrambled else None)
    world.env.process(world.shell.run())
    world.env.run(until=AT_S + 1e-6)
    remembered = world.controller.snapshot()
    world.env.run(until=world.duration_s + 1e-6)
    world.finish()
    return world, remembered


@functools.cache
def as_it_is(scenario: str) -> tuple[World, str]:
    """The small afternoon of a scenario, played once for all that is asked of it."""
    return played(configuration(f"scenario={scenario}", "population.simultaneous=400"))


@pytest.mark.parametrize("scenario", ["june_peak", "zone_outage", "metrics_blackout"])
def test_no_decision_depends_on_what_has_not_happened_yet(scenario: str) -> None:
    one, remembered = as_it_is(scenario)
    other, known_there = played(one.config, scrambled=True)
    assert decided(one, AT_S)
    assert decided(one, AT_S) == decided(other, AT_S)
    assert remembered == known_there
    assert decided(one) != decided(other)  # the scrambling was there to be noticed


def until_the_future(config: RunConfig) -> list[World]:
    """The same world twice up to `AT_S`, once with another future."""
    worlds = [World(config), World(config, change_load=scramble(AT_S))]
    for world in worlds:
        world.env.process(world.shell.run())
        world.env.run(until=AT_S + 1e-6)
    return worlds


@pytest.mark.parametrize(
    "name", ["hpa", "kpa", "mpc", "predictive_hpa", "scheduled", "target_tracking", "static"]
)
def test_no_baseline_knows_what_has_not_happened_yet(name: str) -> None:
    one, other = until_the_future(configuration(f"controller={name}"))
    assert decided(one) == decided(other)


def test_the_clairvoyant_does_know_it() -> None:
    config = configuration("controller=clairvoyant", "platform.services.api.slots=1")
    one, other = until_the_future(config)
    assert decided(one) != decided(other)


def test_taking_a_fault_away_leaves_the_demand_as_it_was() -> None:
    with_fault, _ = as_it_is("zone_outage")
    without = World(configuration())
    np.testing.assert_array_equal(with_fault.load.arrivals, without.load.arrivals)


def run(folder: Path, seed: int) -> Path:
    """A run in a fork, whose hash values are those of this process; returns its record."""
    done = warm.run(
        "twin", "run", "scenario=zone_outage", *SMALL, f"seed={seed}", f"output={folder}"
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


def run_from_nothing(folder: Path, seed: int) -> Path:
    """The same in a process that begins from nothing, with hash values of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "twin", "run", "scenario=zone_outage", *SMALL, f"seed={seed}",
         f"output={folder}"],
        env=os.environ | {"PYTHONHASHSEED": "2"},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )  # fmt: skip
    return Path(done.stdout.splitlines()[-1])


def figures(record: Path) -> dict[str, Any]:
    """The summary without what a clock on the wall says, and without the command's own text."""
    summary: dict[str, Any] = json.loads((record / "summary.json").read_text())
    del summary["started_at"], summary["simulation"], summary["command"]
    del summary["decision"]["compute_s"]
    return summary


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_another_process_and_another_seed_does_not(
    tmp_path: Path,
) -> None:
    first = run(tmp_path / "a", 1)
    second = run_from_nothing(tmp_path / "b", 1)
    other = run(tmp_path / "c", 2)
    assert figures(first) == figures(second)
    assert figures(first) != figures(other)
    for name in ("timeline", "decisions", "weddings"):
        one, two, three = (
            pd.read_parquet(folder / f"{name}.parquet") for folder in (first, second, other)
        )
        pd.testing.assert_frame_equal(one, two, check_exact=True)
        assert not one.equals(three)
    assert (first / "events.jsonl").read_bytes() == (second / "events.jsonl").read_bytes()


@pytest.mark.parametrize(
    "scenario",
    ["june_peak", "flash_crowd", "zone_outage", "retry_storm", "slow_boot", "metrics_blackout"],
)
def test_requests_are_conserved_whatever_happens(scenario: str) -> None:
    world, _ = as_it_is(scenario)
    assert world.platform.conservation_error() < 1e-9
    started = {event["name"] for event in world.recorder.events if event["kind"] == "fault_started"}
    assert started == {fault.name for fault in world.config.faults.values()}
