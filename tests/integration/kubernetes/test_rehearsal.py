"""An hour and a half of june_peak on a real control plane, in small, and the same in the twin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.control_plane import tools
from tools.rehearsal.rehearsal import rehearse
from tools.rehearsal.stage import RehearsalPlan

pytestmark = pytest.mark.slow

SMALL = RehearsalPlan(
    begins="peak-21600", scale=0.03, seconds=100, full_s=15, full_for_s=40, killed_s=60,
    killed_for_s=5, most=200, replications=2,
)  # fmt: skip


def test_a_day_with_a_full_cluster_and_a_killed_api_server_leaves_one_record_like_the_twins(
    tmp_path: Path,
) -> None:
    tools()
    said = rehearse(SMALL, tmp_path / "played")
    about = said["about"]
    assert about["unschedulable"] > 0, about
    assert about["actions"] >= 3, about
    (record,) = (tmp_path / "played" / "kubernetes" / "june_peak").iterdir()
    assert str(record) == about["record"]
    for played in (record, *(tmp_path / "played" / "twin" / "june_peak").iterdir()):
        report = (played / "report.html").read_text(encoding="utf-8")
        assert "june_peak" in report
        summary = json.loads((played / "summary.json").read_text(encoding="utf-8"))
        assert summary["slo"]["availability"] > 0.9
    events = [
        json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()
    ]  # fmt: skip
    amiss = [event["kind"] for event in events if event["name"] == "infrastructure"]
    assert "trouble_started" in amiss
    assert amiss[-1] == "trouble_ended"
    assert any("API server" in event["detail"] for event in events)
    assert json.loads((tmp_path / "played" / "comparison.json").read_text())["rows"] == said["rows"]
    for row in said["rows"]:
        live, twin = (float(row[which].split()[0]) for which in ("live", "twin"))
        assert live == pytest.approx(twin, rel=0.15), row
