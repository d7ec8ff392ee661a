"""`python -m twin detect` and a run with the monitor, from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tests import warm

SHORT = (
    "population.simultaneous=1000", "population.duration_s=3600", 'population.start_utc="18:00"',
)  # fmt: skip


def test_a_world_with_a_fault_is_scored_beside_itself_without(tmp_path: Path) -> None:
    ended = warm.run("twin", "detect", "worlds=2", "saturdays=0", "workers=1", "output=out",
                     cwd=tmp_path)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (path,) = tmp_path.rglob("detection.json")
    assert ended.stdout.strip() == str(path.parent.relative_to(tmp_path))
    results = json.loads(path.read_text())
    assert [row["kind"] for row in results["rows"]] == ["flash_crowd", "slow_service"]
    assert results["without_faults"]["worlds"] == 1
    assert results["all"]["noticed"][0] == 1.0


def test_a_run_with_the_monitor_has_its_findings_and_one_without_has_none(tmp_path: Path) -> None:
    fault = ("faults=slow_database", "faults.slow_database.at=1800",
             "faults.slow_database.factor=4")  # fmt: skip
    for enabled in ("true", "false"):
        ended = warm.run("twin", "run", "scenario=june_peak", *SHORT, *fault,
                         f"monitor.enabled={enabled}", f"output=out-{enabled}",
                         cwd=tmp_path)  # fmt: skip
        assert ended.returncode in (0, 1), ended.stderr
    (path,) = (tmp_path / "out-true").rglob("findings.parquet")
    findings = pd.read_parquet(path)
    slow = findings[(findings["severity"] != "info") & (findings["cause"] == "slowness")]
    assert "database" in set(slow["cause_service"])
    detection = json.loads((path.parent / "summary.json").read_text())["detection"]
    (noticed,) = detection["faults"].values()
    assert noticed["noticed"] and noticed["after_s"] <= 30.0
    assert "Findings of the monitor" in (path.parent / "report.html").read_text()
    (without,) = (tmp_path / "out-false").rglob("summary.json")
    assert "detection" not in json.loads(without.read_text())
    assert not (without.parent / "findings.parquet").exists()


def test_wrong_settings_of_the_monitor_are_refused_with_their_key(tmp_path: Path) -> None:
    for word, key in (
        ("monitor.limits.cpu.critical=0.5", "monitor.limits.cpu"),
        ("+monitor.by_service.apy={}", "monitor.by_service"),
        ("monitor.detectors.outlier.factory=no.such:Thing", "monitor.detectors.outlier.factory"),
    ):
        ended = warm.run("twin", "run", *SHORT, "monitor.enabled=true", word, cwd=tmp_path)
        assert ended.returncode == 2, ended.stderr
        assert key in ended.stderr
        assert "Traceback" not in ended.stderr
