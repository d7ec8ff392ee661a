"""Metrics that come late."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scenarios.faults.base import Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import BadSamples


class ScrapeLag(BadSamples):
    """Samples arrive `lag_s` later than usual."""

    kind: Literal["scrape_lag"] = "scrape_lag"
    lag_s: Annotated[float, Field(gt=0, le=3_600)]

    cause: ClassVar[str] = "metrics"
    example: ClassVar[dict[str, Any]] = {"lag_s": 60, "at": 600, "duration_s": 600}

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Delay them."""
        return telemetry.delay(chosen, np.full(len(chosen), self.lag_s))

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """By one sample, and by more than a window."""
        return {"lag_s": draw.log(5, 300)}


KIND = ScrapeLag
