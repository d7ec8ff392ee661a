"""Read a run record, the folder of files that a simulated or a live run leaves behind.

The report knows a run from these files alone, so it serves every world that can write them and can
be made again years later.  What comes from a file is checked once, here: behind `load` all columns
exist and are numeric, all figures of the summary are numbers or None.  Unknown keys and columns are
ignored, so that an older report reads a newer record as long as its schema number is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reports.load.content import Load, LoadError
from reports.load.content import read as read_load

TIMELINE_COLUMNS = (
    "time_s", "demand_rate", "arrival_rate", "served", "failed", "shed", "timed_out", "slow",
    "queued", "in_flight", "cpu", "memory", "p50_s", "p95_s", "p99_s", "desired", "ready",
    "booting", "draining", "needed", "forecast_q10", "forecast_q50", "forecast_q90",
    "wedding_floor", "cost_per_hour",
)  # fmt: skip
DECISION_TEXTS = (
    "kind", "decision_id", "service", "reason", "category", "outcome", "why", "explanation",
)  # fmt: skip
DECISION_COLUMNS = (
    "time_s", "from_instances", "to_instances", "confidence", "cost_per_hour", "trigger_s",
    "accepted_s", "completed_s", "weddings", "major_weddings",
)  # fmt: skip
REPLICATION_COLUMNS = ("slo.violation_ratio", "cost.total_usd")
WEDDING_COLUMNS = ("time_s", "in_progress")
PRESCALING_COLUMNS = ("at_s", "events", "waited_for", "need", "ready", "price_per_hour")


class RecordError(ValueError):
    """A run record that cannot be read; the message names the file and the field."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Percentiles(_Part):
    """A distribution in four figures, in seconds; None for each where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class EmergencyPercentiles(Percentiles):
    """The same for the `count` emergencies of a run."""

    count: int


class Noun(_Part):
    """What one event is called, and several."""

    one: str = "wedding"
    many: str = "weddings"


class Weddings(_Part):
    """How many events there were (`Summary.noun`); `peak_at` is an ISO time (UTC)."""

    total: int | None
    peak_simultaneous: int
    peak_at: str


class Requests(_Part):
    """User-facing requests by what became of them; None where nobody counted."""

    total: float
    peak_rate_per_s: float
    served: float | None
    failed: float | None
    shed: float | None
    timed_out: float | None


class Slo(_Part):
    """What users noticed: shares of user-facing requests, 0-1."""

    violation_ratio: float | None
    violation_minutes: float | None
    availability: float | None


class Service(_Part):
    """One service over the whole run; shares are 0-1."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    slo_p95_s: float
    cpu_mean: float | None
    cpu_max: float | None
    instances_max: int
    instance_hours: float
    cost_usd: float
    violation_ratio: float | None
    under_provisioned_share: float | None
    over_provisioned_share: float | None
    unverified_share: float = 0.0


class Cost(_Part):
    """USD for the instances of the whole run."""

    total_usd: float
    per_wedding_usd: float | None


class Decision(_Part):
    """How often and how fast the controller decided; durations in seconds."""

    cycles: int
    actions: int
    by_reason: dict[str, int]
    compute_s: Percentiles
    trigger_to_execution_s: Percentiles
    emergency_s: EmergencyPercentiles
    stages: Stages | None = None


class Served(Percentiles):
    """The same for the `count` actions after which a new instance served a request."""

    count: int


class Stages(_Part):
    """Where the time of an action went, in a live run."""

    sample_to_decision_s: Percentiles
    decision_to_accepted_s: Percentiles
    accepted_to_served_s: Served


class Prediction(_Part):
    """Accuracy at one horizon: WAPE, coverage of the 80 % interval, relative pinball loss."""

    wape: float | None
    coverage_80: float | None
    pinball: float | None


class PrescaledService(_Part):
    """How ready one service was when major events began; shares of the events, 0-1."""

    ready_share: float | None
    lead_ready_share: float | None
    worst_ready_ratio: float | None
    excess_share: float | None


