"""A viral moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.config.complaints import check_name
from scenarios.faults.base import Effect, Factor, Fault, Happening, Ramp, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import LoadPart
from scenarios.faults.samples import Foreseen
from scenarios.faults.times import At, resolve_at

if TYPE_CHECKING:
    from scenarios.weddings.demand import Demand


class FlashCrowd(Fault):
    """A viral moment: one service's demand rises in a straight line, stays, and falls back."""

    kind: Literal["flash_crowd"] = "flash_crowd"
    service: str = Field(description="service whose demand is multiplied")
    factor: Factor = Field(description="demand at the top, as a multiple of the usual")
    at: At
    ramp_s: Ramp
    hold_s: Ramp
    decay_s: Ramp

    spoils: ClassVar[str] = "load"
    cause: ClassVar[str] = "load"
    example: ClassVar[dict[str, Any]] = {
        "service": "api", "factor": 5, "at": 600, "ramp_s": 60, "hold_s": 300, "decay_s": 60,
    }  # fmt: skip

    @property
    def lasts_s(self) -> float:
        """Seconds from the first rise until demand is as usual again."""
        return self.ramp_s + self.hold_s + self.decay_s

    def check(self, entered: Sequence[str]) -> None:
        """Raise ValueError where no user enters at the service."""
        check_name(self.service, entered, "service")

    def effect(self, part: LoadPart, happening: Happening) -> Effect:
        """It is part of the demand already; it hits by how much that is changed."""
        row, plain = part.faulted.services.index(self.service), part.plain.rates
        inside = slice(int(happening.begin_s), int(happening.end_s))
        more = float((part.faulted.rates[row, inside] - plain[row, inside]).sum())
        return _Crowd(self.service, more, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """It lasts as long as it may."""
        first, second = sorted(draw.whole(0, victim.longest_s) for _ in range(2))
        return {
            "service": victim.entered, "factor": draw.log(0.2, 10), "ramp_s": first,
            "hold_s": second - first, "decay_s": victim.longest_s - second,
        }  # fmt: skip


class _Crowd(Foreseen):
    def __init__(self, service: str, more: float, happening: Happening) -> None:
        word = "more" if more >= 0 else "fewer"
        super().__init__(f"{service}: {abs(more):,.0f} {word} requests")
        self._changed, self._fire = round(abs(more)), happening.fire

    def end(self) -> str:
        self._fire(self._changed)
        return ""


def with_crowds(demand: Demand, crowds: Sequence[FlashCrowd]) -> Demand:
    """`demand` with the crowds in it, their times being those without any of them.

    Raises ValueError where one names a service at which no user enters.
    """
    if not crowds:
        return demand
    rates = demand.rates.copy()
    for crowd in crowds:
        if crowd.service not in demand.services:
            raise ValueError(
                f"faults.{crowd.name}.service: users do not enter at {crowd.service}, "
                f"allowed: {', '.join(demand.services)}"
            )
        rates[demand.services.index(crowd.service)] *= _profile(
            crowd, resolve_at(crowd.at, demand), rates.shape[1]
        )
    return replace(demand, rates=rates)


def _profile(crowd: FlashCrowd, start: int, seconds: int) -> NDArray[np.float64]:
    """Multiple of the usual demand in each second."""
    corners = np.cumsum([float(start), crowd.ramp_s, crowd.hold_s, crowd.decay_s])
    middles = np.arange(seconds) + 0.5
    return np.interp(middles, corners, [1.0, crowd.factor, crowd.factor, 1.0])


KIND = FlashCrowd
