"""Metrics of which some are lost."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import ShareOfSamples


class SampleLoss(ShareOfSamples):
    """A share of the samples never arrives."""

    kind: Literal["sample_loss"] = "sample_loss"

    cause: ClassVar[str] = "metrics"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 600, "duration_s": 600}

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Lose them."""
        return telemetry.lose(chosen)


KIND = SampleLoss
