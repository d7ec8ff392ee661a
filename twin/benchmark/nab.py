"""The Numenta Anomaly Benchmark, scored by its published formula.

Lavin and Ahmad, "Evaluating Real-Time Anomaly Detection Algorithms", ICMLA 2015, with the weights
of NAB 1.1: the first 15 % of a file (at most 750 values) are for learning.  In a window the
earliest alarm counts, by 2 / (1 + exp(5 y)) - 1 of its place y before the window's end, and a
window without one costs the weight of a miss.  An alarm outside costs the weight of a false one,
less shortly after a window.  100 is all windows at their first value, 0 no alarm at all.  NAB hands
a detector the range of the whole file; here none gets it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.config.strict import ConfigError
from engine.model import FloatArray
from twin.benchmark.courses import BenchmarkSeries, files_in, numbers, seconds, spoken, table

EXPECTED = "labels/combined_windows.json and data/GROUP/NAME.csv[.gz] with timestamp and value"
DETECTORS = ("tails", "departures", "rolling z")
REST = 96
"""Values for which a detector is quiet after one that was as unusual: what NAB counts is alarms."""
LEARNED_SHARE, LEARNED_OF = 0.15, 5000
PROFILES = {"standard": (0.11, 1.0), "low FP": (0.22, 1.0), "low FN": (0.11, 2.0)}
"""Weights of a false alarm and of a miss."""
STEEP, FAR = 5.0, 3.0
COUNTS = ("windows", "caught", "alarms", "false", "days", "earned", "cost")


class NabCase(NamedTuple):
    """A series with its windows, (first, last) value of each."""

    course: BenchmarkSeries
    windows: tuple[tuple[int, int], ...]


def read(folder: Path) -> list[NabCase]:
    """All series of `folder`; raises ConfigError saying what is expected."""
    labels = folder / "labels" / "combined_windows.json"
    if not folder.is_dir() or not labels.is_file():
        raise ConfigError(f"data: {folder}: labels/combined_windows.json is missing; expected is "
                          f"{EXPECTED}")  # fmt: skip
    try:
        windows = json.loads(labels.read_text("utf-8"))
        spans = {str(name): [(str(a), str(b)) for a, b in own] for name, own in windows.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"data: {labels}: expected is {{file: [[begin, end], …]}} ({error})"
        ) from error
    cases = []
    for file in files_in(folder / "data", EXPECTED):
        name = f"{file.parent.name}/{file.name.removesuffix('.gz')}"
        if name not in spans:
            raise ConfigError(f"data: {labels}: says nothing of {name}")
        frame = table(file, ("timestamp", "value"))
        time_s = seconds(frame, "timestamp", file)
        own = []
        for begin, end in spans[name]:
            edges = pd.to_datetime(pd.Series([begin, end]), utc=True, errors="coerce")
            if edges.isna().any():
                raise ConfigError(f"data: {labels}: {name}: {begin} … {end} are no times")
            first_s, last_s = (edges - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
            inside = np.flatnonzero((time_s >= first_s) & (time_s <= last_s))
            if not len(inside):
                raise ConfigError(f"data: {labels}: {name}: {begin} … {end} has no value")
            own.append((int(inside[0]), int(inside[-1])))
        cases.append(
            NabCase(BenchmarkSeries(name, time_s, numbers(frame, "value", file)), tuple(own))
        )
    return cases


def name_of(case: NabCase) -> str:
    """The file or folder that it is of."""
    return case.course.name


def courses_of(case: NabCase) -> Sequence[BenchmarkSeries]:
    """The series."""
    return (case.course,)


def prepared(detector: str, scored: FloatArray) -> FloatArray:
    """With its rest after each alarm; `tails` has that itself."""
    return scored if detector == "tails" else spoken(scored, REST)


def counts(case: NabCase, scores: Sequence[FloatArray], thresholds: FloatArray) -> FloatArray:
    """(thresholds, counts): what each threshold earns in this file, in the order of `COUNTS`."""
    (scored,) = scores
    learned = int(LEARNED_SHARE * min(len(scored), LEARNED_OF))
    window, weight = placed(len(scored), case.windows)
    at = np.flatnonzero(scored[learned:] > 0.0) + learned
    days = (case.course.time_s[-1] - case.course.time_s[learned]) / 86_400.0
    rows = []
    for threshold in thresholds.tolist():
        alarms = at[scored[at] >= threshold]
        outside = alarms[window[alarms] < 0]
        best = [
            float(weight[alarms[window[alarms] == k]].max(initial=-np.inf))
            for k in range(len(case.windows))
        ]
        caught = [one for one in best if one > -np.inf]
        rows.append((len(best), len(caught), len(alarms), len(outside), days,
                     sum(caught), float(weight[outside].sum())))  # fmt: skip
    return np.array(rows, dtype=np.float64).reshape(len(thresholds), len(COUNTS))


def placed(values: int, windows: Sequence[tuple[int, int]]) -> tuple[NDArray[np.intp], FloatArray]:
    """Of each value: the window that it is in (-1: none), and what an alarm there counts."""
    window = np.full(values, -1, dtype=np.intp)
    weight = np.full(values, -1.0)
    for k, (first, last) in enumerate(windows):
        until = windows[k + 1][0] if k + 1 < len(windows) else values
        after = np.arange(last + 1, until)
        far = (after - last) / max(last - first, 1)
        weight[after] = np.where(far > FAR, -1.0, _sigmoid(far))
        inside = np.arange(first, last + 1)
        window[inside] = k
        weight[inside] = _sigmoid((inside - last - 1) / (last - first + 1)) / _sigmoid(-1.0)
    return window, weight


def _sigmoid(place: Any) -> Any:
    return 2.0 / (1.0 + np.exp(STEEP * place)) - 1.0


def figures(whole: FloatArray) -> dict[str, float]:
    """What follows from the counts of several files, summed."""
    own = dict(zip(COUNTS, whole.tolist(), strict=True))
    scored = {}
    for profile, (false, miss) in PROFILES.items():
        gained = own["earned"] + false * own["cost"] + miss * own["caught"]
        most = (1.0 + miss) * own["windows"]
        scored[profile] = 100.0 * gained / most if most else 0.0
    return {
        **scored,
        "windows": own["windows"],
        "caught": own["caught"],
        "false a day": own["false"] / own["days"] if own["days"] else 0.0,
    }


def worth(figures: dict[str, float]) -> float:
    """What a threshold is chosen by."""
    return figures["standard"]
