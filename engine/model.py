"""The vocabulary: every value that crosses the border of the engine.

A controller is a function of one `Observation` to one `Plan`.  All that the engine may know is
in the observation (metrics as emitted, late and lossy; the *booked* schedule; results of earlier
actions; standing requests of people), all that it wants done is in the plan.  Nothing here does
I/O, reads a clock or draws a random number, so a step can be called in a test with one literal,
replayed from a log and run thousands of times a second.

Times are float seconds since the Unix epoch (UTC), durations end in `_s`, money is USD, rates are
1/s, fractions are 0-1.

It is long because a vocabulary is: one word after the other, none of them behind an import.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

SAMPLE_FIELDS = (
    "time_s",
    "cpu",
    "memory",
    "request_rate",
    "p50_s",
    "p95_s",
    "p99_s",
    "error_rate",
    "queue_depth",
)
"""Columns of a metric window: when the sample was taken, cpu and memory as fractions of what is
provisioned, requests 1/s over the whole service, response-time quantiles, failed share of the
requests, and requests waiting for a slot (whole service)."""

SAMPLE_DTYPE = np.dtype([(name, "f8") for name in SAMPLE_FIELDS])

Z95 = 1.6448536269514722  # 95 % quantile of the standard normal distribution


class Reason(StrEnum):
    """Why a target is recommended (closed: every decision has one of these)."""

    CPU = "cpu"
    MEMORY = "memory"
    REQUEST_RATE = "request_rate"
    RESPONSE_TIME = "response_time"
    QUEUE_DEPTH = "queue_depth"
    FORECAST = "forecast"
    WEDDING_FLOOR = "wedding_floor"
    EMERGENCY = "emergency"
    COST = "cost"
    ROLLBACK = "rollback"
    BOUNDS = "bounds"
    MANUAL = "manual"
    RULE = "rule"
    """One of somebody's own; the evidence names it."""
    SURGE = "surge"


class Quantity(StrEnum):
    """What an action changes the count of."""

    INSTANCES = "instances"
    WARM = "warm"


class Category(StrEnum):
    """Who may let an action pass."""

    AUTOMATIC = "automatic"
    NEEDS_APPROVAL = "needs_approval"
    EMERGENCY = "emergency"


class Status(StrEnum):
    """What became of an action, as its infrastructure reports it."""

    ACCEPTED = "accepted"
    COMPLETED = "completed"
    FAILED = "failed"


class Direction(StrEnum):
    """Which way a pause applies."""

    ALL = "all"
    IN = "in"
    OUT = "out"


class WeddingType(StrEnum):
    """The four sizes of wedding that WedSync sells."""

    INTIMATE = "intimate"
    MEDIUM = "medium"
    LARGE = "large"
    LUXURY = "luxury"


@dataclass(frozen=True, slots=True)
class BootTime:
    """Log-normal time from an accepted request to a booted instance.

    `median_s` and `p95_s` in seconds.
    """

    median_s: float
    p95_s: float

    @property
    def sigma(self) -> float:
        """Shape of the log-normal distribution: ln(p95 / median) / z(0.95)."""
        return math.log(self.p95_s / self.median_s) / Z95

    @property
    def mean_s(self) -> float:
        """Mean of the log-normal distribution, in seconds: median * exp(sigma^2 / 2)."""
        return self.median_s * math.exp(0.5 * self.sigma**2)

    def quantile_s(self, z: float) -> float:
        """Boot time, in seconds, at the standard normal score `z`."""
        return self.median_s * math.exp(z * self.sigma)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Reactive limits of one service; `up` asks for more, `down` permits less."""

    cpu_up: float = 0.80
    cpu_down: float = 0.50
    memory_up: float = 0.85
    memory_down: float = 0.80
    request_rate_up: float = 0.95
    """Arrivals as a share of what the ready instances can serve."""
    response_time_up: float = 0.80
    """p95 as a share of the SLO's p95."""
    queue_depth_up: float = 0.50
    """Waiting requests per slot."""


