"""Metrics in a wrong unit."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import ShareOfSamples

DRAWN = ["cpu", "memory", "request_rate", "p95_s", "error_rate", "queue_depth"]
"""The figures that the engine decides by."""


class UnitSpike(ShareOfSamples):
    """A share of the samples has `figure` in a wrong unit: `factor` times what it was."""

    kind: Literal["unit_spike"] = "unit_spike"
    factor: Annotated[float, Field(gt=0, le=1e9)] = 1_000.0
    figure: Literal[
        "cpu", "memory", "request_rate", "p50_s", "p95_s", "p99_s", "error_rate", "queue_depth"
    ] = "request_rate"

    cause: ClassVar[str] = "metrics"
    example: ClassVar[dict[str, Any]] = {"share": 0.1, "at": 600, "duration_s": 600}

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Multiply one figure."""
        return telemetry.misread(chosen, self.figure, self.factor)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Thousandths, thousands and nanoseconds."""
        return {
            "share": draw.one_of([0.02, 0.1, 0.5]), "factor": draw.one_of([0.001, 1000.0, 1e9]),
            "figure": draw.one_of(DRAWN),
        }  # fmt: skip


KIND = UnitSpike
