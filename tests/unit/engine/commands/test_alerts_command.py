"""`python -m engine alerts`: what is wrong, and who takes it on, by the engine's store."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store import statements
from engine.adapters.store.sqlite import local_desk
from engine.commands import alerts
from engine.model import AlertAnswer
from engine.ports.lease import Fence

INCIDENT = {
    "id": "database.slowness-1", "service": "database", "severity": "critical", "level": 1,
    "opened_s": 1_781_870_400.0, "acknowledged_by": "", "words": ["database: slow"],
}  # fmt: skip
FINDING = {
    "service": "database", "severity": "critical", "kind": "response_time",
    "since_s": 1_781_870_390.0, "causes": [{"words": "each request takes 4 times as long"}],
}  # fmt: skip


def shown(state: Path, monitor: dict[str, Any] | None) -> list[str]:
    """The words that name a state in which an engine with this monitor has stepped."""
    status: dict[str, Any] = {"time_s": 1_781_870_460.0, "services": {"database": {}}}
    if monitor is not None:
        status["monitor"] = monitor
    desk = local_desk(state)
    desk.database.write(lambda to: statements.show(to, json.dumps(status), Fence(1))).result()
    desk.close()
    return ["--state", str(state)]


def wrong(**changes: Any) -> dict[str, Any]:
    return {"alerts": [INCIDENT | changes], "findings": [FINDING]}


def answers(state: Path) -> list[AlertAnswer]:
    return [
        one.request for one in local_desk(state).asked()[0] if isinstance(one.request, AlertAnswer)
    ]


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "told up to level 1"),
        ({"level": 0}, "not told yet"),
        ({"acknowledged_by": "ann"}, "acknowledged by ann"),
    ],
)
def test_incidents_are_listed_with_who_knows_of_them_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], state: str
) -> None:
    assert alerts.run(["list", *shown(tmp_path, wrong(**changes))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"database.slowness-1: critical, since 2026-06-19 12:00:00 UTC, {state}",
        "    database: slow",
        "  database: critical response_time, since 2026-06-19 11:59:50 UTC"
        " (each request takes 4 times as long)",
    ]


def test_where_nothing_is_wrong_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alerts.run(shown(tmp_path, {"alerts": [], "findings": []})) == 0
    assert capsys.readouterr().out == "no incident\n"


@pytest.mark.parametrize(
    ("word", "escalates", "said"),
    [("ack", False, "acknowledged"), ("escalate", True, "the next people are told")],
)
def test_an_answer_stands_for_the_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, escalates: bool, *, said: str
) -> None:
    assert alerts.run([word, "database.slowness-1", *shown(tmp_path, wrong())]) == 0
    assert capsys.readouterr().err == f"database.slowness-1: {said}\n"
    (answer,) = answers(tmp_path)
    assert (answer.incident, answer.service, answer.escalates, answer.requested_by) == (
        "database.slowness-1", "database", escalates, getpass.getuser(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "monitor", "complaint"),
    [
        (["ack", "database.slownes-1"], wrong(), "did you mean database.slowness-1?"),
        (["ack", "x"], {"alerts": [], "findings": []}, '"x" is not allowed (there is none)'),
        (["list"], None, "runs without the monitor, or has not stepped yet"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    monitor: dict[str, Any] | None,
    *,
    complaint: str,
) -> None:
    assert alerts.run([*words, *shown(tmp_path, monitor)]) == 2
    assert complaint in capsys.readouterr().err
    assert answers(tmp_path) == []


@pytest.mark.parametrize("words", [["ack"], ["list", "x"], ["mute", "x"]])
def test_words_that_make_no_question_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        alerts.run([*words, "--state", str(tmp_path)])
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err