@dataclass(frozen=True, slots=True)
class Call:
    """A dependency: each request to the owner makes `per_request` requests to `service`."""

    service: str
    per_request: float
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class WarmOffer:
    """Warm instances, where a platform has them: prepared, serving nothing, launched sooner.

    One costs `price_share` (0-1) of the price of an instance while it is held, and is launched in
    `boot_share` (0-1) of the boot time; the warm-up after it is the same.  No more than `most` may
    be held at once.
    """

    price_share: float
    boot_share: float
    most: int


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """What is known of a service before it runs.

    `service_s` is the mean time for which a request holds one of the instance's `slots`, and
    `service_scv` its squared coefficient of variation, so an instance serves at most
    `slots / service_s` requests a second.
    """

    name: str
    min_instances: int
    max_instances: int
    slots: int
    service_s: float
    service_scv: float
    boot: BootTime
    warmup_s: float
    slo_p95_s: float
    price_per_hour: float
    thresholds: Thresholds = field(default_factory=Thresholds)
    calls: tuple[Call, ...] = ()
    stateful: bool = False
    user_facing: bool = True
    warm: WarmOffer | None = None
    """None: the platform holds none of it warm."""

    @property
    def warm_price_per_hour(self) -> float:
        """What a warm instance costs, in USD/h; 0 where there are none."""
        return 0.0 if self.warm is None else self.warm.price_share * self.price_per_hour

    @property
    def rate_per_instance(self) -> float:
        """Requests a second that one fully busy instance serves."""
        return self.slots / self.service_s


@dataclass(frozen=True, slots=True, eq=False)
class VowLocks:
    """The ready instances of one service that carry a ceremony now, one entry each.

    `since_s` says since when without a break an instance carries any, `until_s` when those that it
    carries should be over (both epoch seconds; +inf: nobody can say).  `waits`: what is taken away
    drains until its ceremonies are over, within the engine's time limit.
    """

    since_s: FloatArray
    until_s: FloatArray
    waits: bool = False


@dataclass(frozen=True, slots=True)
class ServiceObservation:
    """One service as seen now: counts from the infrastructure, samples from the metrics source.

    `window` is a structured array of `SAMPLE_DTYPE`, oldest first and newest last; it may be
    empty, stale, and may hold NaN.  `desired` is what was last asked for.  Of the instances held
    warm, which are none of the others, `warm` could be launched now, and `warm_desired` were asked
    for.
    `locks` are the ceremonies on its instances; None where the infrastructure cannot tell.
    """

    spec: ServiceSpec
    desired: int
    ready: int
    booting: int
    draining: int
    window: NDArray[np.void]
    warm: int = 0
    warm_desired: int = 0
    locks: VowLocks | None = None


@dataclass(frozen=True, slots=True, eq=False)
class InstanceFigures:
    """The newest figures of single instances of one service, as far as they are measured.

    `names` are those of the metrics source.  `samples` (instances, fields) are in the order of
    `SAMPLE_FIELDS`, NaN where nothing is measured; rates and queues are each instance's own.
    """

    names: tuple[str, ...]
    samples: FloatArray


