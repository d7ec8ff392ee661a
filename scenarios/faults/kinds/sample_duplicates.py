"""Metrics of which some come twice."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import ShareOfSamples


class SampleDuplicates(ShareOfSamples):
    """A share of the samples arrives twice."""

    kind: Literal["sample_duplicates"] = "sample_duplicates"

    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 300, "duration_s": 1800}

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Repeat them."""
        return telemetry.repeat(chosen)


KIND = SampleDuplicates
