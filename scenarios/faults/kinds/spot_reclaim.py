"""Instances that their provider takes back."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import Effect, Fault, Happening, Ramp, Services, Share, Victim, Zones
from scenarios.faults.draw import Draw
from scenarios.faults.parts import FleetsPart
from scenarios.faults.times import At


class SpotReclaim(Fault):
    """The provider takes a share of the instances back, all at once, after a short notice."""

    kind: Literal["spot_reclaim"] = "spot_reclaim"
    share: Share
    at: At
    notice_s: Ramp = 120.0
    zones: Zones = ()
    services: Services = ()

    spoils: ClassVar[str] = "fleets"
    cause: ClassVar[str] = "instances"
    example: ClassVar[dict[str, Any]] = {"share": 0.5, "at": 600, "notice_s": 60}

    @property
    def lasts_s(self) -> float:
        """Seconds from the notice until the instances are gone."""
        return self.notice_s

    def effect(self, part: FleetsPart, happening: Happening) -> Effect:
        """It hits the instances that are taken."""
        return _Taken(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """With the notice that providers give, with less and without."""
        return {
            "share": victim.share,
            "notice_s": min(draw.one_of([0, 30, 120]), victim.longest_s),
        }  # fmt: skip


class _Taken(Effect):
    def __init__(self, fault: SpotReclaim, fleets: FleetsPart, happening: Happening) -> None:
        self._fault, self._fleets, self._happening = fault, fleets, happening

    def begin(self) -> str:
        fault, rng = self._fault, self._happening.rng
        taken = {
            name: fleet.reclaim(fault.share, fault.zones, fault.notice_s, rng(name))
            for name, fleet in self._fleets.of(fault.services).items()
        }
        self._fleets.replace_lost()
        self._happening.fire(sum(taken.values()))
        return "taken back: " + ", ".join(f"{name} {count}" for name, count in taken.items())


KIND = SpotReclaim
