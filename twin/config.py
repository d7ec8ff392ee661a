"""The border: a run's configuration, parsed once into validated types.

Hydra composes plain data; here it becomes a `RunConfig` or a `ConfigError` that names each wrong
key, what is wrong with it and what is allowed.  Inside the twin there are no untyped dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine import EngineSettings
from engine.config.complaints import close, lines
from engine.controllers.registry import ControllerConfig
from engine.decide.callgraph import call_order
from engine.model import BootTime, Call, Direction, ServiceSpec, Thresholds
from engine.record.figures import ThresholdConfig
from scenarios.faults.kinds import At, CapacityShortage, Fault, FlashCrowd
from scenarios.traces.replay import TraceConfig
from scenarios.weddings.config import DemandConfig, PopulationConfig
from twin.queues.port import ClientBehaviour
from twin.world.cloud import InfrastructureConfig
from twin.world.telemetry import TelemetryConfig


class ConfigError(ValueError):
    """The configuration is wrong; the message names the keys."""


class Strict(BaseModel):
    """Frozen, closed to unknown keys, without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Positive = Annotated[float, Field(gt=0.0, le=1e9)]
Count = Annotated[int, Field(ge=0, le=10_000_000)]


class ScenarioConfig(Strict):
    """What a scenario says of itself."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    description: str = ""


class BootConfig(Strict):
    """Log-normal boot time."""

    median_s: Annotated[float, Field(gt=0.0, le=86_400.0)]
    p95_s: Annotated[float, Field(gt=0.0, le=86_400.0)]

    @model_validator(mode="after")
    def _ordered(self) -> BootConfig:
        if self.p95_s < self.median_s:
            raise ValueError(f"p95_s {self.p95_s:g} is below median_s {self.median_s:g}")
        return self


class CallConfig(Strict):
    """Requests to another service that each request makes."""

    per_request: Annotated[float, Field(ge=0.0, le=1000.0)]
    asynchronous: bool = False


class ThresholdsConfig(Strict):
    """Reactive limits of a service; see `engine.model.Thresholds`."""

    cpu_up: Annotated[float, Field(gt=0.0, le=1.0)] = 0.80
    cpu_down: Annotated[float, Field(ge=0.0, le=1.0)] = 0.50
    memory_up: Annotated[float, Field(gt=0.0, le=1.0)] = 0.85
    memory_down: Annotated[float, Field(ge=0.0, le=1.0)] = 0.80
    request_rate_up: Annotated[float, Field(gt=0.0, le=2.0)] = 0.95
    response_time_up: Annotated[float, Field(gt=0.0, le=10.0)] = 0.80
    queue_depth_up: Annotated[float, Field(gt=0.0, le=1000.0)] = 0.50

    @model_validator(mode="after")
    def _ordered(self) -> ThresholdsConfig:
        for name in ("cpu", "memory"):
            down, up = getattr(self, f"{name}_down"), getattr(self, f"{name}_up")
            if down > up:
                raise ValueError(f"{name}_down {down:g} is above {name}_up {up:g}")
        return self


class ClientConfig(Strict):
    """How clients of a service wait and try again; see `twin.queues.port.ClientBehaviour`."""

    timeout_s: Annotated[float, Field(ge=1.0, le=600.0)] = 10.0
    max_retries: Annotated[int, Field(ge=0, le=8)] = 2
    retry_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8
    backoff_s: Annotated[float, Field(ge=0.0, le=60.0)] = 1.0
    queue_limit_per_slot: Annotated[float, Field(ge=0.0, le=1e9)] = 50.0

    def behaviour(self) -> ClientBehaviour:
        """The same as the platform takes it."""
        return ClientBehaviour(**self.model_dump())


class ServiceConfig(Strict):
    """One service of the platform; see `engine.model.ServiceSpec`."""

    slots: Annotated[int, Field(ge=1, le=100_000)]
    service_s: Annotated[float, Field(gt=0.0, le=600.0)]
    service_scv: Annotated[float, Field(ge=0.01, le=100.0)]
    boot: BootConfig
    price_per_hour: Annotated[float, Field(ge=0.0, le=1e6)]
    slo_p95_s: Annotated[float, Field(gt=0.0, le=3600.0)]
    warmup_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 0.0
    min_instances: Annotated[int, Field(ge=1, le=10_000_000)]
    max_instances: Annotated[int, Field(ge=1, le=10_000_000)]
    stateful: bool = False
    user_facing: bool = True
    calls: dict[str, CallConfig] = {}
    thresholds: ThresholdsConfig = ThresholdsConfig()
    client: ClientConfig = ClientConfig()

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
        )


class PlatformConfig(Strict):
    """The platform: zones and services."""

    name: str = Field(min_length=1, max_length=100)
    zones: Annotated[list[str], Field(min_length=1, max_length=16)]
    services: Annotated[dict[str, ServiceConfig], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _calls_known(self) -> PlatformConfig:
        call_order(self.specs())
        return self

    def specs(self) -> tuple[ServiceSpec, ...]:
        """The services as the engine knows them, in the order of the file."""
        return tuple(service.spec(name) for name, service in self.services.items())


class FloorConfig(Strict):
    """A manual floor, in seconds from the start of the window."""

    service: str
    instances: Count
    at_s: Annotated[float, Field(ge=0.0)] = 0.0
    expires_s: Annotated[float, Field(ge=0.0)]


class PauseConfig(Strict):
    """A pause, in seconds from the start of the window; `service` empty: all."""

    service: str = ""
    direction: Direction = Direction.ALL
    pinned: Count | None = None
    at_s: Annotated[float, Field(ge=0.0)] = 0.0
    expires_s: Annotated[float, Field(ge=0.0)] = 1e9


Approval = Literal["automatic", "never"] | Annotated[float, Field(ge=0.0, le=86_400.0)]
"""Who answers an action that needs approval: at once, nobody, or somebody after so many seconds."""


class OperatorConfig(Strict):
    """Standing requests of people while the run lasts."""

    floors: list[FloorConfig] = []
    pauses: list[PauseConfig] = []


class BudgetConfig(Strict):
    """Ceilings over all services; null: none."""

    usd_per_hour: Annotated[float, Field(ge=0.0)] | None = None
    instances: Count | None = None


class RequestConfig(Strict):
    """What `resolution=hybrid` follows request by request; `at` null: the whole run."""

    at: At | None = None
    duration_s: Annotated[float, Field(gt=0.0, le=604_800.0)] = 3600.0
    cells: Annotated[int, Field(ge=1, le=4096)] = 1
    simulated: Annotated[int, Field(ge=1, le=4096)] = 1
    warmup_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 120.0


class SweepConfig(Strict):
    """A sweep: its folder's name, and what tuning goes by."""

    name: str = Field(default="sweep", min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    scenarios: tuple[str, ...] = ()
    slo: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.0005


class RunConfig(Strict):
    """Everything that a run is made of."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    resolution: Literal["fluid", "request", "hybrid"]
    request: RequestConfig = RequestConfig()
    replications: Annotated[int, Field(ge=1, le=10_000)] = 1
    output: str = Field(min_length=1)
    sweep: SweepConfig = SweepConfig()
    scenario: ScenarioConfig
    population: PopulationConfig
    demand: DemandConfig
    trace: TraceConfig | None = None
    """A recorded trace that takes the place of the population's demand."""
    platform: PlatformConfig
    engine: EngineSettings
    controller: ControllerConfig
    telemetry: TelemetryConfig
    infrastructure: InfrastructureConfig
    faults: dict[str, Fault] = {}
    thresholds: dict[str, ThresholdConfig] = {}
    approval: Approval = "automatic"
    operator: OperatorConfig = OperatorConfig()
    budget: BudgetConfig = BudgetConfig()

    @property
    def duration_s(self) -> int:
        """Length of the simulated window, seconds."""
        return self.population.duration_s if self.trace is None else self.trace.duration_s

    @property
    def entered(self) -> tuple[str, ...]:
        """Services at which users enter."""
        return self.demand.services if self.trace is None else self.trace.services

    def small(self) -> RunConfig:
        """The same without faults and for a quarter of an hour, with a handful of weddings."""
        few = self.population.model_copy(update={"simultaneous": 10, "duration_s": 900})
        short = None if self.trace is None else self.trace.model_copy(update={"duration_s": 900})
        plain: dict[str, Any] = {
            "population": few,
            "trace": short,
            "faults": {},
            "request": RequestConfig(),
        }
        return self.model_copy(update=plain)

    @model_validator(mode="after")
    def _names_known(self) -> RunConfig:
        services = list(self.platform.services)
        if self.request.simulated > self.request.cells:
            raise ValueError(
                f"request.simulated: {self.request.simulated} is not allowed "
                f"(1 … request.cells = {self.request.cells})"
            )
        if self.resolution != "hybrid" and self.request != RequestConfig():
            raise ValueError(
                f"request.cells: nothing under request counts with resolution={self.resolution}; "
                "ask for resolution=hybrid"
            )
        for name, fault in self.faults.items():
            named = [getattr(fault, "service", None), *getattr(fault, "services", ())]
            for service in named:
                if service is not None:
                    _known(service, services, f"faults.{name}.service")
            last = len(self.platform.zones) - 1
            for key in ("zone", "zones"):
                zones = getattr(fault, key, ())
                for zone in zones if isinstance(zones, tuple) else (zones,):
                    if zone > last:
                        raise ValueError(f"faults.{name}.{key}: {zone} is not allowed (0 … {last})")
            if isinstance(fault, CapacityShortage) and fault.zones and fault.granted > 0.0:
                raise ValueError(
                    f"faults.{name}.granted: {fault.granted:g} is not allowed with zones (0)"
                )
            if isinstance(fault, FlashCrowd):
                _known(fault.service, self.entered, f"faults.{name}.service")
        for service in self.entered:
            _known(service, services, "demand.rates" if self.trace is None else "trace.mix")
        for service in self.engine.fallback_by_service:
            _known(service, services, "engine.fallback_by_service")
        for floor in self.operator.floors:
            _known(floor.service, services, "operator.floors.service")
        for pause in self.operator.pauses:
            if pause.service:
                _known(pause.service, services, "operator.pauses.service")
        if self.duration_s % self.telemetry.interval_s:
            key = "population" if self.trace is None else "trace"
            raise ValueError(
                f"telemetry.interval_s: {self.telemetry.interval_s} does not divide "
                f"{key}.duration_s {self.duration_s}"
            )
        if self.engine.sample_s != self.telemetry.interval_s:
            raise ValueError(
                f"engine.sample_s: {self.engine.sample_s:g} has to equal "
                f"telemetry.interval_s {self.telemetry.interval_s}"
            )
        return self


Kind = TypeVar("Kind", bound=RunConfig)


def parse(raw: Mapping[str, Any]) -> RunConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    return parse_as(RunConfig, raw)


def parse_as(kind: type[Kind], raw: Mapping[str, Any]) -> Kind:
    """The same for what is more than a run's configuration."""
    try:
        return kind.model_validate(_named_faults(raw))
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, kind))) from None


def _named_faults(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A fault's key in the mapping is its name, unless it gives one itself."""
    config = dict(raw)
    faults = config.get("faults")
    if isinstance(faults, Mapping):
        config["faults"] = {
            name: {"name": name, **fault} if isinstance(fault, Mapping) else fault
            for name, fault in faults.items()
        }
    return config


def _known(name: str, allowed: Sequence[str], path: str) -> None:
    if name not in allowed:
        raise ValueError(
            f'{path}: "{name}" is not allowed ({", ".join(allowed)}){close(name, allowed)}'
        )
