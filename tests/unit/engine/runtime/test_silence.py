"""Nothing comes of a service: a trouble only when it has had something ready for a while."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from engine.ports.metrics import NO_SAMPLES, Reading
from tests.unit.engine.runtime.conftest import START_S, LiveWorld

SILENT, OTHER = "api: no series for any figure", "cpu: no answer"


class SilentSource:
    """No series of api, and another trouble besides."""

    async def read(self, now_s: float) -> Reading:
        return Reading({"api": NO_SAMPLES}, (OTHER, SILENT), {"api": SILENT})


@pytest.mark.parametrize(
    ("ready", "from_s"),
    [
        # Instances that are ready from each moment on; seconds until the silence is a trouble.
        ({0.0: 0}, None),
        ({0.0: 1}, 20.0),  # seen at the first step, 5 s after the start, and 15 s on
        ({0.0: 4}, 20.0),
        ({0.0: 0, 12.0: 1}, 30.0),
        ({0.0: 2, 12.0: 0, 22.0: 2}, 40.0),  # the patience begins anew
    ],
)
def test_the_silence_of_a_service_counts_when_it_could_have_spoken_for_a_while(
    world: LiveWorld, scripted: Any, ready: dict[float, int], from_s: float | None
) -> None:
    def become(count: int) -> None:
        world.pool.desired = count

    world.pool.desired = ready[0.0]
    for at_s, count in ready.items():
        world.clock.at[START_S + at_s] = partial(become, count)
    shell = world.shell(scripted(), duration_s=60.0, metrics=SilentSource(), **world.in_memory())
    asyncio.run(shell.run())
    events = [
        (time_s - START_S, detail)
        for time_s, _, about, detail in world.notes.events
        if about == "metrics"
    ]
    both = [] if from_s is None else [(from_s, f"{OTHER}; {SILENT}")]
    assert events == [(5.0, OTHER), *both]
