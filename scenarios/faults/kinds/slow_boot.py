"""Boots that take longer."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import Duration, Effect, Factor, Fault, Happening, Services, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import FleetsPart, LaunchPart
from scenarios.faults.times import MAX_OFFSET_S, At


class SlowBoot(Fault):
    """Boots take `factor` times as long: the whole run, or from `at` for `duration_s`."""

    kind: Literal["slow_boot"] = "slow_boot"
    factor: Factor
    at: At | None = None
    duration_s: Duration = float(MAX_OFFSET_S)
    services: Services = ()

    spoils: ClassVar[str] = "fleets"
    needs_scaling: ClassVar[bool] = True
    cause: ClassVar[str] = "starts"
    example: ClassVar[dict[str, Any]] = {"factor": 4}

    @property
    def lasts_s(self) -> float:
        """Seconds from its beginning until it is over."""
        return self.duration_s

    def effect(self, part: FleetsPart, happening: Happening) -> Effect:
        """It hits each launch."""
        return _Slow(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Slower and faster."""
        return {"factor": draw.log(0.5, 10)}


class _Slow(Effect):
    def __init__(self, fault: SlowBoot, fleets: FleetsPart, happening: Happening) -> None:
        self._factor, self._fire = fault.factor, happening.fire
        self._fleets = list(fleets.of(fault.services).values())

    def _count(self, launch: LaunchPart) -> None:
        self._fire(len(launch.wait_s))

    def begin(self) -> str:
        for fleet in self._fleets:
            fleet.boot_factor *= self._factor
            fleet.launch_faults.append(self._count)
        return f"boots take {self._factor:g} times as long"

    def end(self) -> str:
        for fleet in self._fleets:
            fleet.boot_factor /= self._factor
            fleet.launch_faults.remove(self._count)
        return ""


KIND = SlowBoot
