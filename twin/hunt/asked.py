"""What the engine's own rules ask for in a world whose figures are right, whatever there is.

Between its thresholds the engine keeps what it has (hysteresis), so a count says as much of how a
service came to it as of what it needs.  What its rules ask for does not depend on that: the highest
of what was wanted within the stabilisation window, of the floor of booked events, and of what keeps
cpu, arrivals and memory a tenth below their upper thresholds, the count that a step which is taken
back stops at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.autoscaler import Autoscaler
from engine.decide.assess import HEADROOM
from engine.model import SAMPLE_FIELDS, FloatArray, Observation, Plan, ServiceSpec
from twin.world.world import World

CPU, MEMORY, RATE = (SAMPLE_FIELDS.index(name) for name in ("cpu", "memory", "request_rate"))
READY = 1
"""The column of the recorder's counts."""


class AskedByRules:
    """Watches the engine of `world`, which is the wedding-aware one, from before the run on."""

    def __init__(self, world: World) -> None:
        assert isinstance(world.controller, Autoscaler)
        self._world, self._engine = world, world.controller
        self._wanted = np.zeros(world.recorder.counts.shape[:2], np.int32)
        world.shell.watchers.append(self._stepped)

    def counts(self) -> NDArray[np.int32]:
        """What was asked for (services, samples), once the run is over."""
        world = self._world
        window_s = world.config.engine.limits.stabilisation_s
        samples = round(window_s / world.config.telemetry.interval_s)
        asked = np.maximum(self._wanted, world.recorder.floors)
        for row, spec in enumerate(world.specs):
            ready = world.recorder.counts[row, :, READY]
            keeping = lately(enough(spec, ready, world.platform.metrics[row]), samples)
            asked[row] = np.maximum(asked[row], keeping)
        return asked

    def _stepped(self, _observation: Observation, _plan: Plan) -> None:
        """Note what was wanted lately, from this step's sample on."""
        k = round(self._world.env.now / self._world.config.telemetry.interval_s) - 1
        for row, spec in enumerate(self._world.specs):
            targets = self._engine.memory.services[spec.name].targets
            self._wanted[row, k] = targets[0][1] if targets else 0


def enough(spec: ServiceSpec, ready: NDArray[np.int32], metrics: FloatArray) -> NDArray[np.int32]:
    """The counts (samples,) that keep what `metrics` (samples, fields) show below the thresholds.

    With a tenth to spare, in proportion, as `engine.decide.assess` has it; `ready` (samples,) are
    those that there were.
    """
    there = np.maximum(ready, 1)
    offered = metrics[:, RATE] / (there * spec.rate_per_instance)
    limits = spec.thresholds
    memory = np.where(metrics[:, MEMORY] >= limits.memory_down, metrics[:, MEMORY], 0.0)
    most = np.fmax(np.fmax(metrics[:, CPU], offered) / limits.cpu_up, memory / limits.memory_up)
    counts: NDArray[np.int32] = np.ceil(there * np.nan_to_num(most) / HEADROOM - 1e-9).astype(
        np.int32
    )
    return counts


def lately(counts: NDArray[np.int32], samples: int) -> NDArray[np.int32]:
    """The highest of each count and the `samples` before it (samples,)."""
    padded = np.concatenate([np.zeros(samples, np.int32), counts])
    highest: NDArray[np.int32] = np.lib.stride_tricks.sliding_window_view(padded, samples + 1).max(
        axis=1
    )
    return highest
