"""The platform file, `conf/platform/*.yaml`: zones, services, what they cost and call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from engine.config.strict import Strict
from engine.decide.callgraph import call_order
from engine.model import BootTime, Call, ServiceSpec, Thresholds, WarmOffer
from engine.monitoring.settings import MonitorSettings, ServiceMonitorSettings

THRESHOLDS = Thresholds()
"""The defaults are those of the vocabulary, so that a file and a test mean the same by silence."""


class BootConfig(Strict):
    """Log-normal boot time."""

    median_s: Annotated[float, Field(gt=0.0, le=86_400.0)]
    """Half of the boots take less, seconds."""
    p95_s: Annotated[float, Field(gt=0.0, le=86_400.0)]
    """95 % of the boots take less, seconds."""

    @model_validator(mode="after")
    def _ordered(self) -> BootConfig:
        if self.p95_s < self.median_s:
            raise ValueError(f"p95_s {self.p95_s:g} is below median_s {self.median_s:g}")
        return self


class CallConfig(Strict):
    """Requests to another service that each request makes."""

    per_request: Annotated[float, Field(ge=0.0, le=1000.0)]
    """How many, in the mean."""
    asynchronous: bool = False
    """Whether nobody waits for their answers."""


class ThresholdsConfig(Strict):
    """Reactive limits of a service; see `engine.model.Thresholds`."""

    cpu_up: Annotated[float, Field(gt=0.0, le=1.0)] = THRESHOLDS.cpu_up
    """Utilisation, 0-1, above which the service grows ..."""
    cpu_down: Annotated[float, Field(ge=0.0, le=1.0)] = THRESHOLDS.cpu_down
    """... and below which it may shrink."""
    memory_up: Annotated[float, Field(gt=0.0, le=1.0)] = THRESHOLDS.memory_up
    """Share of the memory above which the service grows ..."""
    memory_down: Annotated[float, Field(ge=0.0, le=1.0)] = THRESHOLDS.memory_down
    """... and below which it may shrink."""
    request_rate_up: Annotated[float, Field(gt=0.0, le=2.0)] = THRESHOLDS.request_rate_up
    """Share of what the ready instances can serve, above which the service grows."""
    response_time_up: Annotated[float, Field(gt=0.0, le=10.0)] = THRESHOLDS.response_time_up
    """p95 as a share of its SLO, above which the service grows."""
    queue_depth_up: Annotated[float, Field(gt=0.0, le=1000.0)] = THRESHOLDS.queue_depth_up
    """Requests that wait for each slot, above which the service grows."""

    @model_validator(mode="after")
    def _ordered(self) -> ThresholdsConfig:
        for name in ("cpu", "memory"):
            down, up = getattr(self, f"{name}_down"), getattr(self, f"{name}_up")
            if down > up:
                raise ValueError(f"{name}_down {down:g} is above {name}_up {up:g}")
        return self


class ClientConfig(Strict):
    """How clients of a service wait and try again."""

    timeout_s: Annotated[float, Field(ge=1.0, le=600.0)] = 10.0
    """A request without an answer for so long is given up."""
    max_retries: Annotated[int, Field(ge=0, le=8)] = 2
    """So often a failed request is tried again at the most."""
    retry_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    """Share of the failed requests that are tried again."""
    backoff_s: Annotated[float, Field(ge=0.0, le=60.0)] = 1.0
    """Before the first new try; it doubles each time."""
    queue_limit_per_slot: Annotated[float, Field(ge=0.0, le=1e9)] = 50.0
    """Requests that may wait at an instance, for each of its slots; more are turned away."""


class WarmConfig(Strict):
    """Instances that the platform can hold warm; see `engine.model.WarmOffer`."""

    price_share: Annotated[float, Field(ge=0.0, le=1.0)]
    """What one costs while it is held, as a share of the price of an instance."""
    boot_share: Annotated[float, Field(ge=0.0, le=1.0)]
    """The time in which one is launched, as a share of the boot time."""
    max: Annotated[int, Field(ge=0, le=10_000_000)]
    """So many at once, and no more."""


class CarriesConfig(Strict):
    """Weddings that stay on the instance that they are on, as far as the platform can tell.

    Read by the twin; in the world the infrastructure's adapter tells.
    """

    phase: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "ceremony"
    """The phase of a wedding in which it must not be cut off from its instance."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the weddings that the service carries."""
    drains: Literal["wait", "at_once"] = "wait"
    """`wait`: what leaves drains until its ceremonies are over, within `engine.vow_lock.limit_s`;
    `at_once`: as it does without any."""


