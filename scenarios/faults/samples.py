"""Faults of the metrics: what becomes of the samples that are taken while they last."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scenarios.faults.base import During, Effect, Happening, Services, Share, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import SamplesPart, TelemetryPart


class BadSamples(During):
    """Samples of some services arrive otherwise than they were taken.

    They are worked into the telemetry before the run.
    """

    services: Services = ()

    spoils: ClassVar[str] = "samples"

    def hit_share(self) -> float:
        """The share of the samples that is hit."""
        return 1.0

    @abstractmethod
    def spoil(
        self, telemetry: TelemetryPart, chosen: NDArray[np.bool_], rng: np.random.Generator
    ) -> int:
        """Change the `chosen` (samples,) of one service; returns how many are hit."""

    def effect(self, part: SamplesPart, happening: Happening) -> Effect:
        """All that is due while it lasts."""
        hit = 0
        for name, telemetry in part.of(self.services):
            rng, sampled_s = happening.rng(name), telemetry.sampled_s
            inside = (sampled_s >= happening.begin_s) & (sampled_s < happening.end_s)
            chosen = inside & (rng.random(len(sampled_s)) < self.hit_share())
            hit += self.spoil(telemetry, chosen, rng)
        happening.fire(hit)
        return Foreseen(f"{hit} samples")


class ShareOfSamples(BadSamples):
    """The same for a share of the samples, each by chance."""

    share: Share

    def hit_share(self) -> float:
        """The share of the samples that is hit."""
        return self.share

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Some of them, or all."""
        return {"share": victim.share}


class Foreseen(Effect):
    """An effect that was worked in before the run: in time it is only noted."""

    def __init__(self, detail: str) -> None:
        self._detail = detail

    def begin(self) -> str:
        """Nothing is left to do; returns what was done."""
        return self._detail
