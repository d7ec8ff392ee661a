"""The load of the past from a file, CSV or Parquet: a column with the time, one for each service.

    time,api,real-time
    2026-05-01T00:00:00Z,812.4,1510.2

Times are ISO 8601 with an offset, or epoch seconds, in even steps; what is left out is not known.
Values are the requests that arrived, 1/s, calls of other services included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from engine.config.strict import ConfigError
from engine.model import FloatArray
from engine.prediction.event_learning import PastLoad

STEP_S = 300.0
"""Finer steps are averaged to this."""
MOST_STEPS = 2_000_000


def read(path: Path, services: Sequence[str]) -> PastLoad:
    """The load in the file, of those of the services that it has; raises ConfigError."""
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except OSError as error:
        raise ConfigError(f"load: {path} cannot be read ({error.strerror or error})") from None
    except Exception as error:  # whatever pandas and pyarrow raise of a file that is none
        raise ConfigError(f"load: {path} is no CSV or Parquet table ({error})") from None
    names = [name for name in services if name in table.columns]
    if "time" not in table.columns or not names:
        raise ConfigError(
            f"load: {path} has the columns {', '.join(map(str, table.columns))}; it needs time and "
            f"one for a service ({', '.join(services)})"
        )
    times_s = _seconds(table["time"], path)
    order = np.argsort(times_s, kind="stable")
    times_s = times_s[order]
    if len(times_s) < 2 or not times_s[-1] > times_s[0]:
        raise ConfigError(f"load: {path} has no two different times")
    gaps_s = np.diff(times_s)
    own_s = float(np.median(gaps_s[gaps_s > 0.0]))
    step_s = max(STEP_S, own_s)
    start_s = math.floor(float(times_s[0]) / step_s) * step_s
    steps = math.floor((float(times_s[-1]) - start_s) / step_s) + 1
    if steps > MOST_STEPS:
        raise ConfigError(f"load: {path} spans {steps:,} steps of {step_s:g} s (at most 2,000,000)")
    at = np.floor((times_s - start_s) / step_s).astype(np.int64)
    load = np.array([_means(_values(table[name], path, name)[order], at, steps) for name in names])
    return PastLoad(tuple(names), start_s, step_s, load)


def _seconds(column: pd.Series, path: Path) -> FloatArray:
    if pd.api.types.is_numeric_dtype(column):
        times_s = column.to_numpy(np.float64)
    else:
        try:
            moments = pd.to_datetime(column, utc=True)
        except (ValueError, TypeError):
            raise ConfigError(f"load: {path}: time holds something that is no time") from None
        since = moments - pd.Timestamp("1970-01-01", tz="UTC")
        times_s = since.dt.total_seconds().to_numpy(np.float64)
    if not np.isfinite(times_s).all() or (np.abs(times_s) > 1e11).any():
        raise ConfigError(f"load: {path}: time holds something that is no time")
    return times_s


def _values(column: pd.Series, path: Path, name: str) -> FloatArray:
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    if (values < 0.0).any() or np.isinf(values).any():
        raise ConfigError(f"load: {path}: {name} holds loads that cannot be (0 or more, finite)")
    return np.asarray(values)


def _means(values: FloatArray, at: np.ndarray, steps: int) -> FloatArray:
    measured = np.isfinite(values)
    total = np.bincount(at[measured], values[measured], steps)
    count = np.bincount(at[measured], minlength=steps)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
