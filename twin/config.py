"""The border: a run's configuration, parsed once into validated types.

Hydra composes plain data; here it becomes a `RunConfig` or a `ConfigError` that names each wrong
key, what is wrong with it and what is allowed.  Inside the twin there are no untyped dictionaries.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from engine.config.complaints import check_name
from engine.config.platform import PlatformConfig
from engine.config.recurrence import Recurrence
from engine.config.run import Approver, BudgetConfig, Count, ScenarioConfig, Seed
from engine.config.strict import ConfigError, Strict, validated
from engine.controllers.registry import ControllerConfig
from engine.model import Direction
from engine.monitoring.settings import MonitorSettings
from engine.record.schema.thresholds import ThresholdConfig
from engine.settings import EngineSettings
from scenarios.faults.registry import AnyFault
from scenarios.faults.times import At
from scenarios.traces.config import TraceConfig
from scenarios.weddings.config import DemandConfig, PopulationConfig


class InfrastructureConfig(Strict):
    """How the simulated cloud carries out what it is asked for."""

    accept_s: float = Field(default=2.0, ge=0.0, le=600.0, description="request to acceptance")
    drain_s: float = Field(default=30.0, ge=0.0, le=3600.0, description="drain, billed")
    replace_after_s: float = Field(
        default=30.0, ge=0.0, le=3600.0, description="until a lost instance is replaced"
    )


class TelemetryConfig(Strict):
    """How samples reach the controller."""

    interval_s: int = Field(default=5, ge=1, le=60, description="seconds between samples")
    lag_s: float = Field(default=3.0, ge=0.0, le=300.0, description="median delay of a sample")
    lag_sigma: float = Field(default=0.4, ge=0.0, le=2.0, description="log-sd of the delay")
    loss: float = Field(default=0.001, ge=0.0, le=1.0, description="share that never arrives")
    nan: float = Field(default=0.0005, ge=0.0, le=1.0, description="share with a figure missing")
    duplicate: float = Field(default=0.0005, ge=0.0, le=1.0, description="share arriving twice")
    instances: int = Field(
        default=0, ge=0, le=1000, description="instances of a service measured one by one"
    )


class FloorConfig(Strict):
    """A manual floor, in seconds from the start of the window; with a schedule when that says."""

    service: str
    """Whose floor it is."""
    instances: Count
    """Never fewer than these."""
    at_s: Annotated[float, Field(ge=0.0)] = 0.0
    """From when on, seconds into the run."""
    expires_s: Annotated[float, Field(ge=0.0)] = 1e9
    """Until when, seconds into the run."""
    schedule: Recurrence | None = None

    @model_validator(mode="after")
    def _ends(self) -> FloorConfig:
        if self.schedule is None and "expires_s" not in self.model_fields_set:
            raise ValueError("expires_s is missing (or give a schedule)")
        return self


class PauseConfig(Strict):
    """A pause, in seconds from the start of the window, with a schedule when that says.

    `service` empty: all.
    """

    service: str = ""
    """Which one pauses; empty: all."""
    direction: Direction = Direction.ALL
    """Steps that are not taken: `in`, `out` or `all`."""
    pinned: Count | None = None
    """The count that it is held at meanwhile; null: what is there."""
    at_s: Annotated[float, Field(ge=0.0)] = 0.0
    """From when on, seconds into the run."""
    expires_s: Annotated[float, Field(ge=0.0)] = 1e9
    """Until when, seconds into the run."""
    schedule: Recurrence | None = None


class ScaleConfig(Strict):
    """A count that a person asks for, in seconds from the start of the window."""

    service: str
    """Whose count it is."""
    instances: Count
    """The count that is asked for."""
    at_s: Annotated[float, Field(ge=0.0)] = 0.0
    """From when on, seconds into the run."""
    expires_s: Annotated[float, Field(ge=0.0)]
    """Until when, seconds into the run."""
    override: bool = False
    """Past steps, rests, budget and quota, upwards."""


class OperatorConfig(Strict):
    """Requests of people while the run lasts."""

    floors: list[FloorConfig] = Field(default_factory=list)
    pauses: list[PauseConfig] = Field(default_factory=list)
    scales: list[ScaleConfig] = Field(default_factory=list)


class RequestConfig(Strict):
    """What `resolution=hybrid` follows request by request; `at` null: the whole run."""

    at: At | None = None
    """When requests are followed one by one; null: the whole run."""
    duration_s: Annotated[float, Field(gt=0.0, le=604_800.0)] = 3600.0
    """For how long they are."""
    cells: Annotated[int, Field(ge=1, le=4096)] = 1
    """Equal slices into which users and slots are divided."""
    simulated: Annotated[int, Field(ge=1, le=4096)] = 1
    """So many of the slices are followed request by request."""
    warmup_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 120.0
    """Before that, so that the slices are as full as the fluid."""


class SweepConfig(Strict):
    """A sweep: its folder's name, and what tuning goes by."""

    name: str = Field(default="sweep", min_length=1, max_length=100, pattern=r"^[\w.-]+$")
    """Of the folder that a sweep writes."""
    scenarios: tuple[str, ...] = ()
    """Scenarios that tuning plays at each point; empty: the one of the run."""
    slo: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.0005
    """Violation ratio that tuning accepts; above it the cost counts as many times more."""


