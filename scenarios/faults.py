"""What goes wrong, as data: so that a fault can be generated, shrunk, replayed and read.

A fault says what happens, when and how hard, and nothing about how the world carries it out.
`at` may be named after the day's demand ("peak", "ramp-300"), so that one scenario fits every
population, date and seed; `resolve_at` turns it into seconds.  Names are resolved against the
demand *before* any fault, else a flash crowd would move the peak that it refers to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scenarios.demand import Demand

RAMP_S = 1_800
"""Over how long a rise is measured to find the steepest."""

MAX_OFFSET_S = 604_800

_NAMED_TIME = re.compile(r"(peak|ramp)(?:([+-]\d{1,6}))?")


def _seconds_or_named(at: float | str) -> float | str:
    if isinstance(at, str):
        if not _NAMED_TIME.fullmatch(at):
            raise ValueError(
                f'"{at}" is not allowed, give seconds from the start of the window or "peak" or '
                '"ramp" with an optional offset in seconds, such as "peak-600"'
            )
    elif not 0 <= at <= MAX_OFFSET_S:
        raise ValueError(f"{at:g} is not allowed (0 ... {MAX_OFFSET_S:,} s)")
    return at


At = Annotated[
    float | str,
    AfterValidator(_seconds_or_named),
    Field(description='seconds from the window\'s start, or "peak"/"ramp" with an offset'),
]
Duration = Annotated[float, Field(gt=0, le=MAX_OFFSET_S, description="seconds")]
Ramp = Annotated[float, Field(ge=0, le=MAX_OFFSET_S, description="seconds")]
Factor = Annotated[float, Field(gt=0, le=1_000)]
Services = Annotated[tuple[str, ...], Field(description="services it hits; empty: all")]


class _Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FlashCrowd(_Fault):
    """A viral moment: one service's demand rises in a straight line, stays, and falls back."""

    kind: Literal["flash_crowd"] = "flash_crowd"
    name: str = Field(default="flash_crowd", min_length=1, description="name in the record")
    service: str = Field(description="service whose demand is multiplied")
    factor: Factor = Field(description="demand at the top, as a multiple of the usual")
    at: At
    ramp_s: Ramp
    hold_s: Ramp
    decay_s: Ramp

    @property
    def duration_s(self) -> float:
        """Seconds from the first rise until demand is as usual again."""
        return self.ramp_s + self.hold_s + self.decay_s


class ZoneLoss(_Fault):
    """All instances of one zone are lost; it takes new ones again after `duration_s`."""

    kind: Literal["zone_loss"] = "zone_loss"
    name: str = Field(default="zone_loss", min_length=1, description="name in the record")
    zone: int = Field(ge=0, le=99, description="index of the zone, from 0")
    at: At
    duration_s: Duration


class MetricsBlackout(_Fault):
    """No samples arrive; afterwards those of the blackout come `late_s` late."""

    kind: Literal["metrics_blackout"] = "metrics_blackout"
    name: str = Field(default="metrics_blackout", min_length=1, description="name in the record")
    at: At
    duration_s: Duration
    late_s: Ramp = 0.0
    services: Services = ()


class SlowBoot(_Fault):
    """Boots take `factor` times as long: the whole run, or from `at` for `duration_s`."""

    kind: Literal["slow_boot"] = "slow_boot"
    name: str = Field(default="slow_boot", min_length=1, description="name in the record")
    factor: Factor
    at: At | None = None
    duration_s: Duration = float(MAX_OFFSET_S)
    services: Services = ()


class SlowService(_Fault):
    """Each request holds its slot `factor` times as long."""

    kind: Literal["slow_service"] = "slow_service"
    name: str = Field(default="slow_service", min_length=1, description="name in the record")
    service: str
    factor: Factor
    at: At
    duration_s: Duration


Fault = Annotated[
    FlashCrowd | ZoneLoss | MetricsBlackout | SlowBoot | SlowService, Field(discriminator="kind")
]
Faults = list[Fault]
"""The faults of a scenario."""


def resolve_at(at: float | str, demand: Demand) -> int:
    """Whole seconds from the window's start, kept inside the window.

    "peak" is the second of the largest total demand.  "ramp" is the middle of the half hour before
    the peak in which the total rises most.  An offset in seconds may follow ("peak-600").
    `demand` is the one without faults.
    """
    last = demand.rates.shape[1] - 1
    if not isinstance(at, str):
        return min(int(at), last)
    match = _NAMED_TIME.fullmatch(at)
    if match is None:
        raise ValueError(f'"{at}" is not a time: seconds, or "peak" or "ramp" with an offset')
    name, offset = match.groups()
    total = demand.rates.sum(axis=0)
    peak = int(total.argmax())
    second = peak if name == "peak" else _steepest_rise(total, peak)
    return min(max(second + int(offset or 0), 0), last)


def apply_to_demand(demand: Demand, faults: Iterable[Fault]) -> Demand:
    """`demand` with every flash crowd in it; other faults leave it as it is.

    Raises ValueError where a flash crowd names a service at which no user enters.
    """
    crowds = [fault for fault in faults if isinstance(fault, FlashCrowd)]
    if not crowds:
        return demand
    rates = demand.rates.copy()
    for crowd in crowds:
        if crowd.service not in demand.services:
            raise ValueError(
                f"faults.{crowd.name}.service: users do not enter at {crowd.service}, "
                f"allowed: {', '.join(demand.services)}"
            )
        rates[demand.services.index(crowd.service)] *= _crowd_profile(
            crowd, resolve_at(crowd.at, demand), rates.shape[1]
        )
    return replace(demand, rates=rates)


def _steepest_rise(total: NDArray[np.float64], peak: int) -> int:
    span = min(RAMP_S, peak)
    rise = total[span : peak + 1] - total[: peak + 1 - span]
    return int(rise.argmax()) + span // 2


def _crowd_profile(crowd: FlashCrowd, start: int, seconds: int) -> NDArray[np.float64]:
    """Multiple of the usual demand in each second."""
    corners = np.cumsum([float(start), crowd.ramp_s, crowd.hold_s, crowd.decay_s])
    middles = np.arange(seconds) + 0.5
    return np.interp(middles, corners, [1.0, crowd.factor, crowd.factor, 1.0])
