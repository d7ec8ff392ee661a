"""When forecasts are issued, and how a time is said."""

from __future__ import annotations

import datetime as dt

HOUR_S = 3600.0
DAY_S = 86_400.0

ISSUE_HOUR = 8
"""UTC hour of the daily issue: the quiet time between two days of weddings in the Americas."""


def moment(time_s: float) -> str:
    """ISO 8601, UTC, to the second."""
    return dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat(timespec="seconds")
