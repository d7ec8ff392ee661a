"""What `python -m twin serve` takes: a run's configuration and how it is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from engine.config.api import ApiConfig
from engine.config.composition import composed
from engine.config.live import AlertsConfig
from engine.config.security import SecurityConfig
from engine.config.strict import ConfigError
from engine.security import exposure
from scenarios.faults.kinds.engine_kill import EngineKill
from scenarios.faults.kinds.two_leaders import TwoLeaders
from scenarios.faults.times import At
from twin.config import RunConfig, check_files, parse_as

ROOT = "serve"


class ServeConfig(RunConfig):
    """A scenario that is served in wall time; the keys of `conf/serve.yaml`."""

    speed: Annotated[float, Field(gt=0.0, le=3600.0)]
    begin: At
    state: Annotated[str, Field(min_length=1)] | None
    api: ApiConfig
    security: SecurityConfig = SecurityConfig()
    alerts: AlertsConfig

    @model_validator(mode="after")
    def _one_engine(self) -> ServeConfig:
        if self.replications != 1:
            raise ValueError(f"replications: {self.replications} is not allowed (1)")
        self.alerts.check()
        for name, fault in self.faults.items():
            if isinstance(fault, EngineKill | TwoLeaders):
                raise ValueError(
                    f"faults.{name}: the live engine is not killed or replaced from within; "
                    f"leave it out (~faults.{name})"
                )
        return self


def read(arguments: Sequence[str]) -> tuple[ServeConfig, dict[str, Any]]:
    """The configuration, and the plain data that it was read from; raises ConfigError."""
    plain: Mapping[str, Any] = composed(list(arguments), root=ROOT)
    config = parse_as(ServeConfig, plain)
    try:
        exposure.check(config.api.address, tls=config.api.tls is not None, identity=True)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    check_files(config)
    return config, dict(plain)
