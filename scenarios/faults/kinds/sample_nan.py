"""Metrics with holes."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import ShareOfSamples


class SampleNan(ShareOfSamples):
    """A share of the samples has one figure missing (NaN)."""

    kind: Literal["sample_nan"] = "sample_nan"

    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 600, "duration_s": 600}

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Leave one figure out."""
        return telemetry.punch(chosen)


KIND = SampleNan
