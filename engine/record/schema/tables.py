"""The tables of a run record: which columns each has, of what type, and what they say.

A writer makes its table here, so both worlds write the same columns, in the same order; a column of
whole numbers of which some are not known (live, nobody knows how many instances were needed) holds
floats.  A reader gets the columns that it asks for checked, numbers as floats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from engine.record.schema.parts import WorldName
from engine.record.schema.summary import SchemaError

Type = Literal["float64", "int64", "int32", "bool", "text", "category"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `only` is the one world whose records have it.

    One that is `optional` is left out where there is nothing to say.
    """

    name: str
    type: Type
    text: str
    only: WorldName | None = None
    optional: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it holds words."""
        return self.type in ("text", "category")


@dataclass(frozen=True, slots=True)
class Table:
    """One file; `others` says what further columns it can have, "" for none."""

    file: str
    text: str
    columns: tuple[Column, ...]
    others: str = ""
    others_type: Type = "float64"

    @property
    def names(self) -> list[str]:
        """Of the columns that every record has."""
        return [
            column.name for column in self.columns if column.only is None and not column.optional
        ]

    def frame(self, values: Mapping[str, Any], categories: Sequence[str] = ()) -> pd.DataFrame:
        """The table of these columns, in the order of the schema, then others as given.

        Raises ValueError where one is missing or unknown: that would be a fault of the writer.
        """
        types = {column.name: column for column in self.columns}
        missing = [name for name in self.names if name not in values]
        unknown = [name for name in values if name not in types]
        if missing or (unknown and not self.others):
            raise ValueError(f"{self.file}: {', '.join(missing or unknown)}: not as in the schema")
        order = [name for name in types if name in values] + unknown
        return pd.DataFrame(
            {
                name: _cast(
                    values[name],
                    types[name].type if name in types else self.others_type,
                    categories,
                )
                for name in order
            }
        )

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """The table of rows that have the same columns each."""
        names = list(rows[0]) if rows else self.names
        return self.frame({name: [row[name] for row in rows] for name in names})

    def write(self, folder: Path, frame: pd.DataFrame) -> None:
        """Write it into `folder`; raises OSError."""
        frame.to_parquet(folder / self.file, index=False)

    def read(self, folder: Path) -> pd.DataFrame:
        """The table in `folder`, its columns checked; raises SchemaError naming file and column.

        Numbers are floats (NaN where there is none), texts are str ("" where there is none).
        """
        path = folder / self.file
        if not path.is_file():
            raise SchemaError(f"{path}: is missing")
        try:
            frame = pd.read_parquet(path)
        except Exception as error:  # pyarrow raises its own kinds, and OSError, for a damaged file
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SchemaError(f"{path}: is not a readable Parquet file: {reason}") from error
        for name in self.names:
            if name not in frame.columns:
                raise SchemaError(f"{path}: {name}: the column is missing")
        return frame.assign(
            **{
                column.name: (
                    frame[column.name].astype(object).fillna("").astype(str)
                    if column.is_text
                    else _numbers(path, column.name, frame[column.name])
                )
                for column in self.columns
                if column.name in frame.columns
            }
        )

    def empty(self) -> pd.DataFrame:
        """The table without a row."""
        return self.frame({name: [] for name in self.names})


TIMELINE = Table(
    "timeline.parquet",
    "One row for each sample and service, sorted by time within a service.",
    (
        Column("time_s", "float64", "end of the sample, epoch seconds"),
        Column("service", "category", "the service"),
        Column("demand_rate", "float64", "first tries that users made, 1/s"),
        Column("arrival_rate", "float64", "requests that came, retries included, 1/s"),
        Column("served", "float64", "requests answered in the sample"),
        Column("failed", "float64", "answered with an error"),
        Column("shed", "float64", "turned away at a full queue"),
        Column("timed_out", "float64", "given up on by the client"),
        Column("slow", "float64", "answered later than the SLO"),
        Column("queued", "float64", "waiting at the end of the sample"),
        Column("in_flight", "float64", "being worked on at the end of the sample"),
        Column("cpu", "float64", "utilisation as measured, 0-1"),
        Column("memory", "float64", "memory as measured, 0-1"),
        Column("p50_s", "float64", "median response time as measured, s"),
        Column("p95_s", "float64", "95 % of the answers took at most this, s"),
        Column("p99_s", "float64", "99 % of the answers took at most this, s"),
        Column("desired", "int32", "instances asked for"),
        Column("ready", "int32", "instances that serve"),
        Column("booting", "int32", "instances on their way"),
        Column("draining", "int32", "instances on their way out"),
        Column("needed", "int32", "instances needed, in hindsight"),
        Column("forecast_q10", "float64", "what had been forecast 15 minutes before: 10 %, 1/s"),
        Column("forecast_q50", "float64", "the median, 1/s"),
        Column("forecast_q90", "float64", "90 %, 1/s"),
        Column("wedding_floor", "int32", "instances promised for booked events"),
        Column("cost_per_hour", "float64", "what the instances cost, USD/h"),
        Column("warm", "int32", "held warm; where any can be", optional=True),
    ),
)

DECISIONS = Table(
    "decisions.parquet",
    "One row for each recommendation and each action, with its outcome.",
    (
        Column("time_s", "float64", "when it was decided, epoch seconds"),
        Column("kind", "text", "recommendation, action, or warm: an action on what is held warm"),
        Column("decision_id", "text", "of an action: the same for the same decision"),
        Column("service", "text", "the service"),
        Column("from_instances", "int64", "instances asked for before; of those held warm, if so"),
        Column("to_instances", "int64", "instances that it asks for, or of those held warm"),
        Column("reason", "text", "why: one word of a closed list"),
        Column("category", "text", "automatic, needs_approval or emergency"),
        Column("outcome", "text", "what became of it"),
        Column("why", "text", "why it was declined or failed"),
        Column("confidence", "float64", "0-1"),
        Column("cost_per_hour", "float64", "what an action adds to the bill, USD/h"),
        Column("rollback_to", "int64", "where an action is rolled back to"),
        Column("trigger_s", "float64", "time of the sample that triggered it, epoch seconds"),
        Column("accepted_s", "float64", "when it was accepted"),
        Column("completed_s", "float64", "when it was completed"),
        Column("weddings", "float64", "events that an action is for"),
        Column("major_weddings", "float64", "of them, the major ones"),
        Column("evidence", "text", "the figures behind it, as JSON"),
        Column("explanation", "text", "an action in words"),
        Column("served_s", "float64", "first request on an instance it added", only="live"),
    ),
)

WEDDINGS = Table(
    "weddings.parquet",
    "One row for each minute (live: for each step, as booked).",
    (
        Column("time_s", "float64", "epoch seconds"),
        Column("in_progress", "int32", "events in progress"),
    ),
    others="events in each phase",
    others_type="int32",
)

FINDINGS = Table(
    "findings.parquet",
    "One row for each finding of the monitor, where one ran.",
    (
        Column("time_s", "float64", "when it was noticed, epoch seconds"),
        Column("finding_id", "text", "its id, the same from its first step to its last"),
        Column("service", "text", "the service"),
        Column("kind", "text", "what is wrong: one word of a closed list"),
        Column("severity", "text", "info, warning or critical: the worst of it"),
        Column("watcher", "text", "the rule or the detector that says so"),
        Column("figure", "text", "what was looked at"),
        Column("value", "float64", "what it was when it was noticed"),
        Column("limit", "float64", "the threshold that it passed, if there is one"),
        Column("low", "float64", "the lower edge of the band that it left, if there is one"),
        Column("high", "float64", "the upper edge of it"),
        Column("since_s", "float64", "time of the earliest sample that shows it"),
        Column("ended_s", "float64", "when it ended; none: it lasts"),
        Column("confidence", "float64", "how sure, 0-1"),
        Column("weddings", "float64", "events in progress meanwhile, the most"),
        Column("guests", "float64", "about how many people those have"),
        Column("cause", "text", "what is likeliest behind it"),
        Column("cause_service", "text", "where that is"),
        Column("causes", "text", "all likely causes with their weights, as JSON"),
        Column("words", "text", "what the figures alone do not say"),
        Column("recommendation", "text", "what to do"),
    ),
)

PRESCALING = Table(
    "prescaling.parquet",
    "One row for each group of major events and service.",
    (
        Column("at_s", "float64", "when the first of them began, epoch seconds"),
        Column("events", "int64", "events of the group"),
        Column("service", "text", "the service"),
        Column("waited_for", "bool", "whether users wait for it"),
        Column("need", "float64", "instances needed in the first five minutes"),
        Column("ready", "int64", "instances ready when they began"),
        Column("lead_ready", "float64", "instances ready a lead time before"),
        Column("lead_floor", "float64", "instances promised a lead time before"),
        Column("price_per_hour", "float64", "of one instance, USD/h"),
    ),
)

REPLICATIONS = Table(
    "replications.parquet",
    "One row for each replication, the run itself first.",
    (
        Column("replication", "int64", "its number"),
        Column("seed", "int64", "its seed"),
        Column("slo.violation_ratio", "float64", "as in the summary"),
        Column("cost.total_usd", "float64", "as in the summary"),
    ),
    others="further headline figures, by their path in the summary",
)

LOAD = Table(
    "load.parquet",
    "One row for each second and service of a load test.",
    (
        Column("time_s", "float64", "on the clock, epoch seconds"),
        Column("scenario_time_s", "float64", "in the scenario, epoch seconds"),
        Column("service", "text", "the service"),
        Column("intended", "int64", "requests due"),
        Column("sent", "int64", "attempts that went out"),
        Column("retried", "int64", "of them, those that were not the first"),
        Column("ok", "int64", "answered"),
        Column("failed", "int64", "answered with an error, or not at all"),
        Column("shed", "int64", "turned away"),
        Column("timed_out", "int64", "given up on"),
        Column("slow", "int64", "answered, and felt longer than the SLO"),
        Column("late", "int64", "sent too late because the generator was busy"),
        Column("held", "int64", "had to wait until fewer were in flight"),
        Column("dropped", "int64", "never sent"),
        Column("p50_s", "float64", "median time from when they were due, s"),
        Column("p95_s", "float64", "95 % took at most this, s"),
        Column("p99_s", "float64", "99 % took at most this, s"),
        Column("answered_p95_s", "float64", "the same from when they were sent, s"),
        Column("lateness_max_s", "float64", "the latest was sent so late, s"),
    ),
)

RUN_TABLES = (TIMELINE, DECISIONS, FINDINGS, WEDDINGS, PRESCALING, REPLICATIONS)


def _cast(values: Any, type_: Type, categories: Sequence[str]) -> Any:
    if type_ == "category":
        return pd.Categorical(values, categories=list(categories))
    if type_ == "text":
        return pd.Series(values, dtype="str")
    if type_ in ("int32", "int64"):
        floats = np.asarray(values, dtype=np.float64)
        if not np.isfinite(floats).all():
            return floats
    return np.asarray(values, dtype=type_)


def _numbers(path: Path, column: str, values: pd.Series) -> pd.Series:
    try:
        converted = values.astype("float64")
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{path}: {column}: not all values are numbers") from error
    if column == "time_s" and not np.isfinite(converted.to_numpy()).all():
        raise SchemaError(f"{path}: {column}: not all times are finite")
    return converted
