"""Metrics that overtake each other."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import ShareOfSamples


class SampleReorder(ShareOfSamples):
    """A share of the samples is held back up to `late_s`, so that later ones overtake them."""

    kind: Literal["sample_reorder"] = "sample_reorder"
    late_s: Annotated[float, Field(gt=0, le=3_600)] = 20.0

    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 600, "duration_s": 600}

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Delay each by another time."""
        return telemetry.delay(chosen, self.late_s * rng.random(len(chosen)))

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """By a sample or two, and by most of a window."""
        return {"share": victim.share, "late_s": draw.log(5, 120)}


KIND = SampleReorder
