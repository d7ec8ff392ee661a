"""Full soon: where the slots and the memory are heading at the present slope.

Level and slope are Holt's linear smoothing (Holt 1957).  The slots are those of all instances that
were asked for, as what boots is there in time or `capacity` says so; and of the slope only what the
booked events do not explain counts, because for what is booked capacity is on its way.  Where
nobody waits for a service its full slots are said for information.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import CPU, MEMORY, Arrays, Picture, Watched, or_zero
from engine.monitoring.settings import SaturationSettings

FIGURES = ("cpu", "memory")
LEAST_SLOPE = 0.02 / 60.0
"""A slope below two points a minute is no trend of minutes, but the course of a day."""


class SaturationAhead:
    """How long until a share is 1."""

    def __init__(self, traits: Watched, settings: SaturationSettings) -> None:
        self._services = len(traits.names)
        self._settings = settings

    def begin(self) -> Arrays:
        """Nothing was seen."""
        shape = (self._services, len(FIGURES))
        return {
            "level": np.full(shape, np.nan),
            "slope": np.zeros(shape),
            "learned_s": np.zeros(shape),
            "soon": np.zeros(shape),
        }

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """What will be full within the time of the settings."""
        elapsed_s = picture.elapsed_s
        if not elapsed_s > 0.0:
            return memory, ()
        own = self._settings
        of_desired = np.minimum(picture.ready / np.maximum(picture.desired, 1.0), 1.0)
        shares = np.stack((picture.column(CPU) * of_desired, picture.column(MEMORY)), axis=1)
        level, slope = memory["level"], memory["slope"]
        there = ~np.isnan(shares)
        level = np.where(there & np.isnan(level), shares, level)
        gain = min(2.0 * elapsed_s / own.slope_s, 1.0)
        ahead = level + slope * elapsed_s
        error = np.where(there, shares - ahead, 0.0)
        after = ahead + gain * error
        slope = slope + 0.5 * gain**2 * error / elapsed_s
        learned_s = np.where(there, memory["learned_s"] + elapsed_s, memory["learned_s"])
        explained = or_zero(np.maximum(picture.rise, 0.0))[:, None] * or_zero(after)
        unexplained = slope - explained
        with np.errstate(divide="ignore", invalid="ignore"):
            left_s = (1.0 - after) / unexplained
        soon = (
            there
            & (after > own.from_share)
            & (unexplained > LEAST_SLOPE)
            & (left_s < own.within_s)
            & (learned_s > own.slope_s)
        )
        # A slope of two looks far apart is a guess: the next look has to say the same.
        again = soon & (memory["soon"] > 0.0)
        memory = {
            "level": after, "slope": slope, "learned_s": learned_s, "soon": soon.astype(np.float64),
        }  # fmt: skip
        soon = again
        if not soon.any():
            return memory, ()
        return memory, [
            Symptom(
                service=picture.traits.names[i],
                kind=FindingKind.SATURATION_AHEAD,
                severity=(
                    Severity.WARNING
                    if picture.traits.waited_for[i] or FIGURES[k] != "cpu"
                    else Severity.INFO
                ),
                watcher="saturation",
                figure=FIGURES[k],
                value=float(after[i, k]),
                since_s=float(picture.evidence_s[i]),
                confidence=0.7,
                limit=1.0,
                words=f"full in {max(left_s[i, k], 0.0) / 60.0:.0f} min at this slope",
            )
            for i, k in np.argwhere(soon).tolist()
        ]
