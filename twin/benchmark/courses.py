"""Series of others: how they are read, and how every detector goes through them, value by value.

All series of a benchmark are rows of one array, so a detector takes a value of each at a time, as
the monitor does with its services.  It sees a value when it has answered to the one before, and
nothing of the series but that: no length, no range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.config.strict import ConfigError
from engine.model import FloatArray
from engine.monitoring.picture import Arrays
from engine.monitoring.series.departures import SeriesDepartures
from engine.monitoring.series.tails import SeriesTails

ROLLING, LEAST = 288, 24
"""The simple rule beside: standard deviations from the mean of so many last values."""
ENDINGS = (".csv", ".csv.gz")


class BenchmarkSeries(NamedTuple):
    """A series: `time_s` (values,) epoch seconds that rise, `values` (values,), NaN: missing."""

    name: str
    time_s: FloatArray
    values: FloatArray


class Look(Protocol):
    """A detector of plain series, over `rows` of them."""

    def begin(self) -> Arrays:
        """The memory before the first value."""
        ...

    def at(
        self, memory: Arrays, values: FloatArray, time_s: FloatArray
    ) -> tuple[Arrays, FloatArray]:
        """The memory after one value of each row, and how unusual it is."""
        ...


class _Tails(SeriesTails):
    def at(
        self, memory: Arrays, values: FloatArray, time_s: FloatArray
    ) -> tuple[Arrays, FloatArray]:
        del time_s
        return self.look(memory, values)


class _Departures(SeriesDepartures):
    def at(
        self, memory: Arrays, values: FloatArray, time_s: FloatArray
    ) -> tuple[Arrays, FloatArray]:
        return self.look(memory, values, time_s)


MADE: Mapping[str, Callable[[int], Look]] = {"tails": _Tails, "departures": _Departures}
SIMPLE = "rolling z"
WORDS = {
    "tails": "tails (sum of tail ranks)",
    "departures": "departures (last values and other days)",
    SIMPLE: "rolling z (simple rule)",
}


def scores(detector: str, courses: Sequence[BenchmarkSeries]) -> list[FloatArray]:
    """How unusual `detector` finds each value of each course."""
    if detector == SIMPLE:
        return [rolling_z(course.values) for course in courses]
    order = sorted(range(len(courses)), key=lambda k: -len(courses[k].values))
    lengths = np.array([len(courses[k].values) for k in order])
    values = np.full((int(lengths[0]), len(order)), np.nan)
    times = np.zeros_like(values)
    for row, k in enumerate(order):
        values[: lengths[row], row] = courses[k].values
        times[: lengths[row], row] = courses[k].time_s
    made = MADE[detector](len(order))
    memory, unusual = made.begin(), np.zeros_like(values)
    rows = len(order)
    for i in range(len(values)):
        going = int((lengths > i).sum())
        if going < rows:  # those that ended are the last ones
            rows = going
            memory = {name: array[:rows] for name, array in memory.items()}
        memory, unusual[i, :rows] = made.at(memory, values[i, :rows], times[i, :rows])
    by_course = {k: unusual[: lengths[row], row] for row, k in enumerate(order)}
    return [by_course[k] for k in range(len(courses))]


def rolling_z(values: FloatArray) -> FloatArray:
    """Standard deviations of each value from the mean of the last `ROLLING` before it."""
    past = pd.Series(values).shift(1).rolling(ROLLING, min_periods=LEAST)
    mean, spread = past.mean().to_numpy(), past.std(ddof=0).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.where(spread > 1e-9 * np.abs(mean), np.abs(values - mean) / spread, 0.0)
    z: FloatArray = np.nan_to_num(far)
    return z


def spoken(scored: FloatArray, rest: int) -> FloatArray:
    """The same with 0 where one of the last `rest` scores was as large."""
    before = pd.Series(scored).shift(1).rolling(rest, min_periods=1).max().fillna(0.0).to_numpy()
    speaks: FloatArray = np.where(scored > before, scored, 0.0)
    return speaks


def files_in(folder: Path, expected: str) -> list[Path]:
    """The CSV files below `folder`; raises ConfigError that says what is `expected`."""
    if not folder.is_dir():
        raise ConfigError(f"data: {folder}: there is no such folder; expected is {expected}")
    files = sorted(file for ending in ENDINGS for file in folder.rglob(f"*{ending}"))
    if not files:
        raise ConfigError(f"data: {folder}: has no .csv or .csv.gz file; expected is {expected}")
    return files


def table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file with these columns at least; raises ConfigError naming the file otherwise."""
    try:
        frame = pd.read_csv(file)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise ConfigError(f"data: {file}: is no CSV file that can be read ({error})") from error
    frame.columns = [str(name).strip().strip('"').lower() for name in frame.columns]
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ConfigError(
            f"data: {file}: column {missing[0]} is missing (expected: {', '.join(columns)}; "
            f"there are: {', '.join(frame.columns)})"
        )
    if frame.empty:
        raise ConfigError(f"data: {file}: has no row")
    return frame


def seconds(frame: pd.DataFrame, column: str, file: Path) -> FloatArray:
    """A column of times as epoch seconds; raises ConfigError naming the file and the column."""
    try:
        times = pd.to_datetime(frame[column], utc=True)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"data: {file}: {column} has what is no time ({error})") from error
    if times.isna().any():
        raise ConfigError(f"data: {file}: {column}: a time is missing")
    since = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return np.asarray(since, dtype=np.float64)


def numbers(frame: pd.DataFrame, column: str, file: Path) -> FloatArray:
    """A column of numbers, NaN where one is missing; raises ConfigError for what is none."""
    try:
        figures: FloatArray = pd.to_numeric(frame[column]).to_numpy(np.float64)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"data: {file}: {column} has what is no number ({error})") from error
    return np.where(np.isfinite(figures), figures, np.nan)


def halves(many: int, times: int) -> list[NDArray[np.bool_]]:
    """Random halves of so many series, always the same ones."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([many, times])))
    drawn = []
    for _ in range(times):
        chosen = np.zeros(many, dtype=np.bool_)
        chosen[rng.permutation(many)[: (many + 1) // 2]] = True
        drawn.append(chosen)
    return drawn
