"""A day with warm replicas of the database, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests import warm as processes

WARM = "+platform.services.database.warm"
SMALL = [
    "scenario=flash_crowd", "population.simultaneous=10000", "population.duration_s=5400",
    'population.start_utc="21:00"', "thresholds={}", "seed=3",
    "faults.flash_crowd.at=2700", "faults.flash_crowd.hold_s=600",
]  # fmt: skip


def run(folder: Path, *overrides: str) -> Path:
    done = processes.run("twin", "run", *SMALL, *overrides, f"output={folder}")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("warm")
    return run(folder / "cold"), run(folder / "warm", "platform=wedsync_warm")


def test_a_surge_is_missed_by_less_with_replicas_held_warm(records: tuple[Path, Path]) -> None:
    cold, warm = (json.loads((folder / "summary.json").read_text()) for folder in records)
    assert warm["slo"]["violation_ratio"] < 0.6 * cold["slo"]["violation_ratio"]
    database = warm["services"]["database"]
    assert 0.0 < warm["cost"]["warm_usd"] == database["warm_usd"] < database["cost_usd"]
    assert warm["cost"]["total_usd"] == pytest.approx(
        sum(service["cost_usd"] for service in warm["services"].values())
    )
    assert "warm_usd" not in cold["cost"]
    assert all("warm_usd" not in service for service in cold["services"].values())


def test_the_record_and_the_report_say_what_was_held_and_why(records: tuple[Path, Path]) -> None:
    cold, warm = records
    timeline = pd.read_parquet(warm / "timeline.parquet")
    held = timeline[timeline["service"] == "database"]["warm"]
    assert held.max() > 1
    assert (timeline[timeline["service"] != "database"]["warm"] == 0).all()
    assert "warm" not in pd.read_parquet(cold / "timeline.parquet").columns
    decisions = pd.read_parquet(warm / "decisions.parquet")
    asked = decisions[decisions["kind"] == "warm"]
    assert set(asked["service"]) == {"database"}
    assert (asked["reason"] == "surge").all()
    assert "completed" in set(asked["outcome"])
    assert re.match(r"database: hold 0 → \d+ warm because they carry a surge of up to",
                    asked["explanation"].iloc[0])  # fmt: skip
    # No step of the service is among them, and none of them among its steps.
    summary = json.loads((warm / "summary.json").read_text())
    assert "surge" not in summary["decision"]["by_reason"]
    report = (warm / "report.md").read_text()
    assert "for instances of database held warm." in report
    assert "held warm" not in (cold / "report.md").read_text()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (f"{WARM}={{price_share: 1.5, boot_share: 0.1, max: 9}}", "warm.price_share: 1.5"),
        (f"{WARM}={{price_share: 0.1, boot_share: -0.1, max: 9}}", "warm.boot_share: -0.1"),
        (f"{WARM}={{price_share: 0.1, boot_share: 0.1, max: -1}}", "warm.max: -1"),
        (f"{WARM}={{price_share: 0.1, boot_share: 0.1}}", "warm.max"),
        ("engine.surge.per_day=-1", "engine.surge.per_day: -1"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(override: str, words: str, tmp_path: Path) -> None:
    done = processes.run("twin", "run", override, f"output={tmp_path}")
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
