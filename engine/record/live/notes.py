"""What a live run's journal tells, read for its record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.model import SAMPLE_FIELDS, ActionResult, ServiceSpec, Status
from engine.record.decisions import Decisions
from engine.record.journal import LineSealer, read
from engine.record.schema.events import Event
from engine.record.schema.summary import PlayedDay, UsedForecaster
from engine.record.schema.thresholds import ThresholdConfig
from engine.settings import EngineSettings

S = {name: i for i, name in enumerate(SAMPLE_FIELDS)}
"""Where each figure is in a sample's row."""

Totals = Mapping[str, Mapping[str, float]]
"""Figures of the whole run by service and name, as far as the metrics source knows them."""

FirstServed = Mapping[str, Sequence[float]]
"""When each instance served its first request (epoch seconds), by service."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What the journal does not say of a run; `played` is None where the bookings cannot say it.

    `config` is the resolved configuration as written into the record.
    """

    scenario: str
    description: str
    seed: int
    controller: str
    foresight: bool
    command: str
    config: Mapping[str, Any]
    specs: tuple[ServiceSpec, ...]
    sample_s: float
    started_s: float
    ended_s: float
    partial: bool
    thresholds: Mapping[str, ThresholdConfig]
    played: PlayedDay | None = None
    awaited_s: tuple[float, ...] = ()
    """When major events were booked to begin (epoch seconds)."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    forecaster: UsedForecaster = field(default_factory=UsedForecaster)
    totals: Totals = field(default_factory=dict)
    first_served: FirstServed = field(default_factory=dict)
    horizons: tuple[str, ...] = ()
    """What the controller forecasts: seconds, as in the summary."""

    def tick(self, time_s: float) -> float:
        """The whole sample interval at or before `time_s`."""
        return math.floor(time_s / self.sample_s + 1e-6) * self.sample_s


@dataclass(slots=True)
class JournalContent:
    """The journal, read."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    decisions: Decisions = field(default_factory=Decisions)
    events: list[Event] = field(default_factory=list)
    samples: dict[str, dict[float, list[float]]] = field(default_factory=dict)


def notes_of(run: LiveRun, journal: Path, sealer: LineSealer | None = None) -> JournalContent:
    """All that `journal` tells of the run; what is of no service of it is left out.

    Raises OSError.
    """
    notes = JournalContent(samples={spec.name: {} for spec in run.specs})
    for line in read(journal, sealer):
        match line.get("kind"):
            case "step":
                notes.steps.append(line)
                for row in line["rows"]:
                    notes.decisions.put(row)
                for service, rows in line["samples"].items():
                    for row in rows:
                        if service in notes.samples and row[0] > run.started_s:
                            notes.samples[service][row[0]] = row
            case "result":
                notes.decisions.result(
                    ActionResult(
                        line["decision_id"], Status(line["status"]), line["time_s"], line["detail"]
                    )
                )
            case "event":
                notes.events.append(Event(**line["event"]))
    return notes
