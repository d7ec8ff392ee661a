"""Microsoft's cloud monitoring series: events that experts marked, one threshold for all series.

An event is a run of marked values.  An alarm is a value above the threshold, and the next one comes
six hours later at the earliest; it is right within two values of an event.  Precision is the share
of the alarms that are right, recall the share of the events with one, F1 their harmonic mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.config.strict import ConfigError
from engine.model import FloatArray
from twin.benchmark.courses import BenchmarkSeries, files_in, numbers, seconds, table

EXPECTED = "data/GROUP/NAME.csv[.gz] with timestamp, value and label (0 or 1)"
DETECTORS = ("departures", "tails", "rolling z")
REST_S = 21_600.0
NEAR = 2
MOST_FALSE = 0.1
"""False alarms a day and series: a threshold with more is none."""
COUNTS = ("events", "caught", "alarms", "right", "days")


class MicrosoftCase(NamedTuple):
    """A series with the (first, last) value of each event."""

    course: BenchmarkSeries
    events: tuple[tuple[int, int], ...]


def read(folder: Path) -> list[MicrosoftCase]:
    """All series of `folder`; raises ConfigError saying what is expected."""
    cases = []
    for file in files_in(folder, EXPECTED):
        frame = table(file, ("timestamp", "value", "label"))
        time_s = seconds(frame, "timestamp", file)
        values, marked = numbers(frame, "value", file), numbers(frame, "label", file)
        if not np.isin(marked, (0.0, 1.0)).all():
            raise ConfigError(f"data: {file}: label: 0 and 1 are allowed")
        _, first = np.unique(time_s, return_index=True)  # of two at one time the first
        name = f"{file.parent.name}/{file.name.removesuffix('.gz')}"
        cases.append(
            MicrosoftCase(
                BenchmarkSeries(name, time_s[first], values[first]), runs(marked[first] == 1.0)
            )
        )
    return cases


def name_of(case: MicrosoftCase) -> str:
    """The file or folder that it is of."""
    return case.course.name


def courses_of(case: MicrosoftCase) -> Sequence[BenchmarkSeries]:
    """The series."""
    return (case.course,)


def prepared(detector: str, scored: FloatArray) -> FloatArray:
    """As they are: the rest is by time."""
    del detector
    return scored


def runs(marked: NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    """First and last value of each run of marked ones."""
    edges = np.diff(np.concatenate(([0], marked.astype(np.int8), [0])))
    firsts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return tuple((int(a), int(b) - 1) for a, b in zip(firsts, ends, strict=True))


def counts(case: MicrosoftCase, scores: Sequence[FloatArray], thresholds: FloatArray) -> FloatArray:
    """(thresholds, counts) of this series, in the order of `COUNTS`."""
    (scored,) = scores
    time_s = case.course.time_s
    near = np.full(len(scored) + 2 * NEAR, -1, dtype=np.intp)
    for k, (first, last) in enumerate(case.events):
        near[first : last + 1 + 2 * NEAR] = k
    near = near[NEAR : NEAR + len(scored)]
    days = (time_s[-1] - time_s[0]) / 86_400.0
    rows = []
    for threshold in thresholds.tolist():
        alarms: list[int] = []
        for i in np.flatnonzero(scored >= threshold).tolist():
            if not alarms or time_s[i] - time_s[alarms[-1]] >= REST_S:
                alarms.append(i)
        of = near[alarms]
        rows.append((len(case.events), len(np.unique(of[of >= 0])), len(alarms),
                     int((of >= 0).sum()), days))  # fmt: skip
    return np.array(rows, dtype=np.float64).reshape(len(thresholds), len(COUNTS))


def figures(whole: FloatArray) -> dict[str, float]:
    """What follows from the counts of several series, summed."""
    own = dict(zip(COUNTS, whole.tolist(), strict=True))
    precision = own["right"] / max(own["alarms"], 1.0)
    recall = own["caught"] / max(own["events"], 1.0)
    both = precision + recall
    return {
        "F1": 2.0 * precision * recall / both if both else 0.0,
        "precision": precision,
        "recall": recall,
        "events": own["events"],
        "false a day": (own["alarms"] - own["right"]) / own["days"] if own["days"] else 0.0,
    }


def worth(figures: dict[str, float]) -> float:
    """What a threshold is chosen by."""
    return figures["F1"] if figures["false a day"] <= MOST_FALSE else -figures["false a day"]
