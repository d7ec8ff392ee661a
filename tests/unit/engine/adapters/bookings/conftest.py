"""Small feeds: one service, three phases, and a model that anybody can work out by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from engine.model import BootTime, ServiceSpec

NOW_S = dt.datetime(2027, 6, 18, 12, 0, tzinfo=dt.UTC).timestamp()
SPECS = (ServiceSpec("api", 1, 90, 2, 0.1, 1.0, BootTime(5.0, 8.0), 1.0, 0.5, 0.1),)
MODEL: dict[str, Any] = {
    "noun": "weddings",
    "phases": [
        {"name": "before", "starts_s": -3600},
        {"name": "during", "starts_s": 0},
        {"name": "after", "starts_s": 7200},
    ],
    "ends_s": 10800,
    "usual": {"guest": 100, "vendor": 10},
    "rates": {"api": {"guest": {"during": 0.5}, "vendor": {"before": 1.0}}},
    "background": {"api": [5.0] * 24},
    "lateness_sd_s": 0,
    "sigma": 0.1,
}


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A file of the model."""
    import json

    path = tmp_path / "events.json"
    path.write_text(json.dumps(MODEL))
    return str(path)


def at(clock: str) -> float:
    """Epoch seconds of a time on the day after `NOW_S`, UTC."""
    return dt.datetime.fromisoformat(f"2027-06-19T{clock}+00:00").timestamp()
