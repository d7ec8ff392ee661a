"""The demonstration: one command from nothing to a run record, and nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from tests.integration.staging.conftest import staged


@pytest.mark.load
@pytest.mark.slow
def test_a_day_is_played_and_only_its_record_is_left(folder: Path, tmp_path: Path) -> None:
    played = staged(
        "demo", f"folder={folder}", f"demo.output={tmp_path}",
        "demo.duration_s=480", "demo.lead_s=5", 'demo.thresholds=["slo.availability >= 0.9"]',
        "~demo.engine_thresholds.missed",
        "demo.engine_thresholds.availability='slo.availability >= 0.9'",
        # A busy machine serves and decides the same, only later.
        "demo.engine_thresholds.emergency='decision.emergency_s.max <= 3600'",
        *(f"platform.services.{name}.client.timeout_s=600"
          for name in ("api", "file-storage", "real-time")),
    )  # fmt: skip
    assert played.returncode == 0, played.stderr
    record = Path(played.stdout.splitlines()[-1])
    load = json.loads((record / "load_summary.json").read_text())
    assert load["requests"]["ok"] > 100
    assert load["verdict"] == "passed"
    summary = json.loads((record / "summary.json").read_text())
    assert summary["decision"]["actions"] >= 1
    outcomes = {limit["name"]: limit["outcome"] for limit in summary["thresholds"]}
    assert outcomes.keys() == {"availability", "emergency"}
    assert outcomes["availability"] == "passed"
    assert outcomes["emergency"] in ("passed", "not judged")  # a calm stretch has no emergency
    assert (record / "report.html").exists()
    assert not folder.exists()
    left = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
    assert not [words for words in left if str(folder) in " ".join(words)]
