"""What the guide adds, added as it says: each file as it stands there, each command run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import warm

FILE = re.compile(r"`(?P<path>[\w/]+\.(?:py|yaml))`:\n\n```\w+\n(?P<text>.*?)```", re.S)
COMMAND = re.compile(r"```bash\n(.*?)```", re.S)
BRIEF = "population.simultaneous=3000 population.duration_s=3600 population.start_utc=18:00"
"""A part of the day is enough to see that it is played."""


def section(repository: Path, title: str) -> str:
    """A section of the guide."""
    text = (repository / "docs" / "guides" / "extend.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def followed(part: str, folder: Path) -> dict[str, Any]:
    """Write the files of a section, run its one command in a part of the day: the summary."""
    for file in FILE.finditer(part):
        path = folder / file["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["text"], encoding="utf-8")
    (command,) = COMMAND.findall(part)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "twin"]
    ended = warm.run("twin", *words[3:], *shlex.split(BRIEF), cwd=folder)
    assert ended.returncode == 0, ended.stderr
    record = folder / ended.stdout.strip().splitlines()[-1]
    content: dict[str, Any] = json.loads((record / "summary.json").read_text())
    return content


@pytest.mark.parametrize(
    ("title", "scenario", "fault"),
    [
        ("Add a scenario", "crowded_sunday", "flash_crowd"),
        ("Add a kind of fault", "noisy_sunday", "neighbour"),
    ],
)
def test_a_scenario_and_a_fault_of_one_s_own_are_played(
    title: str, scenario: str, fault: str, repository: Path, *, tmp_path: Path
) -> None:
    summary = followed(section(repository, title), tmp_path)
    assert summary["scenario"] == scenario
    assert summary["faults"][fault]["fired"] >= 1


def test_a_rule_of_one_s_own_is_followed_and_named(repository: Path, tmp_path: Path) -> None:
    followed(section(repository, "Add a rule"), tmp_path)
    (file,) = (tmp_path / "outputs").glob("licensed/*/decisions.parquet")
    decisions = pd.read_parquet(file)
    own = decisions[decisions["reason"] == "rule"]
    assert set(own["service"]) == {"api"}
    because = r"because the rule licence asks for \d+ \(requests per s "
    asked = own[own["kind"] == "action"]
    assert len(asked) > 0
    assert asked["explanation"].str.contains(because).all()


def test_a_service_of_one_s_own_is_scaled_with_the_others(repository: Path, tmp_path: Path) -> None:
    services = followed(section(repository, "Add a service"), tmp_path)["services"]
    assert len(services) == 6
    book = services["guest-book"]
    assert 0.0 < book["cpu_mean"] < 0.9
    assert 0.005 < book["p50_s"] < 0.1  # 20 ms in the mean
    assert book["instances_max"] >= 3
