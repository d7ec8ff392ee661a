"""`python -m twin learn`, and runs with what it learned or with what is no model."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.config.strict import ConfigError
from tests import warm
from twin.forecast import learn

SMALL = (
    "population.simultaneous=400",
    "population.duration_s=9000",
    'population.start_utc="17:00"',
)
SHORTER = "population.duration_s=3600"
"""What is learned of reaches two hours ahead; a run with it need not be as long."""


def twin(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", *arguments, cwd=folder)


def ran(folder: Path, model: str) -> tuple[Path, dict[str, Any]]:
    given = (*SMALL, SHORTER, f"engine.forecast.artefact={model}", "output=out")
    done = twin("run", *given, folder=folder)
    assert done.returncode == 0, done.stderr
    record = folder / done.stdout.splitlines()[-1]
    return record, json.loads((record / "summary.json").read_text())


@pytest.mark.slow
def test_what_was_learned_is_used_and_what_is_damaged_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    done = twin("learn", "out=m/blend.skops", "seed=9", "replications=2", *SMALL, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "m/blend.skops\n"
    again = twin("learn", "out=m/again.skops", "seed=9", "replications=2", *SMALL, folder=tmp_path)
    assert again.returncode == 0
    model = tmp_path / "m" / "blend.skops"
    assert model.read_bytes() == (tmp_path / "m" / "again.skops").read_bytes()

    record, summary = ran(tmp_path, "m/blend.skops")
    assert summary["forecaster"] == {
        "kind": "learned", "artefact": "m/blend.skops", "refused": "",
    }  # fmt: skip
    assert "With what m/blend.skops learned" in (record / "report.md").read_text()

    model.write_bytes(model.read_bytes()[:-100])
    record, summary = ran(tmp_path, "m/blend.skops")
    assert summary["forecaster"]["kind"] == "schedule"
    assert "m/blend.skops" in summary["forecaster"]["refused"]
    assert "was refused, so the engine went by the schedule alone" in (
        record / "report.md"
    ).read_text().replace("\\", "")
    events = [json.loads(line) for line in (record / "events.jsonl").read_text().splitlines()]
    assert [event["kind"] for event in events] == ["model_refused"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["days=[yesterday]"], r'days: "yesterday" is not allowed'),
        (["days=[2027-02-30]"], r'days: "2027-02-30" is not allowed'),
        (["--days"], r"--days: unknown option"),
        (["controller=hpa"], r"controller: is not allowed here"),
        (["engine.forecast.artefact=x"], r"engine\.forecast\.artefact: is not allowed here"),
        (["out="], r"out: is empty"),
        (["out=."], r"out: is missing"),
        (["+controller=hpa"], r"controller: is not allowed here"),
    ],
)
def test_what_learn_cannot_read_is_named(arguments: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        learn.read(arguments)