@dataclass(frozen=True, slots=True)
class Wedding:
    """One booked wedding.  `phase_start_s` has one entry a phase and a last one for the end."""

    id: str
    time_zone: str
    type: WeddingType
    guests: int
    vendors: int
    phase_start_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Booked events, column-wise: what a list of `Wedding` is, for 100,000 of them.

    `phase_start_s` has shape (events, phases + 1), epoch seconds, rising along each row: phase k
    runs from column k to k + 1.  `participants` has shape (events, roles): the expected number of
    people of each role.  `major` marks the events that get the proactive floor.  Nothing in it is
    about weddings alone: a football fixture list fits as well.
    """

    phases: tuple[str, ...]
    roles: tuple[str, ...]
    phase_start_s: FloatArray
    participants: FloatArray
    major: NDArray[np.bool_]

    def __post_init__(self) -> None:
        events = len(self.phase_start_s)
        if self.phase_start_s.shape != (events, len(self.phases) + 1):
            raise ValueError(
                f"phase_start_s has shape {self.phase_start_s.shape}, "
                f"expected ({events}, {len(self.phases) + 1})"
            )
        if self.participants.shape != (events, len(self.roles)) or self.major.shape != (events,):
            raise ValueError("participants and major need one row for each event")


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """How booked events turn into load: learned from earlier events, not from today's.

    `rates` has shape (roles, phases, services): requests per second and participant that enter
    the platform at each service.  `background` has shape (24, services): the load that is there
    without any event, in the middle of each hour of the day (UTC).  `lateness_mean_s` and
    `lateness_sd_s` say how far behind its booked time an event usually runs; `turnout` is the
    share of booked participants who come, `unbooked_share` the share of all events that are
    usually missing from the schedule.  `sigma` is the log-standard deviation of a day's true
    response around these means.
    """

    services: tuple[str, ...]
    rates: FloatArray
    background: FloatArray
    lateness_mean_s: float
    lateness_sd_s: float
    turnout: float
    unbooked_share: float
    sigma: float


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """The calendar as known now, aggregated per service and time bin.

    `load` has shape (services, bins): expected requests/s *arriving at* each service, calls from
    other services included, from all booked events and the background.  `major_load` is the part
    of it that belongs to major events.  `events` and `major_events` (bins,) count those in
    progress.  Bin b covers [start_s + b * bin_s, start_s + (b + 1) * bin_s).  `sigma` is the
    log-standard deviation of the truth around `load` as far as history tells, `noun` what people
    call the events, in the plural.

    `in_phases` (phases, bins) are the events in each of the `phases`, `major_starts` (bins,) how
    many major events are booked to begin in each bin; both may be left empty.

    The calendar knows the bins that are there and nothing besides: from `start_s` up to `end_s`.
    Whoever asks about another time is told NaN, which is not a load of zero.
    """

    issued_s: float
    start_s: float
    bin_s: float
    services: Mapping[str, int]
    load: FloatArray
    major_load: FloatArray
    events: FloatArray
    major_events: FloatArray
    sigma: float
    noun: str = "weddings"
    phases: tuple[str, ...] = ()
    in_phases: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    major_starts: FloatArray = field(default_factory=lambda: np.zeros(0))
    as_booked: Outlook | None = None
    """The calendar's alone, where occasions are on top of it."""

    @property
    def end_s(self) -> float:
        """When the last bin ends (epoch seconds): the first moment that is not covered."""
        bins: int = self.load.shape[1]
        return self.start_s + bins * self.bin_s

    def covers(self, time_s: float) -> bool:
        """Whether the calendar knows of `time_s` (epoch seconds)."""
        return self.start_s <= time_s < self.end_s

    def rate(self, row: int, time_s: float) -> float:
        """Load (requests/s) of the service of `row` at `time_s`, linear between bin centres.

        Within half a bin of either end it is that of the bin; NaN at a time that is not covered.
        """
        if not self.covers(time_s):
            return math.nan
        position = (time_s - self.start_s) / self.bin_s - 0.5
        last: int = self.load.shape[1] - 1
        low = min(max(int(position), 0), last)
        high = min(low + 1, last)
        share = min(max(position - low, 0.0), 1.0)
        before, after = self.load.item(row, low), self.load.item(row, high)
        return float(before + share * (after - before))

    def peak(self, service: str, from_s: float, to_s: float) -> float:
        """Highest load of `service` (requests/s) from the bin of `from_s` on until `to_s`.

        Looks at as many whole bins as fit in between and are covered; NaN where there is none.
        """
        begin = math.floor((from_s - self.start_s) / self.bin_s)
        end = begin + int((to_s - from_s) / self.bin_s)
        bins = self.load[self.services[service], max(begin, 0) : max(end, 0)]
        return float(bins.max()) if len(bins) else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One measured quantity on an even time grid.

    `values` (steps,): value i is the mean over [start_s + i * step_s, start_s + (i + 1) * step_s),
    NaN where nothing was measured.  Any unit, but not negative where it is forecast.
    """

    name: str
    start_s: float
    step_s: float
    values: FloatArray

    def times_s(self) -> FloatArray:
        """When each step begins (epoch seconds)."""
        return self.start_s + self.step_s * np.arange(len(self.values), dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """Scheduled events of any sort, known beforehand: football matches as well as weddings.

    All (events,), in the order of their starts: `start_s` (epoch seconds), `size` the expected
    size, relative to a usual event (1.0), `kinds` what sort of event it is (stage of a cup, type of
    a wedding), `known_s` since when it is in the calendar (-inf: always).  What happens when,
    counted from the start, is for the forecaster to learn.
    """

    start_s: FloatArray
    size: FloatArray
    kinds: tuple[str, ...]
    known_s: FloatArray

    def __post_init__(self) -> None:
        events = len(self.start_s)
        if not events == len(self.size) == len(self.kinds) == len(self.known_s):
            raise ValueError("start_s, size, kinds and known_s need one entry for each event")

    def known_at(self, time_s: float) -> Calendar:
        """What of it was known at `time_s`."""
        entered = self.known_s <= time_s
        if entered.all():
            return self
        kinds = tuple(kind for kind, is_known in zip(self.kinds, entered, strict=True) if is_known)
        return Calendar(self.start_s[entered], self.size[entered], kinds, self.known_s[entered])


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What the infrastructure says of an action.

    `sent` False: it never left the engine, so it cannot be carried out any more either.
    """

    decision_id: str
    status: Status
    time_s: float
    detail: str = ""
    sent: bool = True


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to an action that needs approval."""

    decision_id: str
    approved: bool
    time_s: float
    approver: str


@dataclass(frozen=True, slots=True)
class ManualFloor:
    """A standing request: at least `instances` of `service` until `expires_s`."""

    service: str
    instances: int
    expires_s: float
    requested_by: str = ""


@dataclass(frozen=True, slots=True)
class ManualScale:
    """A person's count: until `expires_s` the service is taken to `instances` and kept there.

    Limits, cooldowns, budget and protection hold for it as for any step, and an emergency or a
    wedding floor passes it.  By its `id` whoever asked for it finds it again; `why` is their words.
    `before` is what was desired when it was asked for, to which it is taken back (None: nobody
    knows).  With `override` more instances come at once, whatever step, rest, budget and quota say;
    of fewer it changes nothing.
    """

    id: str
    service: str
    instances: int
    expires_s: float
    requested_by: str = ""
    why: str = ""
    before: int | None = None
    override: bool = False


@dataclass(frozen=True, slots=True)
class AlertAnswer:
    """What a person says of an incident of `service`: by its `id` it counts once.

    `incident` is the incident's id; `escalates` tells the next level now, else it is acknowledged.
    """

    id: str
    service: str
    incident: str
    escalates: bool
    expires_s: float
    requested_by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class MonitoringSession:
    """What the monitor is to watch: `services` (none: all), for `kinds` of findings (none: all).

    It looks every `every_s` from `since_s` to `until_s`, and stands in the list until `expires_s`.
    `ended_by` is who ended it before its time.
    """

    id: str
    services: tuple[str, ...]
    every_s: float
    kinds: tuple[str, ...]
    since_s: float
    until_s: float = math.inf
    expires_s: float = math.inf
    requested_by: str = ""
    why: str = ""
    ended_by: str = ""

    @property
    def service(self) -> str:
        """That of several services is of the platform, as other requests say it."""
        return self.services[0] if len(self.services) == 1 else ""

    def runs(self, now_s: float) -> bool:
        """Whether it has begun and is not over at `now_s`; who asked may have a clock ahead."""
        return now_s < self.until_s


@dataclass(frozen=True, slots=True)
class Occasion:
    """What is in no calendar: `times` the usual load at some services, from `starts_s` to `ends_s`.

    It rises within `ramp_s` before its beginning.  `sure` (0 to 1) is how sure whoever says so is.
    It counts once it is approved, until it is over or `ended_by` says who took it back; it stands
    in the list until `expires_s`.
    """

    id: str
    name: str
    times: tuple[tuple[str, float], ...]
    starts_s: float
    ends_s: float
    sure: float = 1.0
    ramp_s: float = 300.0
    expires_s: float = math.inf
    requested_by: str = ""
    why: str = ""
    approved_by: str = ""
    ended_by: str = ""

    @property
    def services(self) -> tuple[str, ...]:
        """Those that are named."""
        return tuple(name for name, _ in self.times)

    @property
    def service(self) -> str:
        """That of several services is of the platform, as other requests say it."""
        return self.times[0][0] if len(self.times) == 1 else ""

    @property
    def counts(self) -> bool:
        """Whether it is approved and was not taken back."""
        return bool(self.approved_by) and not self.ended_by


@dataclass(frozen=True, slots=True)
class Pause:
    """A standing request: no scaling in `direction` until `expires_s`.

    `service` empty: engine-wide.  `pinned` holds the service at that count meanwhile.
    """

    service: str = ""
    direction: Direction = Direction.ALL
    expires_s: float = math.inf
    pinned: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Ceilings over all services: USD per hour, and instances (the account's quota)."""

    usd_per_hour: float = math.inf
    instances: float = math.inf


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that a controller may know at `now_s`.

    Level-triggered: standing requests are all listed each time, results and approvals are those
    since the last step.  `at_once`: something was found, so all services are to be looked at now,
    whenever their cycle is due.
    """

    now_s: float
    services: tuple[ServiceObservation, ...]
    outlook: Outlook
    results: tuple[ActionResult, ...] = ()
    approvals: tuple[Approval, ...] = ()
    floors: tuple[ManualFloor, ...] = ()
    pauses: tuple[Pause, ...] = ()
    budget: Budget = Budget()
    scales: tuple[ManualScale, ...] = ()
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A target that one rule wants for one service, with the figures it was led by.

    `trigger_s` is the time of the earliest evidence, `confidence` 0-1, `scale_id` the id of the
    `ManualScale` that asks for it ("": none does).
    """

    service: str
    target: int
    reason: Reason
    evidence: Mapping[str, float]
    confidence: float
    trigger_s: float
    scale_id: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """A recommendation that was not (wholly) taken, and why."""

    recommendation: Recommendation
    why: str


