"""`replications=N`, as it is typed: the same run, and others beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests import warm

SMALL = (
    "population.simultaneous=100",
    "population.duration_s=1800",
    'population.start_utc="19:00"',
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", "run", *SMALL, f"output={folder}", *arguments)


def record_of(ended: subprocess.CompletedProcess[str]) -> Path:
    assert ended.returncode == 0, ended.stderr
    return Path(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    limit = '+thresholds.worst="replications.slo.violation_ratio.high <= 0.5"'
    ended = run(tmp_path_factory.mktemp("many"), "replications=3", limit)
    return record_of(ended)


def test_the_record_is_that_of_the_run_alone(replicated: Path, tmp_path: Path) -> None:
    alone = record_of(run(tmp_path, "replications=1"))
    for name in ("timeline.parquet", "decisions.parquet", "weddings.parquet", "events.jsonl"):
        assert (alone / name).read_bytes() == (replicated / name).read_bytes()
    assert not (alone / "replications.parquet").exists()
    assert "replications" not in json.loads((alone / "summary.json").read_text())


def test_every_replication_is_a_run_that_can_be_made_alone(
    replicated: Path, tmp_path: Path
) -> None:
    runs = pd.read_parquet(replicated / "replications.parquet")
    assert runs["replication"].tolist() == [0, 1, 2]
    last = runs.iloc[2]
    alone = record_of(run(tmp_path, f"seed={runs['seed'].iloc[2]}"))
    summary = json.loads((alone / "summary.json").read_text())
    assert summary["cost"]["total_usd"] == last["cost.total_usd"]
    assert summary["requests"]["total"] == last["requests.total"]
    assert summary["services"]["api"]["p95_s"] == last["services.api.p95_s"]


def test_the_summary_and_the_report_give_the_interval(replicated: Path) -> None:
    summary = json.loads((replicated / "summary.json").read_text())
    runs = pd.read_parquet(replicated / "replications.parquet")
    interval = summary["replications"]["cost"]["total_usd"]
    assert interval["mean"] == pytest.approx(runs["cost.total_usd"].mean())
    assert interval["low"] <= interval["mean"] <= interval["high"]
    assert summary["replications"]["count"] == 3
    (threshold,) = [t for t in summary["thresholds"] if t["name"] == "worst"]
    assert threshold["value"] == summary["replications"]["slo"]["violation_ratio"]["high"]
    assert "Other seeds" in (replicated / "report.md").read_text()
    assert 'id="replications"' in (replicated / "report.html").read_text()


def test_controllers_meet_the_same_demand_in_each_replication(
    replicated: Path, tmp_path: Path
) -> None:
    other = record_of(
        run(tmp_path, "replications=2", "controller=static", "engine.capacity.max_utilisation=0.2")
    )
    ours, theirs = (
        pd.read_parquet(folder / "replications.parquet") for folder in (replicated, other)
    )
    ours = ours.iloc[:2]  # the first of three are those of two
    assert ours["seed"].tolist() == theirs["seed"].tolist()
    same = "weddings.peak_simultaneous"
    assert ours[same].tolist() == theirs[same].tolist()
    assert ours["cost.total_usd"].tolist() != theirs["cost.total_usd"].tolist()


def test_the_same_replications_give_the_same_bytes(replicated: Path, tmp_path: Path) -> None:
    limit = '+thresholds.worst="replications.slo.violation_ratio.high <= 0.5"'
    again = record_of(run(tmp_path, "replications=3", limit))
    name = "replications.parquet"
    assert (again / name).read_bytes() == (replicated / name).read_bytes()


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "10001", "many"])
def test_a_wrong_number_is_refused(count: str, tmp_path: Path) -> None:
    ended = run(tmp_path, f"replications={count}")
    assert ended.returncode == 2
    assert "replications" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_limit_on_replications_that_there_are_not_is_refused(tmp_path: Path) -> None:
    limit = '+thresholds.worst="replications.slo.violation_ratio.high <= 0.5"'
    ended = run(tmp_path, limit)
    assert ended.returncode == 2
    assert "thresholds.worst" in ended.stderr
