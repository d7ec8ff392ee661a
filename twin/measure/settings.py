"""What `calibrate` and `validate` can be told, parsed at the border."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from engine.config import assignments
from engine.config.composition import composed
from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError, Strict, validated

if TYPE_CHECKING:
    from twin.staging.layout import StagedService
    from twin.staging.stack import StackOptions

Share = Annotated[float, Field(gt=0.0, le=2.0)]
Seconds = Annotated[int, Field(ge=2, le=3600)]
Few = Annotated[int, Field(ge=1, le=64)]


class KneeConfig(Strict):
    """How the knee is looked for."""

    shares: Annotated[list[Share], Field(min_length=2, max_length=20)]
    seconds: Seconds

    @field_validator("shares")
    @classmethod
    def _rising(cls, shares: list[float]) -> list[float]:
        if sorted(set(shares)) != shares:
            raise ValueError("has to rise")
        return shares


class ClosedConfig(Strict):
    """The closed loop: the engine in both worlds."""

    seconds: Annotated[int, Field(ge=0, le=7200)]
    repeats: Annotated[int, Field(ge=2, le=20)]
    scenario: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    from_: Annotated[str, Field(alias="from")]
    speed: Annotated[int, Field(ge=1, le=3600)]
    scale: Annotated[float, Field(gt=0.0, le=1000.0)]

    @field_validator("seconds")
    @classmethod
    def _whole_samples(cls, seconds: int) -> int:
        if seconds % 5:
            raise ValueError(f"{seconds} is no multiple of 5, the time between samples")
        return seconds


class ValidationConfig(Strict):
    """What is measured to be compared, and how often."""

    calibration: str = ""
    levels: Annotated[list[Share], Field(max_length=20)]
    seconds: Seconds
    repeats: Annotated[int, Field(ge=2, le=50)]
    events: list[Literal["step", "flash_crowd", "instance_kill"]]
    event_seconds: Annotated[int, Field(ge=30, le=3600)]
    replications: Annotated[int, Field(ge=2, le=1000)]
    closed: ClosedConfig


class MeasureConfig(Strict):
    """One measurement of a live stack."""

    platform: PlatformConfig
    folder: Annotated[str, Field(min_length=1)]
    output: Annotated[str, Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    counts: dict[str, Few]
    mix: Annotated[dict[str, Annotated[float, Field(gt=0.0, le=1e6)]], Field(min_length=1)]
    levels: Annotated[list[Share], Field(min_length=1, max_length=20)]
    seconds: Seconds
    warmup_s: Annotated[int, Field(ge=0, le=600)]
    knee: KneeConfig
    boots: Annotated[int, Field(ge=3, le=200)]
    validation: ValidationConfig

    @model_validator(mode="after")
    def _services_exist(self) -> MeasureConfig:
        services = self.platform.services
        for key, names in (("counts", self.counts), ("mix", self.mix)):
            for name in names:
                if name not in services:
                    raise ValueError(f"{key}.{name}: the platform has only {', '.join(services)}")
        for name, service in services.items():
            if name not in self.counts:
                raise ValueError(f"counts.{name} is missing")
            if not service.min_instances <= self.counts[name] <= service.max_instances:
                raise ValueError(
                    f"counts.{name}: {self.counts[name]} is not allowed "
                    f"({service.min_instances} … {service.max_instances})"
                )
        if not self.validation.levels and not self.validation.events:
            raise ValueError(
                "validation.levels and validation.events are empty: there is nothing to compare"
            )
        return self

    def services(self) -> dict[str, StagedService]:
        """The services as the stack takes them."""
        from twin.staging.layout import StagedService

        return {
            name: StagedService(
                service.spec(name), service.client.queue_limit_per_slot, service.client.timeout_s
            )
            for name, service in self.platform.services.items()
        }

    def wish(self) -> StackOptions:
        """The stack to measure."""
        from twin.staging.stack import StackOptions

        return StackOptions(
            folder=Path(self.folder).expanduser().absolute(),
            services=self.services(),
            zones=tuple(self.platform.zones),
            seed=self.seed,
        )


def read(arguments: Sequence[str]) -> MeasureConfig:
    """The configuration of a command line; raises ConfigError naming what is wrong."""
    raw = composed(assignments.read(arguments).overrides, root="calibration")
    config = validated(MeasureConfig, raw)
    given = config.validation.calibration
    if given and not (Path(given) / "calibration.json").is_file():
        raise ConfigError(f"validation.calibration: {given}: there is no calibration.json in it")
    return config
