"""The knobs of the monitor, typed and bounded; those of one service may differ (`by_service`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from engine.config.complaints import close
from engine.config.load import Reference
from engine.config.strict import Strict
from engine.monitoring.findings import Finding, Severity
from engine.settings import Fraction, Seconds

Positive = Annotated[float, Field(gt=0.0, le=1e6)]


class Levels(Strict):
    """Above `warning` it is one, above `critical` it is that."""

    warning: Positive
    """Above it the figure is a warning ..."""
    critical: Positive
    """... and above this it is critical."""

    @model_validator(mode="after")
    def _ordered(self) -> Levels:
        if self.critical <= self.warning:
            raise ValueError(
                f"critical: {self.critical:g} is not allowed (above warning {self.warning:g})"
            )
        return self


class MonitorLimits(Strict):
    """Thresholds of figures: cpu, memory and errors as shares 0-1, p95 in seconds."""

    cpu: Levels = Levels(warning=0.85, critical=0.95)
    memory: Levels = Levels(warning=0.90, critical=0.95)
    p95_s: Levels = Levels(warning=1.0, critical=2.0)
    error_rate: Levels = Levels(warning=0.01, critical=0.05)


class QueueSettings(Strict):
    """When a queue is one that grows."""

    per_slot: Levels = Levels(warning=0.5, critical=2.0)
    """Waiting requests per slot.  For a service that nobody waits for, times its promised response
    time over its service time, if that is more than 1: there the queue may take half of the promise
    (0.5) before anybody hears of it."""


class SaturationSettings(Strict):
    """Looking ahead along the slope of a figure."""

    within_s: Seconds = 900.0
    """It is said when the slots or the memory are full sooner than this."""
    slope_s: Annotated[float, Field(gt=0.0, le=86_400.0)] = 180.0
    """Over about how long the slope is taken."""
    from_share: Fraction = 0.7
    """Below this share of being full nothing is said."""


class SilenceSettings(Strict):
    """When booked load does not come, or usual load where the calendar is not asked."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Less than this share of the booked (usual) load is silence ..."""
    least_rate: Positive = 1.0
    """... where at least so many requests/s are booked (usual)."""


class BurnWindow(Strict):
    """One pair of windows: the budget burns `factor` times too fast in both of them."""

    long_s: Annotated[float, Field(gt=0.0, le=2_678_400.0)]
    """The longer window, seconds."""
    short_s: Annotated[float, Field(gt=0.0, le=2_678_400.0)]
    """The shorter one, which ends the alarm soon."""
    factor: Annotated[float, Field(ge=1.0, le=10_000.0)]
    """How many times too fast the budget burns."""
    page: bool = True
    """Critical; else a warning."""

    @model_validator(mode="after")
    def _ordered(self) -> BurnWindow:
        if self.short_s >= self.long_s:
            raise ValueError(
                f"short_s: {self.short_s:g} is not allowed (below long_s {self.long_s:g})"
            )
        return self


class SloSettings(Strict):
    """Burn rates (Google, The Site Reliability Workbook, 2018, ch. 5, table 5-8)."""

    objective: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.999
    """Share of the requests that has to succeed."""
    windows: tuple[BurnWindow, ...] = (
        BurnWindow(long_s=3600.0, short_s=300.0, factor=14.4),
        BurnWindow(long_s=21_600.0, short_s=1800.0, factor=6.0),
        BurnWindow(long_s=86_400.0, short_s=7200.0, factor=3.0, page=False),
        BurnWindow(long_s=259_200.0, short_s=21_600.0, factor=1.0, page=False),
    )
    least_events: Positive = 20.0
    """So many bad requests at least in the short window: one error at night pages nobody."""


class CapacityWatch(Strict):
    """When instances count as lost or missing."""

    lost_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Lost: so large a share of those ready goes within a minute without anybody asking."""
    missing_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Missing: so large a share of those asked for is not ready ..."""
    boots: Annotated[float, Field(ge=1.0, le=20.0)] = 1.5
    """... after so many times the 95 % boot and warm-up time."""


class RestartSettings(Strict):
    """When instances that fall and come back restart over and over."""

    falls: Annotated[int, Field(ge=2, le=20)] = 3
    """So many times at least ..."""
    within_s: Seconds = 900.0
    """... within so long."""


class WildSettings(Strict):
    """When samples are wrong at their source."""

    samples: Annotated[int, Field(ge=2, le=20)] = 2
    """So many wild ones at least ..."""
    within_s: Seconds = 300.0
    """... within so long."""


class PeerSettings(Strict):
    """When one instance differs from the others of its service."""

    every_s: Annotated[float, Field(ge=5.0, le=3600.0)] = 15.0
    """Single instances are looked at so often."""
    least: Annotated[int, Field(ge=3, le=1000)] = 3
    """Of fewer that are measured nobody is the odd one."""
    share: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.2
    """Of more than this share something else is wrong."""
    spreads: Annotated[float, Field(ge=3.0, le=100.0)] = 6.0
    """So many robust spreads of its peers from their median at least, and ..."""
    cpu: Fraction = 0.25
    """... by so much more of its slots busy, ..."""
    memory: Fraction = 0.15
    """... or of its memory taken, ..."""
    p95_slos: Positive = 0.25
    """... or by so large a part of the SLO slower, and twice as slow, ..."""
    error_rate: Fraction = 0.05
    """... or so much more of its requests failed, ..."""
    rate_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """... or less than this share of the requests of the others comes to it."""