class ServiceConfig(Strict):
    """One service of the platform; see `engine.model.ServiceSpec`."""

    slots: Annotated[int, Field(ge=1, le=100_000)]
    """Requests that an instance serves at one time."""
    service_s: Annotated[float, Field(gt=0.0, le=600.0)]
    """Mean time that a request holds a slot, seconds, without waiting for calls."""
    service_scv: Annotated[float, Field(ge=0.01, le=100.0)]
    """Squared coefficient of variation of that time: 1 as an exponential distribution has."""
    boot: BootConfig
    price_per_hour: Annotated[float, Field(ge=0.0, le=1e6)]
    """Of an instance, USD."""
    slo_p95_s: Annotated[float, Field(gt=0.0, le=3600.0)]
    """95 % of the answers take at most this, seconds."""
    warmup_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0
    """From the boot's end until an instance serves."""
    min_instances: Annotated[int, Field(ge=0, le=10_000_000)]
    """0: it may sleep, and is woken by what waits for it."""
    max_instances: Annotated[int, Field(ge=1, le=10_000_000)]
    """Never more than these."""
    stateful: bool = False
    """Whether instances hold state: plans then name its maximum as a limit of its own."""
    user_facing: bool = True
    """Whether users wait for its answers."""
    calls: dict[str, CallConfig] = Field(default_factory=dict)
    thresholds: ThresholdsConfig = Field(default_factory=ThresholdsConfig)
    client: ClientConfig = Field(default_factory=ClientConfig)
    carries: CarriesConfig | None = None
    """Null: nobody can tell which weddings an instance carries."""
    monitor: ServiceMonitorSettings = ServiceMonitorSettings()
    """Levels of its figures that are usual for it and would be alarms elsewhere."""
    warm: WarmConfig | None = None
    """What can be held warm of it; null: the platform offers none."""

    @model_validator(mode="after")
    def _ordered(self) -> ServiceConfig:
        if self.min_instances > self.max_instances:
            raise ValueError(
                f"min_instances {self.min_instances} is above max_instances {self.max_instances}"
            )
        return self

    def spec(self, name: str) -> ServiceSpec:
        """The service as the engine knows it."""
        return ServiceSpec(
            name=name,
            min_instances=self.min_instances,
            max_instances=self.max_instances,
            slots=self.slots,
            service_s=self.service_s,
            service_scv=self.service_scv,
            boot=BootTime(self.boot.median_s, self.boot.p95_s),
            warmup_s=self.warmup_s,
            slo_p95_s=self.slo_p95_s,
            price_per_hour=self.price_per_hour,
            thresholds=Thresholds(**self.thresholds.model_dump()),
            calls=tuple(
                Call(callee, call.per_request, call.asynchronous)
                for callee, call in self.calls.items()
            ),
            stateful=self.stateful,
            user_facing=self.user_facing,
            warm=None
            if self.warm is None
            else WarmOffer(self.warm.price_share, self.warm.boot_share, self.warm.max),
        )


class PlatformConfig(Strict):
    """The platform: zones and services."""

    name: str = Field(min_length=1, max_length=100)
    """What records call it."""
    zones: Annotated[list[str], Field(min_length=1, max_length=16)]
    """Names of the zones that instances are spread over."""
    services: Annotated[dict[str, ServiceConfig], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _calls_known(self) -> PlatformConfig:
        call_order(self.specs())
        return self

    def specs(self) -> tuple[ServiceSpec, ...]:
        """The services as the engine knows them, in the order of the file."""
        return tuple(service.spec(name) for name, service in self.services.items())

    def monitored(self, settings: MonitorSettings) -> MonitorSettings:
        """`settings` with the levels that the platform's services have of their own."""
        return settings.beside({name: own.monitor for name, own in self.services.items()})