class RunConfig(Strict):
    """Everything that a run is made of."""

    seed: Seed
    """All of the run's randomness is drawn from it."""
    resolution: Literal["fluid", "request", "hybrid"]
    """Requests as a fluid, each by itself, or some slices of the platform each by itself."""
    request: RequestConfig = Field(default_factory=RequestConfig)
    replications: Annotated[int, Field(ge=1, le=10_000)] = 1
    """The run and so many less one with other seeds; intervals in the summary."""
    output: str = Field(min_length=1)
    """Folder below which records are written."""
    sweep: SweepConfig = Field(default_factory=SweepConfig)
    scenario: ScenarioConfig
    population: PopulationConfig
    demand: DemandConfig
    trace: TraceConfig | None = None
    """A recorded trace that takes the place of the population's demand."""
    platform: PlatformConfig
    engine: EngineSettings
    monitor: MonitorSettings = MonitorSettings()
    controller: ControllerConfig
    telemetry: TelemetryConfig
    infrastructure: InfrastructureConfig
    faults: dict[str, AnyFault] = Field(default_factory=dict)
    thresholds: dict[str, ThresholdConfig] = Field(default_factory=dict)
    approval: Approver = "automatic"
    """Who answers what needs approval: at once, nobody, or somebody after so many seconds."""
    operator: OperatorConfig = Field(default_factory=OperatorConfig)
    budget: BudgetConfig = Field(default_factory=BudgetConfig)

    @property
    def duration_s(self) -> int:
        """Length of the simulated window, seconds."""
        return self.population.duration_s if self.trace is None else self.trace.duration_s

    @property
    def entered(self) -> tuple[str, ...]:
        """Services at which users enter."""
        return self.demand.services if self.trace is None else self.trace.services

    def small(self) -> RunConfig:
        """The same without faults and for a quarter of an hour, with a handful of weddings.

        The window of a trace stays the whole one: another part of it may be idle, or not measured.
        """
        few = self.population.model_copy(update={"simultaneous": 10, "duration_s": 900})
        plain: dict[str, Any] = {
            "population": few,
            "faults": {},
            "request": RequestConfig(),
        }
        return self.model_copy(update=plain)

    @model_validator(mode="after")
    def _names_known(self) -> RunConfig:
        self._check_request()
        self._check_faults()
        self._check_services()
        self._check_times()
        return self

    def _check_request(self) -> None:
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

    def _check_faults(self) -> None:
        services, last = list(self.platform.services), len(self.platform.zones) - 1
        for name, fault in self.faults.items():
            named = [getattr(fault, "service", None), *getattr(fault, "services", ())]
            for service in named:
                if service is not None:
                    check_name(service, services, f"faults.{name}.service")
            for key in ("zone", "zones"):
                zones = getattr(fault, key, ())
                beyond = [z for z in (zones if isinstance(zones, tuple) else (zones,)) if z > last]
                if beyond:
                    raise ValueError(
                        f"faults.{name}.{key}: {beyond[0]} is not allowed (0 … {last})"
                    )
            try:
                fault.check(self.entered)
            except ValueError as error:
                raise ValueError(f"faults.{name}.{error}") from None

    def _check_services(self) -> None:
        services = list(self.platform.services)
        for service in self.entered:
            check_name(service, services, "demand.rates" if self.trace is None else "trace.mix")
        if self.trace is None:
            for name, config in self.platform.services.items():
                if config.carries is not None:
                    path = f"platform.services.{name}.carries.phase"
                    check_name(config.carries.phase, self.population.phase_names, path)
        self.engine.check(services)
        self.monitor.check(services)
        for floor in self.operator.floors:
            check_name(floor.service, services, "operator.floors.service")
        for scale in self.operator.scales:
            check_name(scale.service, services, "operator.scales.service")
        for pause in self.operator.pauses:
            if pause.service:
                check_name(pause.service, services, "operator.pauses.service")

    def _check_times(self) -> None:
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


Kind = TypeVar("Kind", bound=RunConfig)


def check_files(config: RunConfig) -> None:
    """Raise ConfigError for a file of the trace that is not there, before it is waited for."""
    trace = config.trace
    if trace is None:
        return
    named = {"trace.path": trace.file}
    if trace.calendar is not None:
        named["trace.calendar"] = Path(trace.calendar)
    for key, file in named.items():
        if not file.exists():
            raise ConfigError(f"{key}: {file}: {os.strerror(errno.ENOENT)}")


def parse(raw: Mapping[str, Any]) -> RunConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    return parse_as(RunConfig, raw)


def parse_as(kind: type[Kind], raw: Mapping[str, Any]) -> Kind:
    """The same for what is more than a run's configuration."""
    return validated(kind, _named_faults(raw))


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