class EventSettings(Strict):
    """What the monitor has to know of the events to say who is hurt."""

    mean_guests: Positive = 109.0
    """Guests of one event, on average."""
    live_updates: str = "real-time"
    """The service that carries live updates; "": none."""
    uploads: str = "file-storage"
    """The service that takes uploads; "": none."""


class EarlyStepSettings(Strict):
    """When a finding lets the engine look at everything at once, before its cycle is due."""

    enabled: bool = False
    """Whether findings may do so."""
    severity: Severity = Severity.CRITICAL
    """Of a finding that begins: so bad or worse."""
    apart_s: Annotated[float, Field(ge=5.0, le=3600.0)] = 30.0
    """At most one such step in so long, however much is found."""

    def asked_by(self, began: Iterable[Finding]) -> Finding | None:
        """The worst finding that asks for a step; None: none does."""
        if not self.enabled:
            return None
        bad = [f for f in began if f.severity.rank >= self.severity.rank]
        return max(bad, key=lambda finding: finding.severity.rank, default=None)


LevelShare = Annotated[float, Field(gt=0.0, le=1.0)]


class WeddingDayLevels(Strict):
    """Thresholds while major events are in progress: each level is this share of the usual one."""

    major_events: Annotated[float, Field(ge=1.0)] = 1.0
    """So many of them at least, as for alerts (`alerts.wedding_day`)."""
    cpu: LevelShare = 0.95
    """Of the levels of utilisation."""
    memory: LevelShare = 0.95
    """Of the levels of memory."""
    p95_s: LevelShare = 0.7
    """Of the levels of response time."""
    error_rate: LevelShare = 0.5
    """Of the levels of errors."""
    queue_per_slot: LevelShare = 0.5
    """Of the levels of what waits."""


class WatcherConfig(Strict):
    """A rule or a detector: `factory` is called with the specs and, as keywords, `options`."""

    factory: Reference
    """What makes it, `module:callable`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Given to the factory, by their names."""


class ServiceMonitorSettings(Strict):
    """What differs for one service; null: what holds for all."""

    cpu: Levels | None = None
    memory: Levels | None = None
    p95_s: Levels | None = None
    error_rate: Levels | None = None
    queue_per_slot: Levels | None = None


class MonitorSettings(Strict):
    """All of the monitor."""

    enabled: bool = False
    """Whether the monitor runs with the engine."""
    every_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 5.0
    """Time between two looks while something is unusual, and between two glances."""
    calm_s: Annotated[float, Field(ge=1.0, le=240.0)] = 240.0
    """While the newest samples are as usual, a look comes so long after the last one."""
    stale_after_s: Seconds = 45.0
    """Without a sample for so long a service is silent, which is no calm."""
    clear_s: Seconds = 120.0
    """A finding ends when it was not seen for so long, in samples that did come."""
    settle_s: Seconds = 900.0
    """So long after its start the monitor learns what is usual, and only the rules speak."""
    calendar: bool = True
    """Whether booked events say what to expect; false: only what was seen before."""
    limits: MonitorLimits = MonitorLimits()
    queue: QueueSettings = QueueSettings()
    saturation: SaturationSettings = SaturationSettings()
    silence: SilenceSettings = SilenceSettings()
    slo: SloSettings = SloSettings()
    capacity: CapacityWatch = CapacityWatch()
    restarts: RestartSettings = RestartSettings()
    wild: WildSettings = WildSettings()
    instances: PeerSettings = PeerSettings()
    events: EventSettings = EventSettings()
    early_step: EarlyStepSettings = EarlyStepSettings()
    wedding_day: WeddingDayLevels = WeddingDayLevels()
    by_service: dict[str, ServiceMonitorSettings] = Field(default_factory=dict)
    detectors: dict[str, WatcherConfig] = Field(default_factory=dict)
    """By name; the rules are always there."""

    def check(self, services: Sequence[str], at: str = "monitor") -> None:
        """Raise ValueError, naming the key under `at`, for a service that there is not."""
        for name in self.by_service:
            if name not in services:
                raise ValueError(
                    f'{at}.by_service: "{name}" is not allowed '
                    f"({', '.join(services)}){close(name, services)}"
                )

    def levels(self, service: str, figure: str, *, wedding_day: bool = False) -> Levels:
        """The levels of `figure` (a field of `ServiceMonitorSettings`) that hold for a service.

        On a `wedding_day` they are stricter.
        """
        given = self._own(service, figure)
        if given is None:
            given = (
                self.queue.per_slot if figure == "queue_per_slot" else getattr(self.limits, figure)
            )
        assert given is not None
        if not wedding_day:
            return given
        share: float = getattr(self.wedding_day, figure)
        return Levels(warning=share * given.warning, critical=share * given.critical)

    def has_own(self, service: str, figure: str) -> bool:
        """Whether a service has levels of its own for `figure`."""
        return self._own(service, figure) is not None

    def _own(self, service: str, figure: str) -> Levels | None:
        own = self.by_service.get(service)
        return None if own is None else getattr(own, figure)

    def beside(self, platform: Mapping[str, ServiceMonitorSettings]) -> MonitorSettings:
        """The same with what the platform says of its services, where nothing is said here."""
        merged = {
            name: ServiceMonitorSettings(
                **{
                    **own.model_dump(exclude_none=True),
                    **self.by_service.get(name, ServiceMonitorSettings()).model_dump(
                        exclude_none=True
                    ),
                }
            )
            for name, own in platform.items()
        }
        return self.model_copy(update={"by_service": {**self.by_service, **merged}})
