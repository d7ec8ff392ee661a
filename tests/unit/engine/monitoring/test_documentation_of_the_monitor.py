"""The catalogue is the code's, and the detector of docs/guides/monitoring.md is a working one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.config.composition import composed
from engine.monitoring.findings import CATALOGUE, FindingKind
from engine.monitoring.monitor import Monitor
from engine.monitoring.reference import catalogue
from engine.monitoring.settings import MonitorSettings
from tests.unit.engine.monitoring.conftest import API, DATABASE, Platform


def test_the_catalogue_of_the_documentation_is_that_of_the_code(repository: Path) -> None:
    text = (repository / "docs" / "guides" / "monitoring.md").read_text(encoding="utf-8")
    assert text.partition("-->\n\n")[2] == catalogue(), "make it again: python -m engine.monitoring"


def test_every_kind_of_finding_is_in_the_catalogue() -> None:
    assert list(CATALOGUE) == list(FindingKind)


def test_the_detector_of_the_documentation_works(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repository / "docs" / "guides" / "monitoring.md").read_text(encoding="utf-8")
    for _, path, body in re.findall(r"```(python|yaml)\n# (\S+)\n(.*?)```", text, re.DOTALL):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    raw = composed(["monitor=mine"], config_dirs=[str(tmp_path / "mine")])
    settings = MonitorSettings.model_validate(raw["monitor"])
    assert {"outlier", "lopsided"} <= set(settings.detectors)
    platform = Platform(Monitor((API, DATABASE), settings))
    platform.steps(5)
    platform.change("database", queue=40.0)
    looks = platform.steps(6)
    (finding,) = [f for findings in looks for f in findings.began]
    assert (finding.kind, finding.service) == (FindingKind.OWN, "database")
    assert finding.noticed_s - finding.since_s == 20.0
    copy = Monitor((API, DATABASE), settings)
    copy.restore(platform.monitor.snapshot())
    assert copy.snapshot() == platform.monitor.snapshot()
