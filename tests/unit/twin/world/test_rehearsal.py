"""A part of a day, faster and smaller: the same in the twin as on a live stack."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scenarios.streams import Streams
from tests import composition
from twin.config import RunConfig
from twin.world.rehearsal import Excerpt, demand, rehearse
from twin.world.script import Script, script
from twin.world.world import World, standing_counts


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return composition.configuration(
        "platform=staging", "engine=staging", "population.simultaneous=2000", "~thresholds"
    )


@pytest.fixture(scope="module")
def day(config: RunConfig) -> Script:
    return script(config, config.platform.specs(), Streams(config.seed))


PART = Excerpt("peak-3600", speed=60, scale=0.02, seconds=120)


def test_rates_are_scaled_and_time_is_compressed(day: Script) -> None:
    played = demand(day, PART)
    assert played.rates.shape == (len(day.demand.services), 120)
    peak = int(np.argmax(day.demand.rates.sum(axis=0)))
    around = day.demand.rates[:, peak - 30 : peak + 30].mean(axis=1)
    assert played.rates[:, 59:61].mean(axis=1) == pytest.approx(0.02 * around, rel=0.02)
    whole = day.demand.rates[:, peak - 3600 : peak + 3600].sum()
    assert played.rates.sum() == pytest.approx(0.02 * whole / 60.0, rel=1e-3)


def test_what_is_shown_beforehand_moves_as_the_load_does(day: Script, config: RunConfig) -> None:
    specs = config.platform.specs()
    rehearsal = rehearse(day, specs, PART, {})
    shown = rehearsal.outlooks.outlook(day.start_s)
    for row, spec in enumerate(specs):
        if spec.name not in rehearsal.script.demand.services:
            continue
        real = rehearsal.script.demand.rates[rehearsal.script.demand.services.index(spec.name)]
        for second in (10, 60, 110):
            booked = shown.rate(row, day.start_s + second)
            # The day differs from what is booked by its own factor, and by that alone.
            assert abs(math.log(real[second] / booked)) < 4.0 * shown.sigma


@pytest.mark.parametrize(("begins", "seconds"), [("peak", 1440), ("noon", 60)])
def test_a_part_has_to_lie_within_the_day(day: Script, begins: str, seconds: int) -> None:
    with pytest.raises(ValueError, match="from"):
        demand(day, Excerpt(begins, speed=60, scale=0.1, seconds=seconds))


def test_the_engine_scales_a_rehearsal(config: RunConfig, day: Script) -> None:
    specs = config.platform.specs()
    part = Excerpt("peak-21600", speed=120, scale=0.04, seconds=240)
    outlook = rehearse(day, specs, part, {}).outlooks.outlook(day.start_s)
    counts = standing_counts(specs, outlook, config.engine, day.start_s, within_s=30.0)
    world = World(config, rehearsal=rehearse(day, specs, part, counts))
    world.run()
    desired = world.recorder.counts[:, :, 0]
    assert desired.shape == (len(specs), 48)
    api = next(i for i, spec in enumerate(specs) if spec.name == "api")
    assert desired[api].max() > counts["api"]  # the peak lies within
    assert world.platform.totals()[:, 2].sum() > 0.0
