"""Read a run record, the folder of files that a simulated or a live run leaves behind.

The report knows a run from these files alone, so it serves every world that can write them and can
be made again years later.  What comes from a file is checked once, here, against
`engine.record.schema`: behind `load` all columns exist and are numeric, all figures of the summary
are numbers or None.  Unknown keys and columns are ignored, so that an older report reads a newer
record as long as its schema number is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from engine.record.schema import events
from engine.record.schema.events import Event
from engine.record.schema.summary import SchemaError, Summary, read
from engine.record.schema.tables import (
    DECISIONS,
    FINDINGS,
    PRESCALING,
    REPLICATIONS,
    TIMELINE,
    WEDDINGS,
)
from reports.errors import RecordError
from reports.load.content import LoadTest
from reports.load.content import read as read_load


@dataclass(frozen=True, slots=True)
class Record:
    """A run record in memory.

    `timeline` has one row for each sample and service, sorted by time within a service;
    `decisions` one for each recommendation and action, `weddings` one a minute, `replications` one
    for each replication, `findings` one for each finding of the monitor, `prescaling` one for each
    group of major events and service (all three none without any).  `config_text` is `config.yaml`
    as written, `config` the same as a mapping.  `load` is the load test whose results lie in the
    folder, if any.
    """

    folder: Path
    summary: Summary
    timeline: pd.DataFrame
    decisions: pd.DataFrame
    weddings: pd.DataFrame
    prescaling: pd.DataFrame
    findings: pd.DataFrame
    replications: pd.DataFrame
    events: tuple[Event, ...]
    config: dict[str, Any]
    config_text: str
    load: LoadTest | None = None

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
    try:
        return _read(folder)
    except SchemaError as error:
        raise RecordError(str(error)) from error


def _read(folder: Path) -> Record:
    summary = read(folder)
    config_text = _text(folder / "config.yaml")
    timeline = TIMELINE.read(folder)
    unknown = sorted(set(timeline["service"].unique()) - set(summary.services))
    if unknown:
        raise RecordError(
            f"{folder / TIMELINE.file}: service: {unknown[0]!r} is not in summary.json"
        )
    judged = summary.prescaling is not None and summary.prescaling.events > 0
    return Record(
        folder=folder,
        summary=summary,
        timeline=timeline.sort_values("time_s", kind="stable", ignore_index=True),
        decisions=DECISIONS.read(folder),
        weddings=WEDDINGS.read(folder),
        prescaling=PRESCALING.read(folder) if judged else PRESCALING.empty(),
        findings=(
            FINDINGS.read(folder) if (folder / FINDINGS.file).is_file() else FINDINGS.empty()
        ),
        replications=(
            REPLICATIONS.empty() if summary.replications is None else REPLICATIONS.read(folder)
        ),
        events=tuple(events.read(folder)),
        config=_config(folder / "config.yaml", config_text),
        config_text=config_text,
        load=read_load(folder),
    )


def _config(path: Path, text: str) -> dict[str, Any]:
    try:
        config = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise RecordError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise RecordError(f"{path}: is not a mapping of keys to values")
    return config


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecordError(f"{path}: is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecordError(f"{path}: cannot be read: {reason}") from error
