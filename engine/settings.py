"""Every knob of the engine, typed and bounded, so that a wrong value is refused where it is read.

The defaults are one set for all scenarios.  A knob is here because somebody running the engine
would turn it; figures that belong to a service (thresholds, boot time, price) are in its
`ServiceSpec`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from engine.config.complaints import check_name
from engine.config.load import Reference
from engine.config.strict import Strict

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]


class LimitSettings(Strict):
    """How far and how often a service may move."""

    step_out: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """Largest rise in one step, as a share of the current count."""
    step_in: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Largest fall in one step, as a share of the current count."""
    cooldown_out_s: Seconds = 300.0
    """Rest between two steps out of one service."""
    cooldown_in_s: Seconds = 300.0
    """Rest between two steps in of one service."""
    stabilisation_s: Seconds = 300.0
    """A scale-in goes no lower than the highest target of this long."""
    flip_hold_s: Seconds = 300.0
    """Rest before a step against the direction of the last one."""
    again_s: Seconds = 0.0
    """A step in leaves what may be needed again within so long, beyond the noise of the forecast: a
    service turns back less often, and costs a little more.  0: it leaves what is needed."""
    idle_s: Seconds = 300.0
    """A service whose minimum is 0 keeps one instance until nobody asked for it for this long."""
    tolerance_out: Fraction = 0.02
    """A rise by less than this share is not worth a step."""
    tolerance_in: Fraction = 0.05
    """A fall by less than this share is not worth a step."""


class VowLockSettings(Strict):
    """How long an instance stays for its ceremonies, where the platform can tell of them."""

    limit_s: Seconds = 2700.0
    """A step in takes no instance that has carried ceremonies for less than this, and what drains
    waits at most so long for the end of those that it carries; 0: neither waits."""


class CapacitySettings(Strict):
    """How many instances a rate of requests needs."""

    max_utilisation: Annotated[float, Field(gt=0.1, le=0.99)] = 0.92
    """Share of the slots that may be busy when everything is ready."""
    max_utilisation_deferred: Annotated[float, Field(gt=0.1, le=0.99)] = 0.97
    """The same for services that no user waits for: their work can queue for a moment."""
    zones: Annotated[int, Field(ge=1, le=16)] = 3
    """Availability zones that instances are spread over."""
    survive_zone_loss: Literal["critical", "all", "none"] = "critical"
    """Which services keep enough to carry the expected load with one zone gone; `critical` are
    those that users wait for, directly or through another service."""


class ForecastSettings(Strict):
    """The schedule-based forecaster and what is done with its quantiles."""

    risk: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.02
    """Accepted probability that the need at a given time exceeds what stands ready."""
    risk_deferred: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.1
    """The same for services that no user waits for."""
    boot_quantile: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.95
    """Boot time to plan with, as a quantile of the service's own distribution."""
    level_drift_per_h: Annotated[float, Field(gt=0.0, le=2.0)] = 0.08
    """Log-standard deviation by which the ratio of observed to booked load drifts in an hour."""
    observation_sd: Annotated[float, Field(gt=0.0, le=2.0)] = 0.10
    """Log-standard deviation with which one cycle's observation shows that ratio."""
    surge_decay_s: Annotated[float, Field(gt=0.0, le=86_400.0)] = 1200.0
    """How long a sudden departure from the schedule is expected to last."""
    level_decay_s: Annotated[float, Field(gt=0.0, le=604_800.0)] = 21_600.0
    """How long the slow ratio is expected to last."""
    artefact: Annotated[str, Field(min_length=1)] | None = None
    """File of what was learned about how departures go on (`python -m twin learn`), in place of
    the two constants above; null: the schedule alone.  It is read where the engine is made; one
    that cannot be used is refused with its reason, and the engine goes by the schedule alone."""


class WeddingSettings(Strict):
    """Proactive floors and protection from the booked schedule."""

    lead_s: Seconds = 7200.0
    """Capacity for major events stands this long before their load."""
    floor_quantile: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.9
    """Quantile of the booked outlook that a floor covers."""
    protection_s: Seconds = 7200.0
    """No scale-in below what the outlook needs within this time."""
    protection_quantile: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.9
    """Quantile of the outlook that the protection covers."""


class EmergencySettings(Strict):
    """The path that is taken on every sample and bypasses cooldown and step limits."""

    cpu: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    """Utilisation, 0-1, that is one."""
    error_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.02
    """Share of the requests that fail."""
    queue_per_slot: Annotated[float, Field(gt=0.0, le=1000.0)] = 0.5
    """Requests that wait for each slot."""
    response_time: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    """p95 as a multiple of the SLO's p95."""
    confirm: Annotated[int, Field(ge=1, le=3)] = 2
    """So many of the newest three samples must agree: one wild sample is not an emergency."""
    target_utilisation: Annotated[float, Field(gt=0.1, le=0.99)] = 0.70
    """Utilisation that the emergency's target aims at."""
    drain_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 60.0
    """Time in which a backlog should be worked off."""
    most_at_once: Annotated[float, Field(gt=1.0, le=100.0)] = 8.0
    """The target is at most this many times what is ready: arrivals that are mostly retries, or a
    wrong figure, must not order without bound."""
    again: Annotated[float, Field(ge=1.0, le=10.0)] = 1.1
    """A further emergency of the same service has to ask for this many times what is desired."""
    calm_s: Seconds = 300.0
    """No scale-in until the service has been calm for so long."""


