"""What `python -m twin staging` can be told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from engine.config.platform import PlatformConfig
from engine.config.strict import Strict
from engine.record.schema.thresholds import ThresholdConfig

if TYPE_CHECKING:
    from twin.staging.stack import StackOptions

Port = Annotated[int, Field(ge=0, le=65535)]


class DemoConfig(Strict):
    """What `demo` plays."""

    scenario: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "june_peak"
    scale: Annotated[float, Field(gt=0.0, le=1.0)] = 0.001
    speed: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    start: Annotated[str, Field(pattern=r"^[\w:+.-]+$")] = "peak-16200"
    duration_s: Annotated[float, Field(ge=60.0, le=86_400.0)] = 18_000.0
    lead_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 45.0
    thresholds: tuple[str, ...] = ()
    engine_thresholds: dict[Annotated[str, Field(pattern=r"^\w+$")], ThresholdConfig] = Field(
        default_factory=dict
    )
    output: Annotated[str, Field(min_length=1)] = "outputs"


class RemoteWriteConfig(Strict):
    """Where the stack's Prometheus sends what it sees."""

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    """Such as http://127.0.0.1:8700/api/v1/write."""
    credentials_file: Annotated[str, Field(min_length=1)]
    """With a token of a collector in it."""


class StagingConfig(Strict):
    """What `staging` can be told."""

    folder: Annotated[str, Field(min_length=1)]
    platform: PlatformConfig
    port: Port = 0
    prometheus_port: Port = 0
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 1
    weddings: Annotated[int, Field(ge=1, le=100_000)] = 1000
    keep_logs: bool = False
    remote_write: RemoteWriteConfig | None = None
    demo: DemoConfig = Field(default_factory=DemoConfig)

    @field_validator("folder")
    @classmethod
    def _absolute(cls, folder: str) -> str:
        return str(Path(folder).expanduser().absolute())

    def wish(self) -> StackOptions:
        """The stack that this asks for."""
        from twin.staging.layout import StagedService
        from twin.staging.stack import StackOptions

        services = {
            name: StagedService(
                service.spec(name), service.client.queue_limit_per_slot, service.client.timeout_s
            )
            for name, service in self.platform.services.items()
        }
        return StackOptions(
            folder=Path(self.folder),
            services=services,
            zones=tuple(self.platform.zones),
            seed=self.seed,
            weddings=self.weddings,
            port=self.port,
            prometheus_port=self.prometheus_port,
            remote_write=None if self.remote_write is None else self.remote_write.model_dump(),
        )
