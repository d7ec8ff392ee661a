"""What a report warns of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import reports
from reports.run import reading, story

Make = Callable[..., Any]


ONE = {"api": (0.31, 400.0, 0.5, 0.096, 60)}
"""Services of a record for what does not depend on them: most of the time goes into their plots."""


def test_a_service_beyond_what_the_fluid_is_verified_for_gets_a_warning(
    made: Make, tmp_path: Path
) -> None:
    kept = made(services=ONE)
    name = next(iter(kept.summary["services"]))
    kept.summary["services"][name]["unverified_share"] = 0.25
    kept.write(tmp_path / "warned")
    reports.write(tmp_path / "warned")
    warned = (tmp_path / "warned" / "report.md").read_text()
    assert "Warning: with few slots" in warned
    assert f"{name} 25 %" in warned
    kept.summary["services"][name]["unverified_share"] = 0.005
    kept.write(tmp_path / "quiet")
    reports.write(tmp_path / "quiet")
    assert "Warning" not in (tmp_path / "quiet" / "report.md").read_text()


def test_a_fault_that_did_nothing_is_warned_of(made: Make, tmp_path: Path) -> None:
    whole = made(60)
    whole.summary["faults"] = {
        "stock_out": {"kind": "capacity_shortage", "fired": 0},
        "crowd": {"kind": "flash_crowd", "fired": 12},
    }
    texts = story.tell(reading.load(whole.write(tmp_path / "r")))
    (warning,) = [text for text in texts.caveats if "met nothing" in text]
    assert warning.startswith("Warning: stock out met nothing to spoil")