class FallbackSettings(Strict):
    """What carries a service whose metrics are lost."""

    mode: Literal["outlook", "hold", "static"] = "outlook"
    """`outlook`: the booked outlook's floor; `hold`: what is there; `static`: at least
    `instances`."""
    instances: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """At least these, with `mode: static`."""


class ApprovalSettings(Strict):
    """Which actions a person has to approve."""

    max_instances: Annotated[int, Field(ge=1, le=10_000_000)] = 5000
    """A step by more instances needs approval."""
    max_cost_per_hour: Annotated[float, Field(ge=0.0, le=1e9)] = 2000.0
    """A step that raises the bill by more USD/h needs approval."""
    min_confidence: Fraction = 0.2
    """A step with less confidence needs approval."""
    expires_s: Seconds = 900.0
    """A question that stays unanswered is put anew after this time."""


class CostSettings(Strict):
    """What flapping is worth, for the choice between holding and trimming."""

    window_s: Annotated[float, Field(gt=0.0, le=86_400.0)] = 7200.0
    """How far ahead the cost of a target is weighed."""
    flap_hours: Annotated[float, Field(ge=0.0, le=24.0)] = 0.1
    """Price of taking one instance away and needing it again, in instance-hours on top of its
    boot time."""


class VerifySettings(Strict):
    """How an action's outcome is judged."""

    settle_s: Seconds = 60.0
    """Time after an action before its effect is looked at."""
    watch_s: Seconds = 300.0
    """Time for which it is looked at."""
    worse_error_rate: Fraction = 0.01
    """A rise of the failed share by this much, after a step, is the step's fault."""
    answer_s: Seconds = 60.0
    """A command without answer or effect counts as lost after this time."""
    hold_s: Seconds = 900.0
    """After a rollback, the same direction rests this long: steps out, and steps in below the count
    that it went back to."""


class SurgeSettings(Strict):
    """What instances held warm insure against, where the platform offers any.

    The defaults are assumptions, with the plausible range of each.
    """

    per_day: Annotated[float, Field(ge=0.0, le=24.0)] = 0.01
    """Surges that nobody announced and that at least double a service's load, on an average day
    (0.002 … 0.1); 0: none are insured."""
    tail: Annotated[float, Field(ge=0.5, le=10.0)] = 2.0
    """Of these, (2 / f) ^ tail are of f times the load or more (1 … 3)."""
    most: Annotated[float, Field(ge=2.0, le=100.0)] = 16.0
    """No surge beyond so many times the load is insured."""
    usd_per_missed_request: Annotated[float, Field(ge=0.0, le=1e6)] = 0.0005
    """What a request that is missed costs, in USD (0.0001 … 0.002)."""
    moments: tuple[str, ...] = ("ceremony",)
    """Phases of an event that do not come again."""
    moment_factor: Annotated[float, Field(ge=1.0, le=1000.0)] = 5.0
    """So many times as much a missed request costs at such a moment (2 … 20)."""
    bill_share: Fraction = 0.03
    """What is held warm costs at most this share of what all instances cost at the time."""


class RuleSettings(Strict):
    """A rule of one's own (`engine.decide.recommend.own`)."""

    factory: Reference
    """What makes it, `module:callable`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Given to the factory, by their names."""
    services: tuple[str, ...] = ()
    """The services that it is asked about; empty: all."""


RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class EngineSettings(Strict):
    """All settings of the engine."""

    mode: Literal["act", "recommend_only"] = "act"
    """`recommend_only` works everything out and changes nothing."""
    cycle_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 15.0
    """Time between full cycles."""
    sample_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 5.0
    """Time between the emergency path's looks at the newest sample."""
    stale_after_s: Annotated[float, Field(gt=0.0, le=3600.0)] = 45.0
    """Metrics older than this do not count, unless three samples take longer to come."""
    limits: LimitSettings = Field(default_factory=LimitSettings)
    vow_lock: VowLockSettings = Field(default_factory=VowLockSettings)
    capacity: CapacitySettings = Field(default_factory=CapacitySettings)
    forecast: ForecastSettings = Field(default_factory=ForecastSettings)
    weddings: WeddingSettings = Field(default_factory=WeddingSettings)
    emergency: EmergencySettings = Field(default_factory=EmergencySettings)
    fallback: FallbackSettings = Field(default_factory=FallbackSettings)
    fallback_by_service: dict[str, FallbackSettings] = Field(default_factory=dict)
    approval: ApprovalSettings = Field(default_factory=ApprovalSettings)
    cost: CostSettings = Field(default_factory=CostSettings)
    verify: VerifySettings = Field(default_factory=VerifySettings)
    surge: SurgeSettings = Field(default_factory=SurgeSettings)
    rules: dict[RuleName, RuleSettings] = Field(default_factory=dict)
    """Rules of one's own, by their names."""

    def check(self, services: Sequence[str]) -> None:
        """Raise ValueError naming the key for what is said of a service that there is not."""
        for service in self.fallback_by_service:
            check_name(service, services, "engine.fallback_by_service")
        for name, rule in self.rules.items():
            for service in rule.services:
                check_name(service, services, f"engine.rules.{name}.services")

    def fallback_of(self, service: str) -> FallbackSettings:
        """What carries `service` when its metrics are lost."""
        return self.fallback_by_service.get(service, self.fallback)
