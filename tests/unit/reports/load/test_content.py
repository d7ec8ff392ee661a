from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import reports


def summary(**changes: Any) -> dict[str, Any]:
    """A load test whose api was slow because others were in flight."""
    counts = {
        "intended": 100, "sent": 90, "retried": 0, "ok": 88, "failed": 1, "shed": 1, "timed_out": 0,
        "slow": 40, "late": 0, "held": 40, "dropped": 10, "unfinished": 0,
    }  # fmt: skip
    times = {"p50_s": 0.4, "p95_s": 4.25, "p99_s": 5.0, "max_s": 6.0}
    service = {
        **counts, "violation_ratio": 0.52, "availability": 0.9, "slo_p95_s": 0.5, **times,
        "answered": times | {"p95_s": 0.3},
    }  # fmt: skip
    return {
        "schema": 1, "scenario": "june_peak", "seed": 1, "scale": 0.0005, "speed": 60.0,
        "host": "http://127.0.0.1:8080", "from": "2027-06-19T20:00:00+00:00", "scenario_s": 1200,
        "started_at": "2026-11-24T03:00:00+00:00", "wall_s": 20.0, "partial": False,
        "requests": {**counts, "peak_rate_per_s": 9.0},
        "slo": {"violation_ratio": 0.52, "availability": 0.9},
        "services": {"api": service},
        "roles": {"guest": 100}, "reasons": {"api: HTTP 503 <b>|": 1}, "left_out": [],
        "coordinated_omission": {
            "api": {"felt_p95_s": 4.25, "answered_p95_s": 0.3, "hidden_p95_s": 3.95},
        },
        "generator": {"workers": 2, "lost_workers": 0, "unsent": 0, "unsent_ratio": 0.0,
                      "late_after_s": 0.05, "late_ratio": 0.001, "busy_ratio": 0.0,
                      "held_ratio": 0.4, "lateness": times, "peak_in_flight": 60,
                      "max_in_flight": 60, "cpu_mean": 0.5, "cpu_max": None, "saturated": False},
        "verdict": "failed",
        "thresholds": [{"name": "p95", "metric": "api.p95_s", "operator": "<=", "limit": 0.5,
                        "value": 4.25, "outcome": "failed"}],
    } | changes  # fmt: skip


@pytest.fixture
def record(small_record: Path, tmp_path: Path) -> Path:
    folder = shutil.copytree(small_record, tmp_path / "record")
    (folder / "load_summary.json").write_text(json.dumps(summary()))
    seconds = pd.DataFrame(
        {
            "time_s": [1000.0 + i for i in range(20)],
            "service": "api",
            "scenario_time_s": [1000.0 + 60 * i for i in range(20)],
            "intended": 5,
            "ok": 4,
            **dict.fromkeys(
                ("sent", "retried", "failed", "shed", "timed_out", "slow", "late", "held"), 0
            ),
            "dropped": 0,
            "p50_s": 0.4,
            "p95_s": [None] * 3 + [4.0] * 17,
            "p99_s": 5.0,
            "lateness_max_s": 0.0,
            "answered_p95_s": [None] * 3 + [0.3] * 17,
        }
    )
    seconds.to_parquet(folder / "load.parquet", index=False)
    return folder


def test_a_load_test_gets_a_section_with_a_plot(record: Path) -> None:
    reports.write(record)
    page, text = (record / "report.html").read_text(), (record / "report.md").read_text()
    assert "Load as sent and as felt" in page
    assert "the load test over time" in page  # the plot's label
    assert "HTTP 503 &lt;b&gt;|" in page
    assert "## Load as sent and as felt" in text
    for report in (page, text):
        assert "100 requests were due in 20" in report
        assert "not all of its limits were kept" in report
        assert "4.25" in report
        assert "2 processes sent" in report


def test_without_a_load_test_there_is_no_such_section(small_record: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(small_record, tmp_path / "record")
    reports.write(folder)
    assert "Load as sent" not in (folder / "report.html").read_text()
    assert "Load as sent" not in (folder / "report.md").read_text()


def test_a_generator_that_could_not_keep_up_is_no_verdict_on_the_system(record: Path) -> None:
    changed = summary(verdict="not judged", partial=True)
    (record / "load_summary.json").write_text(json.dumps(changed))
    reports.write(record)
    text = (record / "report.md").read_text()
    assert "nothing is said about the system" in text
    assert "stopped before its end" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("load_summary.json", "{", "load_summary.json: is not JSON"),
        ("load_summary.json", "{}", "load_summary.json: schema: is missing"),
        ("load.parquet", "", "load.parquet: is not a readable Parquet file"),
    ],
)
def test_a_broken_file_is_named(record: Path, name: str, content: str, message: str) -> None:
    (record / name).write_text(content)
    with pytest.raises(reports.RecordError, match=message):
        reports.write(record)
