"""What an engine before this one saw, out of the journal that this one goes on with.

Of the newest part of the journal alone (`MOST_BYTES`), so that an engine begins as soon after a
long run as after a short one.  A journal holds counts, samples, wedding floors, emergencies, and
how many weddings were in progress.  It does not hold phases, which weddings were major, the floors
and pauses of people, and the budget: those are not there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from engine.api.board import Board
from engine.api.figures import figure
from engine.api.past import STATES, PastStep
from engine.api.samples import TIME
from engine.model import SAMPLE_FIELDS, Budget, Category, FloatArray
from engine.record.journal import LineSealer, newest
from engine.security.roles import PlatformState

MOST_BYTES = 16 * 2**20
CALM, EMERGENCY = (STATES.index(one) for one in (PlatformState.CALM, PlatformState.EMERGENCY))

log = structlog.stdlib.get_logger(__name__)


def recall(board: Board, journal: Path, sealer: LineSealer | None, now_s: float) -> int:
    """Let `board` show the minutes before `now_s` that `journal` holds; returns how many.

    To be called before the first step.  What cannot be read is not shown.
    """
    reading = _Reading(tuple(board.specs), board.settings.emergency.calm_s, board.past.every_s)
    after_s = now_s - board.past.kept_s
    try:
        for line in newest(journal, MOST_BYTES, sealer):
            try:
                if line["kind"] == "step" and after_s <= float(line["due_s"]) < now_s:
                    reading.take(line)
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                continue  # of another version, or damaged
    except OSError as error:
        log.warning(f"the hours before are not shown: {error.strerror or error}")
    samples = {name: _ordered(rows, now_s) for name, rows in reading.samples.items()}
    board.begin_after(samples, reading.numbered())
    return len(reading.steps)


class _Reading:
    """What was read so far."""

    def __init__(self, names: Sequence[str], calm_s: float, every_s: float) -> None:
        self.samples: dict[str, list[list[float]]] = {name: [] for name in names}
        self.steps: list[PastStep] = []
        self._calm_s = calm_s
        self._every_s = every_s
        self._floors: Mapping[str, int] = {}
        self._urgent_s: dict[str, float] = {}

    def take(self, line: Mapping[str, Any]) -> None:
        """One step's line."""
        now_s = float(line["due_s"])
        for name, rows in line["samples"].items():
            if name in self.samples:
                self.samples[name] += [
                    [float(value) for value in row]
                    for row in rows
                    if len(row) == len(SAMPLE_FIELDS)
                ]
        if line["cycle"]:
            self._floors = line["floors"]
        for row in line["rows"]:
            if row["kind"] == "action" and row["category"] == Category.EMERGENCY.value:
                self._urgent_s[row["service"]] = now_s
        last_s = self.steps[-1].time_s if self.steps else -math.inf
        if not last_s <= now_s < last_s + self._every_s:
            self.steps = [
                *(one for one in self.steps if one.time_s < now_s),
                self._step(line, now_s),
            ]

    def _step(self, line: Mapping[str, Any], now_s: float) -> PastStep:
        counts = [
            (*line["counts"].get(name, (0, 0, 0, 0)), self._floors.get(name, 0))
            for name in self.samples
        ]
        states = [
            EMERGENCY if 0.0 <= now_s - self._urgent_s.get(name, -math.inf) < self._calm_s else CALM
            for name in self.samples
        ]
        weddings = line["weddings"]
        return PastStep(
            0, now_s, np.array(counts, np.int32).reshape(-1, 5), bytes(states),
            _weddings(None if weddings is None else float(weddings), now_s), Budget(), (), (),
        )  # fmt: skip

    def numbered(self) -> list[PastStep]:
        """The steps, with numbers that no step of this engine has."""
        return [replace(one, number=k - len(self.steps)) for k, one in enumerate(self.steps)]


def _ordered(rows: Sequence[Sequence[float]], now_s: float) -> FloatArray:
    """The samples up to `now_s`, each once, in their order: the clock may have been set back."""
    samples = np.array(rows, np.float64).reshape(-1, len(SAMPLE_FIELDS))
    samples = samples[samples[:, TIME] <= now_s]
    _, first = np.unique(samples[:, TIME], return_index=True)
    ordered: FloatArray = samples[first]
    return ordered


def _weddings(in_progress: float | None, now_s: float) -> dict[str, Any]:
    """As `engine.api.booked.weddings_of`, but for the noun, which the outlook of today has."""
    return {
        "in_progress": None if in_progress is None else figure(in_progress),
        "major_in_progress": None,
        "next_peak": None,
        "next_peak_at_s": None,
        "protection": False,
        "known_until_s": None,
        "phases": [],
        "ahead": {"start_s": now_s, "bin_s": 60.0, "events": [], "major": []},
    }
