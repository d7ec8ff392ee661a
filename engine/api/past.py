"""What steps looked like that are over: one a minute, for as long as samples are kept.

Each holds counts and what was booked then; the samples of its time are where all samples are.  One
thread writes, others read: what they read is a tuple that never changes.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.api.snapshot import ServiceLook, StepLook
from engine.model import Budget, ManualFloor, Pause
from engine.security.roles import PlatformState

EVERY_S = 60.0
MOST_COUNTS = 10_000_000
"""Services × steps that are kept; of more services fewer steps are."""
STATES = tuple(PlatformState)
NEAR = 2.0
"""Times as long as between two: what is older than that says nothing of a moment."""


@dataclass(frozen=True, slots=True, eq=False)
class PastStep:
    """One step; `counts` (services, 5) are desired, ready, booting, draining, wedding floor."""

    number: int
    time_s: float
    counts: np.ndarray[Any, np.dtype[np.int32]]
    states: bytes
    weddings: Mapping[str, Any]
    budget: Budget
    floors: tuple[ManualFloor, ...]
    pauses: tuple[Pause, ...]


class Past:
    """Keeps them."""

    def __init__(self, names: Sequence[str], kept_s: float) -> None:
        """Of the services `names`, for `kept_s`."""
        self._names = tuple(names)
        self.kept_s = kept_s
        self.every_s = max(EVERY_S, math.ceil(kept_s * len(self._names) / MOST_COUNTS))
        self._steps: tuple[PastStep, ...] = ()

    def wants(self, time_s: float) -> bool:
        """Whether the step of `time_s` is one to keep."""
        newest = self._steps[-1].time_s if self._steps else -math.inf
        return not newest <= time_s < newest + self.every_s

    def add(self, look: StepLook, weddings: Mapping[str, Any]) -> None:
        """Keep a step with the weddings that an overview of it shows.

        Where the clock was set back, what is kept of a time still to come goes.
        """
        services = [look.services.get(name) for name in self._names]
        counts = np.array(
            [
                (0, 0, 0, 0, 0) if one is None
                else (one.desired, one.ready, one.booting, one.draining, one.wedding_floor)
                for one in services
            ],
            np.int32,
        )  # fmt: skip
        states = bytes(0 if one is None else STATES.index(one.state) for one in services)
        step = PastStep(
            look.number, look.time_s, counts, states, weddings, look.budget, look.floors,
            look.pauses,
        )  # fmt: skip
        kept = [one for one in self._steps if look.time_s - self.kept_s <= one.time_s < look.time_s]
        self._steps = (*kept, step)

    def begin_after(self, steps: Sequence[PastStep]) -> None:
        """Begin with steps of before, in their order."""
        self._steps = tuple(steps)

    def at(self, time_s: float) -> PastStep | None:
        """The newest at or before `time_s` (epoch seconds); None if none is near."""
        steps = self._steps
        after = bisect.bisect_right(steps, time_s, key=lambda one: one.time_s)
        if after == 0 or time_s - steps[after - 1].time_s > NEAR * self.every_s:
            return None
        return steps[after - 1]

    def span(self) -> tuple[float, float] | None:
        """The times of the oldest and of the newest; None without any."""
        steps = self._steps
        return (steps[0].time_s, steps[-1].time_s) if steps else None

    def look(self, step: PastStep, newest: StepLook) -> StepLook:
        """`step` as it looked, with the services and samples of the `newest` step's look."""
        services = {}
        for k, name in enumerate(self._names):
            now = newest.services.get(name)
            if now is None:
                continue
            desired, ready, booting, draining, floor = map(int, step.counts[k])
            services[name] = ServiceLook(
                now.spec, desired, ready, booting, draining, now.samples.until(step.time_s), (),
                floor, STATES[step.states[k]],
            )  # fmt: skip
        return StepLook(
            step.number, step.time_s, services, newest.weddings, step.floors, step.pauses, (),
            step.budget, math.nan, newest.outlook,
        )  # fmt: skip
