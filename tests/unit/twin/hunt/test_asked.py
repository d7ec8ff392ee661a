"""What the rules ask for of the right figures, whatever there is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS
from tests.unit.engine.conftest import make_spec
from twin.hunt import worlds
from twin.hunt.asked import AskedByRules, enough, lately
from twin.world.world import World

SPEC = make_spec()  # an instance serves 100 requests a second; thresholds of 0.8, 0.8 and 0.85


@pytest.mark.parametrize(
    ("figures", "ready", "count"),
    [
        # 10 x 0.54 / 0.72: so many keep the cpu a tenth below its threshold.
        ({"cpu": 0.54, "request_rate": 500.0}, 10, 8),
        ({"cpu": 0.54, "request_rate": 576.0}, 10, 8),
        ({"cpu": 0.54, "request_rate": 577.0}, 10, 9),
        ({"cpu": 0.54, "request_rate": math.nan}, 10, 8),
        ({"cpu": math.nan, "request_rate": 576.0}, 10, 8),
        ({"cpu": math.nan, "request_rate": math.nan}, 10, 0),
        # A memory of its lower threshold and more counts: 10 x 0.8 / 0.765.
        ({"cpu": 0.36, "request_rate": 0.0, "memory": 0.8}, 10, 11),
        ({"cpu": 0.36, "request_rate": 0.0, "memory": 0.79}, 10, 5),
        # Without a ready instance it is counted by one.
        ({"cpu": 0.0, "request_rate": 144.0}, 0, 2),
    ],
)
def test_how_many_keep_the_figures_below_their_thresholds(
    figures: dict[str, float], ready: int, count: int
) -> None:
    row = [figures.get(name, 0.0) for name in SAMPLE_FIELDS]
    assert enough(SPEC, np.array([ready], np.int32), np.array([row])).tolist() == [count]


def test_the_highest_of_lately_counts() -> None:
    assert lately(np.array([3, 5, 2, 1, 1, 4], np.int32), 2).tolist() == [3, 5, 5, 5, 2, 4]


def test_no_step_out_but_an_emergency_goes_beyond_what_is_asked_for() -> None:
    world = World(worlds.configuration(plain(20261201, 6459)))
    asked = AskedByRules(world)
    world.run()
    steps = [
        row
        for row in world.recorder.decisions
        if row["kind"] == "action" and row["to_instances"] > row["from_instances"]
    ]
    names, rules = [spec.name for spec in world.specs], asked.counts()
    assert steps
    for step in steps:
        k = round((step["time_s"] - world.recorder.start_s) / 5.0) - 1
        if step["reason"] != "emergency":
            assert step["to_instances"] <= rules[names.index(step["service"]), k]
    assert (rules >= world.recorder.floors).all()


def plain(seed: int, index: int) -> worlds.World:
    """A world without the faults of its metrics."""
    world = worlds.generate_metrics(seed, index)
    return {name: value for name, value in world.items() if name not in ("metrics", "unmeasured")}
