"""A zone that is gone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import During, Effect, Happening, Victim, Zone
from scenarios.faults.draw import Draw
from scenarios.faults.parts import FleetsPart


class ZoneLoss(During):
    """All instances of one zone are lost; it takes new ones again after `duration_s`."""

    kind: Literal["zone_loss"] = "zone_loss"
    zone: Zone

    spoils: ClassVar[str] = "fleets"
    cause: ClassVar[str] = "instances"
    example: ClassVar[dict[str, Any]] = {"zone": 1, "at": 600, "duration_s": 600}

    def effect(self, part: FleetsPart, happening: Happening) -> Effect:
        """It hits the instances that are lost."""
        return _Lost(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Any zone."""
        return {"zone": victim.zone}


class _Lost(Effect):
    def __init__(self, fault: ZoneLoss, fleets: FleetsPart, happening: Happening) -> None:
        self._zone, self._fleets, self._fire = fault.zone, fleets, happening.fire

    def begin(self) -> str:
        all_of_them = self._fleets.of(())
        before = {name: fleet.ready for name, fleet in all_of_them.items()}
        for fleet in all_of_them.values():
            self._fire(fleet.lose_zone(self._zone))
        self._fleets.replace_lost()
        lost = ", ".join(
            f"{name} {before[name] - fleet.ready}" for name, fleet in all_of_them.items()
        )
        return f"zone {self._fleets.zones[self._zone]}: lost {lost}"

    def end(self) -> str:
        for fleet in self._fleets.of(()).values():
            fleet.restore_zone(self._zone)
        return ""


KIND = ZoneLoss
