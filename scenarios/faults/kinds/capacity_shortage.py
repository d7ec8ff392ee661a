"""A provider that has too little."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from scenarios.faults.base import During, Effect, Happening, Services, Victim, Zones
from scenarios.faults.draw import Draw
from scenarios.faults.parts import FleetsPart


class CapacityShortage(During):
    """The provider has too little: of what is asked for, only the share `granted` is launched.

    0 is a stock-out.  With `zones`, those give nothing and the others all; what is missing is asked
    for again and again.
    """

    kind: Literal["capacity_shortage"] = "capacity_shortage"
    granted: Annotated[float, Field(ge=0, lt=1)] = 0.0
    zones: Zones = ()
    services: Services = ()

    spoils: ClassVar[str] = "fleets"
    needs_scaling: ClassVar[bool] = True
    cause: ClassVar[str] = "starts"
    example: ClassVar[dict[str, Any]] = {"granted": 0.5, "at": 300, "duration_s": 1800}

    def check(self, entered: Sequence[str]) -> None:
        """Raise ValueError for a share that is granted by zones that give nothing."""
        if self.zones and self.granted > 0.0:
            raise ValueError(f"granted: {self.granted:g} is not allowed with zones (0)")

    def effect(self, part: FleetsPart, happening: Happening) -> Effect:
        """It hits each launch that is refused or made smaller."""
        if self.zones:
            return _WithoutZones(self, part, happening)
        return _Rationed(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """A zone that gives nothing, or all that give a part."""
        if draw.chance(0.3):
            return {"zones": [victim.zone]}
        return {"granted": draw.one_of([0.0, 0.3, 0.7])}


class _WithoutZones(Effect):
    def __init__(self, fault: CapacityShortage, fleets: FleetsPart, happening: Happening) -> None:
        self._zones, self._fire = fault.zones, happening.fire
        self._names = ", ".join(fleets.zones[zone] for zone in fault.zones)
        self._fleets = list(fleets.of(fault.services).values())

    def _count(self, count: int) -> int:
        self._fire(1)
        return count

    def begin(self) -> str:
        for fleet in self._fleets:
            fleet.shortages.append(self._count)
            for zone in self._zones:
                fleet.close_zone(zone)
        return f"zones {self._names} give nothing"

    def end(self) -> str:
        for fleet in self._fleets:
            fleet.shortages.remove(self._count)
            for zone in self._zones:
                fleet.restore_zone(zone)
        return ""


class _Rationed(Effect):
    def __init__(self, fault: CapacityShortage, fleets: FleetsPart, happening: Happening) -> None:
        self._granted, self._fire = fault.granted, happening.fire
        self._rations = [
            (fleet.shortages, self._ration(happening.rng(name)))
            for name, fleet in fleets.of(fault.services).items()
        ]

    def _ration(self, rng: np.random.Generator) -> Callable[[int], int]:
        def given(count: int) -> int:
            granted = int(rng.binomial(count, self._granted))
            self._fire(int(granted < count))
            return granted

        return given

    def begin(self) -> str:
        for shortages, ration in self._rations:
            shortages.append(ration)
        return f"{self._granted:.0%} of what is asked for is granted"

    def end(self) -> str:
        for shortages, ration in self._rations:
            shortages.remove(ration)
        return ""


KIND = CapacityShortage