@dataclass(frozen=True, slots=True)
class WeddingContext:
    """The events behind a decision: how many are in progress at the time that it plans for."""

    events: float = 0.0
    major_events: float = 0.0
    at_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Rollback:
    """How to undo an action: the count to go back to."""

    target: int


@dataclass(frozen=True, slots=True)
class Action:
    """One change of one service's instance count, or of the count that is held warm (`quantity`).

    `from_instances` and `to_instances` are counts of that quantity.  `decision_id` is deterministic
    and the idempotency key: the same action sent twice changes nothing.  `cost_per_hour` is the
    estimated change of the bill in USD/h, `scale_id` the id of the `ManualScale` that it is a step
    of ("": of none).
    """

    decision_id: str
    service: str
    from_instances: int
    to_instances: int
    reason: Reason
    category: Category
    confidence: float
    cost_per_hour: float
    rollback: Rollback
    weddings: WeddingContext
    evidence: Mapping[str, float]
    trigger_s: float
    decided_s: float
    explanation: str
    scale_id: str = ""
    quantity: Quantity = Quantity.INSTANCES


@dataclass(frozen=True, slots=True)
class Forecast:
    """Arrivals (1/s) of one service at `horizon_s` from now, at three quantiles."""

    service: str
    horizon_s: float
    q10: float
    q50: float
    q90: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a step wants done.

    `actions` are to be executed now; `awaiting` are worked out and wait for approval, `dry` are
    what recommend-only mode would have done.  `taken` and `declined` hold the recommendations
    behind them.  `floors` are the wedding floors in force.  `cycle` is false for a step between two
    cycles, which looks at the newest samples alone.
    """

    actions: tuple[Action, ...] = ()
    awaiting: tuple[Action, ...] = ()
    dry: tuple[Action, ...] = ()
    taken: tuple[Recommendation, ...] = ()
    declined: tuple[Declined, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    floors: Mapping[str, int] = field(default_factory=dict)
    cycle: bool = True


class Controller(Protocol):
    """Anything that can drive the platform: the engine itself, or a baseline to compare it with."""

    def step(self, observation: Observation) -> Plan:
        """Decide what to do now."""
        ...

    def snapshot(self) -> str:
        """Everything it remembers, as JSON: restored from it, the next plan is the same."""
        ...

    def restore(self, snapshot: str) -> None:
        """Take over a memory that `snapshot` wrote; raises ValueError for any other text."""
        ...
