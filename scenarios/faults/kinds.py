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
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from engine.config.strict import Strict

if TYPE_CHECKING:  # what checks a configuration need not wait for what draws the demand
    from scenarios.weddings.demand import Demand

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


Share = Annotated[float, Field(gt=0, le=1, description="share of what is concerned, 0-1")]
Zones = Annotated[
    tuple[Annotated[int, Field(ge=0, le=99)], ...],
    Field(description="indices of the zones it hits; empty: all"),
]


class _Fault(Strict):
    """What all faults have; `name` is by default the fault's key in the configuration."""

    kind: str
    name: str = Field(
        default_factory=lambda values: values["kind"], min_length=1, max_length=100,
        description="name in the record",
    )  # fmt: skip


class _During(_Fault):
    """A fault with a beginning and an end."""

    at: At
    duration_s: Duration


# --- what users and services do


class FlashCrowd(_Fault):
    """A viral moment: one service's demand rises in a straight line, stays, and falls back."""

    kind: Literal["flash_crowd"] = "flash_crowd"
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


class SlowService(_During):
    """Each request holds its slot `factor` times as long; a slow database is one."""

    kind: Literal["slow_service"] = "slow_service"
    service: str
    factor: Factor


class CacheFlush(_Fault):
    """A service's cache is empty: it calls others `factor` times as often until it is warm again.

    The excess falls exponentially and is down to 5 % of itself after `refill_s`.
    """

    kind: Literal["cache_flush"] = "cache_flush"
    service: str
    factor: Annotated[float, Field(ge=1, le=100)]
    at: At
    refill_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0

    @property
    def duration_s(self) -> float:
        """Seconds until the cache counts as warm."""
        return self.refill_s


# --- what happens to instances


class ZoneLoss(_During):
    """All instances of one zone are lost; it takes new ones again after `duration_s`."""

    kind: Literal["zone_loss"] = "zone_loss"
    zone: int = Field(ge=0, le=99, description="index of the zone, from 0")


class SlowInstance(_During):
    """Some instances of a service need `factor` times as long, as on a sick machine.

    Requests are spread evenly over the instances, so each of them gets its share of the requests.
    One that goes takes its slowness with it.
    """

    kind: Literal["slow_instance"] = "slow_instance"
    service: str
    instances: Annotated[int, Field(ge=1, le=1000)] = 1
    factor: Annotated[float, Field(ge=1, le=100)]


class SlowZone(_During):
    """The instances of one zone need `factor` times as long, as behind a sick network.

    Requests are spread evenly over the instances, so the mean service time rises with the share of
    a service's ready instances that are in the zone.
    """

    kind: Literal["slow_zone"] = "slow_zone"
    zone: int = Field(ge=0, le=99, description="index of the zone, from 0")
    factor: Annotated[float, Field(ge=1, le=100)]


class SpotReclaim(_Fault):
    """The provider takes a share of the instances back, all at once, after a short notice."""

    kind: Literal["spot_reclaim"] = "spot_reclaim"
    share: Share
    at: At
    notice_s: Ramp = 120.0
    zones: Zones = ()
    services: Services = ()

    @property
    def duration_s(self) -> float:
        """Seconds from the notice until the instances are gone."""
        return self.notice_s


class SlowBoot(_Fault):
    """Boots take `factor` times as long: the whole run, or from `at` for `duration_s`."""

    kind: Literal["slow_boot"] = "slow_boot"
    factor: Factor
    at: At | None = None
    duration_s: Duration = float(MAX_OFFSET_S)
    services: Services = ()


class HeavyBoots(_During):
    """A share of the boots take Pareto(`tail`) times as long: a few of them for ever, almost."""

    kind: Literal["heavy_boots"] = "heavy_boots"
    share: Share = 0.1
    tail: Annotated[float, Field(ge=0.5, le=10)] = 1.5
    services: Services = ()


class NeverReady(_During):
    """A share of the boots hang; such an instance is given up and replaced after `given_up_s`."""

    kind: Literal["never_ready"] = "never_ready"
    share: Share
    given_up_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    services: Services = ()


class CrashLoop(_During):
    """A share of the launched instances crash `up_s` after they got ready, `crashes` times over.

    Each restart waits twice as long as the one before, from 10 s to 5 min, as a kubelet's does
    (Kubernetes documentation, "Pod Lifecycle"), and warms up anew.
    """

    kind: Literal["crash_loop"] = "crash_loop"
    share: Share
    up_s: Annotated[float, Field(ge=1, le=86_400)] = 20.0
    crashes: Annotated[int, Field(ge=1, le=20)] = 3
    services: Services = ()


class CapacityShortage(_During):
    """The provider has too little: of what is asked for, only the share `granted` is launched.

    0 is a stock-out.  With `zones`, those give nothing and the others all; what is missing is asked
    for again and again.
    """

    kind: Literal["capacity_shortage"] = "capacity_shortage"
    granted: Annotated[float, Field(ge=0, lt=1)] = 0.0
    zones: Zones = ()
    services: Services = ()


# --- what happens to the infrastructure's interface


class _Commands(_During):
    share: Share = 1.0
    services: Services = ()


class ApiErrors(_Commands):
    """Commands are refused with an HTTP status and change nothing."""

    kind: Literal["api_errors"] = "api_errors"
    status: Literal[429, 500, 502, 503, 504] = 503


