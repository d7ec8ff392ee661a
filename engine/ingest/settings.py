"""What is received or scraped, which figures are made of it, and how long it is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from engine.config.strict import Strict
from engine.model import SAMPLE_FIELDS
from engine.security.addresses import complaint

FIGURES = SAMPLE_FIELDS[1:]
TOTALS = ("p50_s", "p95_s", "p99_s", "requests", "served", "failed", "shed", "timed_out", "slow")

Name = Annotated[str, Field(min_length=1, max_length=1_024)]
Take = Literal["rate", "sum", "average", "largest", "quantile"]


class SelectionConfig(Strict):
    """Series of one metric, and what is made of them for a service."""

    metric: Name
    where: dict[str, str] = Field(default_factory=dict)
    """Label -> what it has to be: `api`, `!=api`, `=~a.*`, `!~a.*`, as in PromQL."""
    take: Take = "sum"
    """rate: growth of counters per second, summed; quantile: of a histogram's growth."""
    quantile: Annotated[float, Field(ge=0.0, le=1.0)] | None = None

    @field_validator("where")
    @classmethod
    def _readable(cls, given: dict[str, str]) -> dict[str, str]:
        for label, wanted in given.items():
            try:
                re.compile(wanted[2:] if wanted[:2] in ("=~", "!~") else "")
            except re.error as error:
                raise ValueError(f"{label}: {wanted} is no regular expression ({error})") from None
        return given

    @model_validator(mode="after")
    def _quantile_where_it_is_taken(self) -> SelectionConfig:
        if (self.take == "quantile") != (self.quantile is not None):
            raise ValueError("quantile is for take: quantile, which needs one (0 … 1)")
        return self


class FigureRule(SelectionConfig):
    """A figure, perhaps divided by another selection."""

    over: SelectionConfig | None = None


class KeepConfig(Strict):
    """How the samples of the figures' series are kept on disk."""

    every_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = 60.0
    """A segment is written after so long, so that no more than this is lost in a crash."""
    fine_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 2.0
    """Of 5 s."""
    minutes_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 30.0
    """Of a minute."""
    hours_days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 400.0
    """Of an hour."""


class SamplesConfig(Strict):
    """What is common to receiving and scraping."""

    label: str = Field(default="service", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The label by which services are told apart."""
    instance: str = Field(default="instance", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The label by which the instances of a service are told apart."""
    names: dict[str, str] = Field(default_factory=dict)
    """The label's value, for services whose name it is not."""
    figures: dict[str, FigureRule]
    scraped: SelectionConfig | None = None
    """The share of a service's targets that answered: `up`, averaged."""
    totals: dict[str, FigureRule] = Field(default_factory=dict)
    """Figures of a whole run for its record, made of what the counters grew by."""
    first_served: SelectionConfig | None = None
    """When each instance served its first request (epoch seconds), a series an instance."""
    lookback_s: Annotated[float, Field(ge=1.0, le=3_600.0)] = 15.0
    """A sample stands for its series for so long."""
    late_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 7_200.0
    """Samples older than this are refused."""
    ahead_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
    """So are samples that are further in the future."""
    series: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    """Time series at one time; what is beyond is refused."""
    idle_s: Annotated[float, Field(ge=60.0, le=86_400.0)] = 1_200.0
    """A series that nothing came of for so long makes room for another."""
    ring_s: Annotated[float, Field(ge=60.0, le=86_400.0)] = 900.0
    """Samples of the last so many seconds are in memory as they came, …"""
    ring_samples: Annotated[int, Field(ge=1_000, le=1_000_000_000)] = 4_000_000
    """… but no more than so many, of 20 bytes each."""
    keep: KeepConfig | None = KeepConfig()
    """null: nothing is kept beyond the ring."""

    @field_validator("figures", "totals")
    @classmethod
    def _allowed_names(
        cls, given: dict[str, FigureRule], where: ValidationInfo
    ) -> dict[str, FigureRule]:
        totals = where.field_name == "totals"
        allowed = TOTALS if totals else FIGURES
        for name in given:
            if name not in allowed:
                raise ValueError(f'"{name}" is not allowed ({", ".join(allowed)})')
        if not given and not totals:
            raise ValueError(f"at least one of {', '.join(FIGURES)} is needed")
        return given

    @model_validator(mode="after")
    def _ring_within_idle(self) -> SamplesConfig:
        if self.idle_s < self.ring_s:
            raise ValueError(f"idle_s {self.idle_s:g} is below ring_s {self.ring_s:g}")
        if self.idle_s < 4.0 * self.lookback_s:
            raise ValueError(f"idle_s {self.idle_s:g} is below 4 × lookback_s {self.lookback_s:g}")
        return self


class ReceivedConfig(SamplesConfig):
    """Samples that are written to `/api/v1/write`."""

    body_mib: Annotated[float, Field(gt=0.0, le=256.0)] = 8.0
    """Of a request, compressed."""
    message_mib: Annotated[float, Field(gt=0.0, le=1024.0)] = 64.0
    """Of a request, decompressed."""
    at_once: Annotated[int, Field(ge=1, le=1_000)] = 8
    """Requests whose bodies are in memory at one time; others wait."""
    per_s: Annotated[float, Field(gt=0.0, le=1e6)] = 2_000.0
    """Requests a second of one sender in the long run, …"""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] = 4_000
    """… and so many at once after a pause."""


class TargetConfig(Strict):
    """Pages of metrics whose samples all get the same labels."""

    urls: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    labels: dict[str, str] = Field(default_factory=dict)

    @field_validator("urls")
    @classmethod
    def _of_http(cls, given: list[str]) -> list[str]:
        for url in given:
            if not re.fullmatch(r"https?://\S+", url):
                raise ValueError(f"{url} is not allowed (such as http://127.0.0.1:9100/metrics)")
            if why := complaint(url):
                raise ValueError(f"{url} is not allowed ({why})")
        return given


class ScrapedConfig(SamplesConfig):
    """Pages of metrics that the engine asks for by itself."""

    targets: list[TargetConfig] = Field(default_factory=list)
    targets_file: Path | None = None
    """YAML or JSON with such a list, read again when it has changed."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 4.0
    """For one page."""
    at_once: Annotated[int, Field(ge=1, le=1_000)] = 50
    page_mib: Annotated[float, Field(gt=0.0, le=256.0)] = 8.0
    """A larger page is refused."""
    page_samples: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """So is one of more samples."""

    @model_validator(mode="after")
    def _some_targets(self) -> ScrapedConfig:
        if not self.targets and self.targets_file is None:
            raise ValueError("targets or targets_file is needed")
        return self
