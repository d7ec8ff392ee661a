"""What the tutorial of the first fifteen minutes shows works as it is typed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests import warm

SMALLER = (
    "population.simultaneous=20000", "population.duration_s=3600",
    'population.start_utc="18:00"', "faults.zone_outage.at=peak-1800",
)  # fmt: skip
"""An hour of the day, in which there is something to decide."""
NAMED = re.compile(r"to `(mine/\S+)`:\n\n```yaml\n(.*?)```", re.DOTALL)
HEADED = re.compile(r"```(?:python|yaml)\n# ([\w/]+\.(?:py|yaml))\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def tutorial(repository: Path) -> str:
    return (repository / "docs" / "tutorials" / "fifteen-minutes.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tutorial: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the tutorial asks for."""
    folder = tmp_path_factory.mktemp("tutorial")
    files = [*NAMED.findall(tutorial), *HEADED.findall(tutorial)]
    assert sorted(name for name, _ in files) == [
        "margin.py", "mine/controller/margin.yaml", "mine/scenario/small_sunday.yaml"
    ]  # fmt: skip
    for name, body in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    return folder


def typed(tutorial: str, word: str) -> list[list[str]]:
    """The commands `python -m twin WORD …`, each as its arguments."""
    lines = re.findall(rf"^python -m twin ({word} .*)$", tutorial, re.M)
    return [shlex.split(line) for line in lines]


def record_of(output: str) -> str:
    return output.strip().splitlines()[-1]


def test_the_days_of_the_tutorial_run_and_a_later_one_is_checked_against_the_first(
    tutorial: str, place: Path
) -> None:
    records = []
    for command in typed(tutorial, "run"):
        result = warm.run("twin", *command, *SMALLER, cwd=place)
        assert result.returncode == 0, result.stderr
        records.append(record_of(result.stdout))
    assert ["engine" in records[0], "hpa" in records[1], len(records)] == [True, True, 2]
    for command in typed(tutorial, "check"):
        arguments = [records[0] if part == "RECORD" else part for part in command]
        result = warm.run("twin", *arguments, cwd=place)
        assert result.returncode == 0, result.stderr


def test_the_controller_of_the_tutorial_takes_part_in_its_comparison(
    tutorial: str, place: Path
) -> None:
    (command,) = typed(tutorial, "compare")
    assert command[-1] == "controllers=[engine,hpa,margin]"
    result = warm.run(
        "twin", *command[:-1], "controllers=[static,margin]", "hpa_targets=[]", *SMALLER,
        "output=out", cwd=place,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (path,) = place.rglob("comparison.json")
    margin = json.loads(path.read_text())["figures"]["margin"]
    assert margin["decision.actions"]["mean"] > 0
    assert margin["cost.total_usd"]["mean"] > 0.0
