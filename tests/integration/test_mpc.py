"""The controller that plans, in the twin and as the engine's command takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from engine.config.composition import composed
from engine.config.live import handed, parse
from tests import warm

SMALL = (
    "scenario=june_peak",
    "population.simultaneous=3000",
    "population.duration_s=5400",
    'population.start_utc="09:00"',
)


def run(folder: Path, *more: str) -> Path:
    ended = warm.run("twin", "run", "controller=mpc", *SMALL, *more, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder / ended.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("mpc"))


def test_a_morning_is_carried_within_all_bounds_and_steps(record: Path) -> None:
    summary = json.loads((record / "summary.json").read_text())
    assert summary["controller"] == "mpc"
    assert summary["slo"]["violation_minutes"] == 0.0
    assert set(summary["prediction"]) >= {"300", "900", "3600"}
    decisions = pd.read_parquet(record / "decisions.parquet")
    steps = decisions[decisions["kind"] == "action"]
    assert len(steps) > 3
    assert (steps["reason"] == "forecast").all()
    assert steps["explanation"].str.contains("the first step of the cheapest plan at 0.0005").all()
    most = (1.5 * steps["from_instances"]).clip(lower=steps["from_instances"] + 1)
    assert (steps["to_instances"] <= most).all()
    for _, own in steps.groupby("service"):
        assert (own["trigger_s"].diff().dropna() >= 300).all()


def test_the_same_morning_is_the_same_again(record: Path, tmp_path: Path) -> None:
    again = run(tmp_path)
    for name in ("timeline.parquet", "decisions.parquet"):
        one, other = pd.read_parquet(record / name), pd.read_parquet(again / name)
        pd.testing.assert_frame_equal(one, other)


def test_dear_misses_cost_more_instances(record: Path, tmp_path: Path) -> None:
    cost = [
        json.loads((folder / "summary.json").read_text())["cost"]["total_usd"]
        for folder in (record, run(tmp_path, "controller.options.usd_per_missed_request=1"))
    ]
    assert cost[0] < cost[1]


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    ended = warm.run(
        "twin", "run", "controller=mpc", "controller.options.usd_per_missed_request=-1", *SMALL,
        cwd=tmp_path,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "controller.options.usd_per_missed_request: -1 is not allowed" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_live_engine_may_be_driven_by_it() -> None:
    raw = composed(["controller=mpc"], root="live")
    config = parse(raw)
    handed(config, raw)
    assert config.controller.name == "mpc"
