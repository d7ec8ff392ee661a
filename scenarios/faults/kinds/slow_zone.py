"""A zone that is slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import During, Effect, Happening, Victim, Zone
from scenarios.faults.draw import Draw
from scenarios.faults.parts import SlownessPart


class SlowZone(During):
    """The instances of one zone need `factor` times as long, as behind a sick network.

    Requests are spread evenly over the instances, so the mean service time rises with the share of
    a service's ready instances that are in the zone.
    """

    kind: Literal["slow_zone"] = "slow_zone"
    zone: Zone
    factor: Annotated[float, Field(ge=1, le=100)]

    spoils: ClassVar[str] = "slowness"
    cause: ClassVar[str] = "slowness"
    example: ClassVar[dict[str, Any]] = {"zone": 1, "factor": 4, "at": 600, "duration_s": 600}

    def effect(self, part: SlownessPart, happening: Happening) -> Effect:
        """It hits the instances that serve there."""
        return _Slow(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Any zone."""
        return {"zone": victim.zone, "factor": draw.log(1.5, 10)}


class _Slow(Effect):
    def __init__(self, fault: SlowZone, slowness: SlownessPart, happening: Happening) -> None:
        self._fault, self._slowness, self._fire = fault, slowness, happening.fire
        self._slowed = 0
        self._over: Callable[[], None]

    def begin(self) -> str:
        zone, factor = self._fault.zone, self._fault.factor
        self._slowed = self._slowness.ready_in(zone)
        self._over = self._slowness.slow_zone(zone, factor)
        return f"zone {self._slowness.zones[zone]} takes {factor:g} times as long"

    def end(self) -> str:
        self._over()
        self._fire(max(self._slowness.ready_in(self._fault.zone), self._slowed))
        return ""


KIND = SlowZone
