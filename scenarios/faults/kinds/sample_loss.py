"""Metrics of which some are lost."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from scenarios.faults.base import Share, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import TelemetryPart
from scenarios.faults.samples import BadSamples


class SampleLoss(BadSamples):
    """A share of the samples never arrives."""

    kind: Literal["sample_loss"] = "sample_loss"
    share: Share

    cause: ClassVar[str] = "metrics"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 600, "duration_s": 600}

    def hit_share(self) -> float:
        """The share of the samples that is hit."""
        return self.share

    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Lose them."""
        return telemetry.lose(chosen)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Some of them, or all."""
        return {"share": victim.share}


KIND = SampleLoss
