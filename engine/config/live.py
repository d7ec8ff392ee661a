"""The border of `python -m engine run`: its configuration, parsed once into validated types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine import EngineSettings
from engine.config.complaints import lines
from engine.config.platform import PlatformConfig
from engine.config.run import Approver, BudgetConfig, ScenarioConfig
from engine.config.strict import ConfigError, Strict
from engine.controllers.registry import ControllerConfig
from engine.record.schema.thresholds import ThresholdConfig
from engine.runtime.shell import LiveSettings
from scenarios.weddings.config import DemandConfig, PopulationConfig
from twin.config import RunConfig

TWIN_ONLY = set(RunConfig.model_fields)
"""Keys that a scenario may bring and that mean nothing live."""


class AdapterConfig(Strict):
    """What runs the instances; see `engine.ports.infrastructure.connect`."""

    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    options: dict[str, Any] = Field(default_factory=dict)


class MetricsConfig(BaseModel):
    """What measures; the adapter knows the other keys."""

    model_config = ConfigDict(frozen=True, extra="allow")

    factory: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")

    @property
    def options(self) -> dict[str, Any]:
        """All keys but `factory`."""
        return dict(self.model_extra or {})


class LiveRunSettings(LiveSettings):
    """How the shell runs, and the limits of its run."""

    thresholds: dict[str, ThresholdConfig] = Field(default_factory=dict)
    record_every_s: Annotated[float, Field(ge=5.0, le=1e9)] | None = 86_400.0
    """A record is closed after so long and the next begun; null: one for all of the run."""

    @property
    def shell(self) -> LiveSettings:
        """The shell's part."""
        return LiveSettings(**self.model_dump(exclude={"thresholds", "record_every_s"}))


class ScheduleConfig(Strict):
    """Which part of the scenario's day is when, how fast and how much of it."""

    starts_at: Annotated[float, Field(ge=0.0)] | None = None
    from_: float | str | None = Field(default=None, alias="from")
    speed: Annotated[float, Field(ge=1.0, le=3600.0)] = 1.0
    scale: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0

    @model_validator(mode="after")
    def _moved(self) -> ScheduleConfig:
        if self.from_ is None and (self.speed != 1.0 or self.starts_at is not None):
            raise ValueError(
                "schedule.from: is missing; with a speed or a time to start at, say what of the "
                "day begins then, such as schedule.from=peak-9000"
            )
        return self


class LiveConfig(Strict):
    """Everything that a live run is made of."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    output: str = Field(min_length=1)
    scenario: ScenarioConfig
    population: PopulationConfig
    demand: DemandConfig
    platform: PlatformConfig
    engine: EngineSettings
    controller: ControllerConfig
    infrastructure: AdapterConfig
    metrics: MetricsConfig
    live: LiveRunSettings
    schedule: ScheduleConfig
    approval: Approver = "automatic"
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="after")
    def _fits(self) -> LiveConfig:
        for told in ("foresight", "history"):
            if getattr(self.controller, told):
                raise ValueError(
                    f'controller: "{self.controller.name}" needs {told}, which only the twin has'
                )
        return self


def parse(raw: Mapping[str, Any]) -> LiveConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    if raw.get("trace") is not None:
        raise ConfigError(
            "scenario: it plays a recorded trace, which only the twin can; give one with weddings, "
            "such as scenario=june_peak"
        )
    known = set(LiveConfig.model_fields)
    config = {key: value for key, value in raw.items() if key in known or key not in TWIN_ONLY}
    infrastructure = config.get("infrastructure")
    if isinstance(infrastructure, Mapping) and "factory" not in infrastructure:
        raise ConfigError(
            "infrastructure.factory: is missing; the simulated one is the twin's alone, "
            "give one that is there, such as infrastructure=haproxy"
        )
    try:
        return LiveConfig.model_validate(config)
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, LiveConfig))) from None
