"""A cache that is empty."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from scenarios.faults.base import Effect, Fault, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import CallsPart
from scenarios.faults.times import At

REFILLED = 3.0
"""Time constants in `refill_s`: exp(-3) = 5 % of the excess is left."""


class CacheFlush(Fault):
    """A service's cache is empty: it calls others `factor` times as often until it is warm again.

    The excess falls exponentially and is down to 5 % of itself after `refill_s`.
    """

    kind: Literal["cache_flush"] = "cache_flush"
    service: str
    factor: Annotated[float, Field(ge=1, le=100)]
    at: At
    refill_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0

    spoils: ClassVar[str] = "calls"
    cause: ClassVar[str] = "calls"
    example: ClassVar[dict[str, Any]] = {
        "service": "api", "factor": 5, "at": 600, "refill_s": 600,
    }  # fmt: skip

    @property
    def lasts_s(self) -> float:
        """Seconds until the cache counts as warm."""
        return self.refill_s

    def effect(self, part: CallsPart, happening: Happening) -> Effect:
        """It hits the services that are called: by how many more calls."""
        return _Refilling(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Any service, also one that calls no other."""
        return {
            "service": victim.service, "factor": draw.log(1.5, 10),
            "refill_s": draw.whole(60, victim.longest_s),
        }  # fmt: skip


class _Refilling(Effect):
    every_s = 20.0

    def __init__(self, fault: CacheFlush, calls: CallsPart, happening: Happening) -> None:
        self._fault, self._calls, self._fire = fault, calls, happening.fire
        self._per_request = calls.per_request(fault.service)
        self._more = self._left = self._served = 0.0

    def begin(self) -> str:
        self._multiply(0.0)
        return f"{self._fault.service} calls others {self._fault.factor:g} times as often"

    def renew(self, since_s: float) -> None:
        self._count()
        self._multiply(since_s)

    def end(self) -> str:
        self._count()
        self._calls.multiply(self._fault.service, 1.0)
        self._fire(round(self._more))
        return f"{self._more:,.0f} more calls"

    def _multiply(self, since_s: float) -> None:
        fault = self._fault
        self._left = float(np.exp(-REFILLED * since_s / fault.refill_s))
        self._calls.multiply(fault.service, 1.0 + (fault.factor - 1.0) * self._left)
        self._served = self._calls.served(fault.service)

    def _count(self) -> None:
        served = self._calls.served(self._fault.service) - self._served
        self._more += served * (self._fault.factor - 1.0) * self._left * self._per_request


KIND = CacheFlush
