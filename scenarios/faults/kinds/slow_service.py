"""A service whose requests take longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from scenarios.faults.base import During, Effect, Factor, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import SlownessPart


class SlowService(During):
    """Each request holds its slot `factor` times as long; a slow database is one."""

    kind: Literal["slow_service"] = "slow_service"
    service: str
    factor: Factor

    spoils: ClassVar[str] = "slowness"
    cause: ClassVar[str] = "slowness"
    example: ClassVar[dict[str, Any]] = {
        "service": "database", "factor": 3, "at": 600, "duration_s": 600,
    }  # fmt: skip

    def effect(self, part: SlownessPart, happening: Happening) -> Effect:
        """It hits all that is answered meanwhile."""
        return _Slow(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Any service, up to ten times as slow, or faster."""
        return {"service": victim.service, "factor": draw.log(0.5, 10)}


class _Slow(Effect):
    def __init__(self, fault: SlowService, slowness: SlownessPart, happening: Happening) -> None:
        self._fault, self._slowness, self._fire = fault, slowness, happening.fire
        self._served = 0.0
        self._over: Callable[[], None]

    def begin(self) -> str:
        fault = self._fault
        self._served = self._slowness.served(fault.service)
        self._over = self._slowness.slow_service(fault.service, fault.factor)
        return f"{fault.service} takes {fault.factor:g} times as long"

    def end(self) -> str:
        self._over()
        self._fire(round(self._slowness.served(self._fault.service) - self._served))
        return ""


KIND = SlowService