class ApiTimeout(_Commands):
    """No answer within `timeout_s`, which reads as a failure; carried out `late_s` after it."""

    kind: Literal["api_timeout"] = "api_timeout"
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    late_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0


class CommandsLost(_Commands):
    """Commands vanish: they change nothing and nobody ever answers."""

    kind: Literal["commands_lost"] = "commands_lost"


class CommandsDuplicated(_Commands):
    """Commands arrive again, `delay_s` later."""

    kind: Literal["commands_duplicated"] = "commands_duplicated"
    delay_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0


# --- what happens to the metrics


class _Samples(_During):
    services: Services = ()


class MetricsBlackout(_Samples):
    """No samples arrive; afterwards those of the blackout come `late_s` late."""

    kind: Literal["metrics_blackout"] = "metrics_blackout"
    late_s: Ramp = 0.0


class ScrapeLag(_Samples):
    """Samples arrive `lag_s` later than usual."""

    kind: Literal["scrape_lag"] = "scrape_lag"
    lag_s: Annotated[float, Field(gt=0, le=3_600)]


class SampleLoss(_Samples):
    """A share of the samples never arrives."""

    kind: Literal["sample_loss"] = "sample_loss"
    share: Share


class SampleNan(_Samples):
    """A share of the samples has one figure missing (NaN)."""

    kind: Literal["sample_nan"] = "sample_nan"
    share: Share


class SampleDuplicates(_Samples):
    """A share of the samples arrives twice."""

    kind: Literal["sample_duplicates"] = "sample_duplicates"
    share: Share


class SampleReorder(_Samples):
    """A share of the samples is held back up to `late_s`, so that later ones overtake them."""

    kind: Literal["sample_reorder"] = "sample_reorder"
    share: Share
    late_s: Annotated[float, Field(gt=0, le=3_600)] = 20.0


class UnitSpike(_Samples):
    """A share of the samples has `figure` in a wrong unit: `factor` times what it was."""

    kind: Literal["unit_spike"] = "unit_spike"
    share: Share
    factor: Annotated[float, Field(gt=0, le=1e9)] = 1_000.0
    figure: Literal[
        "cpu", "memory", "request_rate", "p50_s", "p95_s", "p99_s", "error_rate", "queue_depth"
    ] = "request_rate"


# --- what happens to the engine


class EngineKill(_During):
    """The engine dies between deciding and acting, and is restarted from an old snapshot.

    It dies with the first decision after `at` that asks for something, of which `acted` actions
    still go out; if there is none it dies at the end of `duration_s`.  `down_s` later it starts
    again from a snapshot that was `snapshot_age_s` old when it died, or with no memory at all if
    there is none so old.
    """

    kind: Literal["engine_kill"] = "engine_kill"
    duration_s: Duration = 600.0
    acted: Annotated[int, Field(ge=0, le=100)] = 0
    down_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    snapshot_age_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0


class TwoLeaders(_During):
    """A second engine takes the lead while the first, cut off, still believes that it leads.

    The old leader goes on from what it saw `behind_s` ago and sends its commands under its old
    lease, until `duration_s` is over.
    """

    kind: Literal["two_leaders"] = "two_leaders"
    behind_s: Annotated[float, Field(ge=0, le=3_600)] = 30.0


class ClockStep(_During):
    """The engine's clock is wrong by `step_s` (either sign), until it is put right."""

    kind: Literal["clock_step"] = "clock_step"
    step_s: Annotated[float, Field(ge=-86_400, le=86_400)]


# --- what happens to the schedule feed


class ScheduleStale(_During):
    """The feed is not refreshed: bookings and cancellations stay unknown."""

    kind: Literal["schedule_stale"] = "schedule_stale"


class ScheduleLate(_During):
    """The feed is `delay_s` behind."""

    kind: Literal["schedule_late"] = "schedule_late"
    delay_s: Annotated[float, Field(gt=0, le=604_800)]


class ScheduleWrong(_During):
    """The feed is wrong: events shifted in time, missing, or with a wrong number of people."""

    kind: Literal["schedule_wrong"] = "schedule_wrong"
    shift_s: Annotated[float, Field(ge=-86_400, le=86_400)] = 0.0
    missing: Annotated[float, Field(ge=0, le=1)] = 0.0
    scale: Annotated[float, Field(gt=0, le=100)] = 1.0


Fault = Annotated[
    FlashCrowd
    | SlowService
    | CacheFlush
    | ZoneLoss
    | SlowInstance
    | SlowZone
    | SpotReclaim
    | SlowBoot
    | HeavyBoots
    | NeverReady
    | CrashLoop
    | CapacityShortage
    | ApiErrors
    | ApiTimeout
    | CommandsLost
    | CommandsDuplicated
    | MetricsBlackout
    | ScrapeLag
    | SampleLoss
    | SampleNan
    | SampleDuplicates
    | SampleReorder
    | UnitSpike
    | EngineKill
    | TwoLeaders
    | ClockStep
    | ScheduleStale
    | ScheduleLate
    | ScheduleWrong,
    Field(discriminator="kind"),
]

KINDS: dict[str, type[_Fault]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Fault)[0])
}
"""Every kind of fault by its name."""


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
