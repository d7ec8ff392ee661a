"""A number of users over time, from a plain CSV file.

Plain, because a curve may come from anywhere: a simulated day, yesterday's log, a spreadsheet.
Between two rows the number changes linearly; the load ends with the last row.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS = ("time_s", "users")


class CurveError(ValueError):
    """The file is no curve; the message says where and what is allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Users at `time_s` (N,), seconds from the start, rising; `users` (N,), not negative."""

    time_s: NDArray[np.float64]
    users: NDArray[np.float64]

    def users_at(self, time_s: float) -> int | None:
        """Users at that time, rounded; None after the end of the curve."""
        if time_s > self.time_s[-1]:
            return None
        return round(float(np.interp(time_s, self.time_s, self.users)))


def read(path: Path) -> Curve:
    """Read `time_s,users` rows; times are moved so that the first row is at 0.

    Raises CurveError for a file that cannot be read or is not a curve.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise CurveError(f"{path} cannot be read: {error}") from error
    if len(lines) < 2 or not all(column in lines[0] for column in COLUMNS):
        raise CurveError(f"{path} needs the header time_s,users and at least two rows")
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            time_s, users = (float(line[column]) for column in COLUMNS)
        except (TypeError, ValueError):
            time_s = users = math.nan
        if not (math.isfinite(time_s) and math.isfinite(users) and users >= 0.0):
            raise CurveError(f"{path}, line {number}: time_s must be a number, users one from 0 on")
        rows.append((time_s, users))
    for number, (before, row) in enumerate(pairwise(rows), start=3):
        if row[0] <= before[0]:
            raise CurveError(
                f"{path}, line {number}: time_s {row[0]:g} does not come after {before[0]:g}"
            )
    table = np.array(rows)
    return Curve(time_s=table[:, 0] - table[0, 0], users=table[:, 1])