class Prescaling(PrescaledService):
    """The same for all services that users wait for together, `excess_share` for all services."""

    lead_s: float
    events: int
    groups: int
    services: dict[str, PrescaledService]


class Forecaster(_Part):
    """What the engine forecast with; `refused` says why a model that was asked for is not used."""

    kind: str = "schedule"
    artefact: str | None = None
    refused: str = ""


class Conservation(_Part):
    """Whether all requests were accounted for."""

    checked: bool
    worst_relative_error: float | None


class Fired(_Part):
    """How often a fault really did something."""

    kind: str
    fired: int


class Threshold(_Part):
    """One limit of the run, and whether it was kept."""

    name: str
    metric: str
    operator: str
    limit: float
    value: float | None
    passed: bool


class Simulation(_Part):
    """What the run itself took."""

    wall_s: float | None
    simulated_s: float | None
    speedup: float | None
    peak_rss_mib: float | None


class Live(_Part):
    """How the engine itself fared in a live run; `troubles` counts them by source."""

    restarts: int
    sample_age_s: Percentiles
    troubles: dict[str, int]


class Interval(_Part):
    """A figure over the replications; `low` and `high` bound its mean, None with a single one."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    min: float
    max: float


class Replications(_Part):
    """Headline figures over replications with different seeds, nested as in the summary."""

    count: int
    confidence: float
    slo: dict[str, Interval]
    cost: dict[str, Interval]
    requests: dict[str, Interval]
    services: dict[str, dict[str, Interval]]


class Summary(_Part):
    """`summary.json`, schema 1."""

    schema_version: Literal[1] = Field(alias="schema")
    scenario: str
    description: str = ""
    noun: Noun = Noun()
    controller: str
    foresight: bool = False
    seed: int
    resolution: str
    world: str
    started_at: str
    partial: bool
    versions: dict[str, str]
    command: str
    weddings: Weddings
    requests: Requests
    slo: Slo
    services: dict[str, Service]
    cost: Cost
    decision: Decision
    prediction: dict[str, Prediction]
    forecaster: Forecaster = Forecaster()
    prescaling: Prescaling | None = None
    faults: dict[str, Fired] = Field(default_factory=dict)
    conservation: Conservation
    replications: Replications | None = None
    live: Live | None = None
    thresholds: tuple[Threshold, ...]
    simulation: Simulation


class Event(_Part):
    """Something that happened to the platform, at `time_s` epoch seconds."""

    time_s: float = Field(allow_inf_nan=False)
    kind: str
    name: str = ""
    service: str = ""
    what: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A run record in memory.

    `timeline` has one row for each sample and service, sorted by time within a service;
    `decisions` one for each recommendation and action, `weddings` one a minute, `replications` one
    for each replication, `prescaling` one for each group of major events and service (both none
    without any).  `config_text` is `config.yaml` as written, `config`
    the same as a mapping.  `load` is the load test whose results lie in the folder, if any.
    """

    folder: Path
    summary: Summary
    timeline: pd.DataFrame
    decisions: pd.DataFrame
    weddings: pd.DataFrame
    prescaling: pd.DataFrame
    replications: pd.DataFrame
    events: tuple[Event, ...]
    config: dict[str, Any]
    config_text: str
    load: Load | None = None

    @property
    def services(self) -> tuple[str, ...]:
        """Names of the services in the order of the summary."""
        return tuple(self.summary.services)

    @property
    def actions(self) -> pd.DataFrame:
        """The rows of `decisions` that are actions."""
        return self.decisions[self.decisions["kind"] == "action"]

    @property
    def span_s(self) -> tuple[float, float]:
        """First and last time in the record (epoch seconds); (0, 0) when it has no sample."""
        times = [frame["time_s"] for frame in (self.timeline, self.weddings) if len(frame)]
        if not times:
            return (0.0, 0.0)
        return (min(float(t.min()) for t in times), max(float(t.max()) for t in times))

    def by_service(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Each service with its part of the timeline, in the order of `services`."""
        parts = dict(list(self.timeline.groupby("service", sort=False, observed=True)))
        for name in self.services:
            yield name, parts.get(name, self.timeline.iloc[:0])


def load(folder: Path) -> Record:
    """Read the record in `folder`; raises RecordError when a file or field is missing or wrong."""
    if not folder.is_dir():
        raise RecordError(f"{folder}: is not a folder; give the folder of a run record")
    summary = _summary(folder / "summary.json")
    config_text = _text(folder / "config.yaml")
    timeline = _table(folder / "timeline.parquet", TIMELINE_COLUMNS, ("service",))
    unknown = sorted(set(timeline["service"].unique()) - set(summary.services))
    if unknown:
        raise RecordError(
            f"{folder / 'timeline.parquet'}: service: {unknown[0]!r} is not in summary.json"
        )
    return Record(
        folder=folder,
        summary=summary,
        timeline=timeline.sort_values("time_s", kind="stable", ignore_index=True),
        decisions=_table(folder / "decisions.parquet", DECISION_COLUMNS, DECISION_TEXTS),
        weddings=_table(folder / "weddings.parquet", WEDDING_COLUMNS, ()),
        prescaling=(
            pd.DataFrame(columns=[*PRESCALING_COLUMNS, "service"])
            if summary.prescaling is None or not summary.prescaling.events
            else _table(folder / "prescaling.parquet", PRESCALING_COLUMNS, ("service",))
        ),
        replications=(
            pd.DataFrame(columns=list(REPLICATION_COLUMNS), dtype="float64")
            if summary.replications is None
            else _table(folder / "replications.parquet", REPLICATION_COLUMNS, ())
        ),
        events=tuple(_events(folder / "events.jsonl")),
        config=_config(folder / "config.yaml", config_text),
        config_text=config_text,
        load=_load_test(folder),
    )


def _load_test(folder: Path) -> Load | None:
    try:
        return read_load(folder)
    except LoadError as error:
        raise RecordError(str(error)) from error


def _summary(path: Path) -> Summary:
    try:
        raw = json.loads(_text(path))
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON: {error}") from error
    return _checked(Summary, raw, str(path))


def _config(path: Path, text: str) -> dict[str, Any]:
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise RecordError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise RecordError(f"{path}: is not a mapping of keys to values")
    return config


def _events(path: Path) -> Iterator[Event]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except ValueError as error:
            raise RecordError(f"{path}: line {number} is not JSON: {error}") from error
        yield _checked(Event, raw, f"{path}: line {number}")


_Model = TypeVar("_Model", bound=BaseModel)


def _checked(model: type[_Model], raw: Any, where: str) -> _Model:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "(all of it)"
        problem = "is missing" if first["type"] == "missing" else first["msg"]
        raise RecordError(f"{where}: {field}: {problem}") from error


def _table(path: Path, numbers: tuple[str, ...], texts: tuple[str, ...]) -> pd.DataFrame:
    if not path.is_file():
        raise RecordError(f"{path}: is missing")
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises its own kinds, and OSError, for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordError(f"{path}: is not a readable Parquet file: {reason}") from error
    for column in (*numbers, *texts):
        if column not in frame.columns:
            raise RecordError(f"{path}: {column}: the column is missing")
    return frame.assign(
        **{column: _numbers(path, column, frame[column]) for column in numbers},
        **{column: frame[column].astype(object).fillna("").astype(str) for column in texts},
    )


def _numbers(path: Path, column: str, values: pd.Series) -> pd.Series:
    try:
        converted = values.astype("float64")
    except (TypeError, ValueError) as error:
        raise RecordError(f"{path}: {column}: not all values are numbers") from error
    if column == "time_s" and not np.isfinite(converted.to_numpy()).all():
        raise RecordError(f"{path}: {column}: not all times are finite")
    return converted


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecordError(f"{path}: is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecordError(f"{path}: cannot be read: {reason}") from error
