"""Metrics that do not come."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import During, Effect, Happening, Ramp, Services, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import SamplesPart
from scenarios.faults.samples import Foreseen


class MetricsBlackout(During):
    """No samples arrive; afterwards those of the blackout come `late_s` late."""

    kind: Literal["metrics_blackout"] = "metrics_blackout"
    late_s: Ramp = 0.0
    services: Services = ()

    spoils: ClassVar[str] = "samples"
    cause: ClassVar[str] = "metrics"
    example: ClassVar[dict[str, Any]] = {"at": 600, "duration_s": 300}

    def effect(self, part: SamplesPart, happening: Happening) -> Effect:
        """It hits what is due meanwhile, whenever it was taken."""
        held = sum(
            telemetry.black_out(happening.begin_s, happening.end_s, self.late_s)
            for _, telemetry in part.of(self.services)
        )
        happening.fire(held)
        return Foreseen(f"{held} samples held back")

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """All at once afterwards, or spread over a minute."""
        return {"late_s": draw.one_of([0, 60])}


KIND = MetricsBlackout
