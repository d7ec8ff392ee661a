"""The border of `python -m engine import`: its configuration, parsed once into validated types."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, model_validator

from engine.adapters.kubernetes.settings import KubernetesConfig, Name
from engine.adapters.prometheus import HttpUrl
from engine.config.strict import Strict

LABEL = r"^[A-Za-z_][A-Za-z0-9_]*$"
FIGURES_OF_HISTORY = ("load", "response_s", "p95_s", "cores", "ready", "replicas")
DAY_S = 86_400
Workload = Annotated[str, Field(pattern=r"^(deployment|statefulset)/[^/]+$")]


def _a_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'"{name}" is not an IANA time zone (such as Europe/Rome)') from None
    return name


class ClusterConfig(Strict):
    """How the cluster is reached; see `engine.adapters.kubernetes.settings`."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: Name | None = None
    timeout_s: Annotated[float, Field(gt=0.0, le=30.0)] = 10.0

    def adapter(self) -> KubernetesConfig:
        """The same for the adapter."""
        return KubernetesConfig.model_validate(self.model_dump())


class HistoryMetricsConfig(Strict):
    """Where the history is asked for."""

    url: HttpUrl | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    parameters: dict[str, SecretStr] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 60.0
    ca: Path | None = None
    certificate: Path | None = None


class HistoryConfig(Strict):
    """What is asked: an expression for each figure; see conf/history/http.yaml."""

    queries: dict[str, str]
    boots: str | None = None
    calls: str | None = None
    source: Annotated[str, Field(pattern=LABEL)] = "source_workload"
    destination: Annotated[str, Field(pattern=LABEL)] = "destination_workload"

    @model_validator(mode="after")
    def _allowed(self) -> HistoryConfig:
        for name, query in self.queries.items():
            if name not in FIGURES_OF_HISTORY:
                allowed = ", ".join(FIGURES_OF_HISTORY)
                raise ValueError(f'queries: "{name}" is not allowed ({allowed})')
            if not query.strip():
                raise ValueError(f"queries.{name} is empty; leave it out: ~history.queries.{name}")
        if "load" not in self.queries:
            raise ValueError(
                "queries.load: is missing; without the load there is nothing to replay"
            )
        return self


class ImportConfig(Strict):
    """Everything that an import is made of."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w-]{0,60}$")] | None = None
    out: Path
    overwrite: bool = False
    cluster: ClusterConfig = ClusterConfig()
    workloads: dict[str, Annotated[str, Field(pattern=r"^(deployment|statefulset)/[^/]+$")]] = (
        Field(default_factory=dict)
    )
    prices: Path | None = None
    services: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metrics: HistoryMetricsConfig = HistoryMetricsConfig()
    history: HistoryConfig
    days: Annotated[int, Field(ge=2, le=366)] = 28
    check_days: Annotated[int, Field(ge=1, le=60)] = 7
    until: dt.datetime | None = None
    step_s: Annotated[int, Field(ge=15, le=3600)] = 300
    time_zone: Annotated[str, AfterValidator(_a_zone)] = "UTC"

    @model_validator(mode="after")
    def _fits(self) -> ImportConfig:
        if self.check_days >= self.days:
            raise ValueError(
                f"check_days: {self.check_days} leaves nothing of days={self.days} to fit"
            )
        if DAY_S % self.step_s:
            raise ValueError(f"step_s: {self.step_s} does not divide a day")
        if self.until is not None and self.until.tzinfo is None:
            raise ValueError("until: give an offset, such as 2026-05-01T00:00:00+02:00")
        return self
