"""`python -m engine monitor`: what is watched and how often, by the engine's store."""

from __future__ import annotations

import getpass
import json
import math
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store import statements
from engine.adapters.store.sqlite import local_desk
from engine.commands import monitor
from engine.model import MonitoringSession
from engine.monitoring.sessions import OWN, session_document
from engine.ports.lease import Fence

NOW_S = 4_000_000_000.0
"""Of an engine that lives through another time than this machine."""


def shown(state: Path, *, watches: bool = True) -> list[str]:
    """The words that name a state in which an engine has stepped, with its monitor or without."""
    own = session_document(MonitoringSession(OWN, (), 5.0, (), NOW_S - 60.0), NOW_S)
    status: dict[str, Any] = {"time_s": NOW_S, "services": {}}
    if watches:
        status["monitor"] = {
            "sessions": [own | {"looks": 12}], "services": ["api", "database"], "unwatched": [],
        }  # fmt: skip
    desk = local_desk(state)
    desk.database.write(lambda to: statements.show(to, json.dumps(status), Fence(1))).result()
    desk.close()
    return ["--state", str(state)]


def standing(state: Path) -> list[MonitoringSession]:
    return [
        one.request
        for one in local_desk(state).asked()[0]
        if isinstance(one.request, MonitoringSession)
    ]


def test_a_session_is_started_listed_and_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = shown(tmp_path)
    words = ["start", "api", "--every", "30s", "--kinds", "cpu,errors", "--for", "10m"]
    assert monitor.run([*words, *engine]) == 0
    said = capsys.readouterr()
    assert said.err == "api: watched every 30 s\n"
    (one,) = standing(tmp_path)
    assert said.out == f"{one.id}\n"
    assert (one.services, one.every_s, one.kinds) == (("api",), 30.0, ("cpu", "errors"))
    assert (one.since_s, one.until_s, one.requested_by) == (
        NOW_S, NOW_S + 600.0, getpass.getuser(),
    )  # fmt: skip
    assert monitor.run(engine) == 0
    own, other = capsys.readouterr().out.splitlines()
    assert own.startswith(f"{OWN}: running, all services every 5 s, all findings, since 2096-10-02")
    assert own.endswith("12 looks, asked for by ")
    assert other.startswith(f"{one.id}: running, api every 30 s, cpu, errors, since ")
    assert monitor.run(["end", one.id, *engine]) == 0
    assert capsys.readouterr().err == f"{one.id}: ended\n"
    (over,) = standing(tmp_path)
    assert (over.until_s, over.ended_by) == (NOW_S, getpass.getuser())
    assert NOW_S < over.expires_s < math.inf


def test_the_own_session_stays_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = shown(tmp_path)
    assert monitor.run(["end", OWN, *engine]) == 0
    capsys.readouterr()
    assert monitor.run(["list", *engine]) == 0
    assert f"{OWN}: ended by {getpass.getuser()}" in capsys.readouterr().out
    (over,) = standing(tmp_path)
    assert math.isinf(over.expires_s)


@pytest.mark.parametrize(
    ("words", "watches", "complaint"),
    [
        (["start", "apj"], True, 'services: "apj" is not allowed (api, database)'),
        (["start", "--every", "7s"], True, "every_s: 7 is not allowed (5 … 3600 seconds in steps"),
        (["start", "--kinds", "cpus"], True, 'kinds: "cpus" is not allowed (cpu, memory'),
        (["end", "engin"], True, "did you mean engine?"),
        (["list"], False, "runs without the monitor, or has not stepped yet"),
        (["start"], False, "runs without the monitor, or has not stepped yet"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed_and_leaves_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    watches: bool,
    *,
    complaint: str,
) -> None:
    assert monitor.run([*words, *shown(tmp_path, watches=watches)]) == 2
    assert complaint in capsys.readouterr().err
    assert standing(tmp_path) == []


@pytest.mark.parametrize(
    "words", [["end"], ["end", "a", "b"], ["list", "x"], ["list", "--every", "5s"], ["mute"]]
)
def test_words_that_make_no_question_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        monitor.run([*words, "--state", str(tmp_path)])
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err
