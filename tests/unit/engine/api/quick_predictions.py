"""Predictions that cost nothing, in the form of the real ones: for tests of what is around them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from engine.api.predictions import AskedWedding

SERVICES = ("api", "database")


def connect(slow_s: float = 0.0, broken: bool = False) -> QuickPredictions:
    return QuickPredictions(slow_s, broken)


class QuickPredictions:
    def __init__(self, slow_s: float, broken: bool) -> None:
        self._slow_s = slow_s
        self._broken = broken

    def season(self, year: int, season: str, now_s: float) -> Mapping[str, Any]:
        time.sleep(self._slow_s)
        if not 2024 <= year <= 2027:
            raise ValueError(f"year: {year} is not allowed (2024 … 2027, the seasons there are)")
        return {
            "year": year, "season": season, "generated_at": "2027-01-01T00:00:00+00:00",
            "valid_until": "2027-01-08T00:00:00+00:00", "confidence": 0.8,
            "levels": [0.1, 0.5, 0.9],
            "weddings": {"predicted": [1.0, 2.0, 3.0], "booked": 1.0}, "weeks": [], "peak_days": [],
            "capacity": {}, "historical_comparison": [], "notes": [str(now_s)],
        }  # fmt: skip

    def day(self, date: dt.date, now_s: float) -> Mapping[str, Any]:
        time.sleep(self._slow_s)
        return self._day(f"weddings of {date}", f"{date}T08:00:00+00:00")

    def wedding(self, wedding: AskedWedding, now_s: float) -> Mapping[str, Any]:
        return self._day(f"a {wedding.type} wedding", f"{wedding.date}T08:00:00+00:00")

    def plan(self, date: dt.date, months: int, risk: float) -> Mapping[str, Any]:
        if self._broken:
            raise RuntimeError("a fault of the planner")
        return {
            "date": str(date), "months": ["2027-01"] * months, "risk": risk,
            "plan": {
                "total_usd": 90.0, "reserved_usd": 40.0, "on_demand_usd": 50.0,
                "fits_the_quota": True,
                "services": {
                    name: {
                        "size": 1.0, "reserved": 2, "minimum": [2], "maximum": [5],
                        "reserved_usd": 20.0, "on_demand_usd": 25.0, "slots": 10,
                    }
                    for name in SERVICES
                },
            },
            "alternatives": {"on_demand_usd": 100.0},
            "recommendations": [
                {
                    "kind": "raise_max", "service": "api", "before": 4.0, "after": 5.0,
                    "cost_usd": 1.0, "saving_usd": 0.0, "confidence": 0.9, "evidence": {"x": 1.0},
                }
            ],
        }  # fmt: skip

    def _day(self, title: str, start: str) -> Mapping[str, Any]:
        begin = dt.datetime.fromisoformat(start)
        hours = [
            {
                "at": (begin + dt.timedelta(hours=hour)).isoformat(),
                "phase": "ceremony",
                "services": {
                    name: {"requests_per_s": [1.0, 2.0, 3.0], "instances": 2.0 + hour // 6}
                    for name in SERVICES
                },
            }
            for hour in range(24)
        ]
        return {
            "title": title, "generated_at": start, "valid_until": start, "start": start,
            "weddings": 7, "confidence": 0.7, "levels": [0.1, 0.5, 0.9], "hours": hours,
            "peaks": {}, "timeline": [], "notes": [],
        }  # fmt: skip
