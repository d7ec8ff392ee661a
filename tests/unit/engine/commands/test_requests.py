"""What people ask of an engine is refused when the engine has no such service."""

from __future__ import annotations

import getpass
import json
import math
from pathlib import Path

import pytest

from engine.adapters.request_files import FileDesk
from engine.commands import requests
from engine.config.recurrence import Recurrence
from engine.model import ManualFloor
from engine.ports.desk import request_id


def stepped(state: Path, *services: str) -> Path:
    (state / "status.json").write_text(json.dumps({"services": {name: {} for name in services}}))
    return state


@pytest.mark.parametrize(
    ("ask", "arguments"),
    [(requests.floor, ["databse", "5"]), (requests.pause, ["databse"])],
)
def test_a_service_that_is_none_is_refused_with_the_names_there_are(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ask: object,
    arguments: list[str],
) -> None:
    assert callable(ask)
    state = stepped(tmp_path, "api", "database")
    assert ask([*arguments, "--state", str(state)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert '"databse" is not allowed (api, database); did you mean database?' in said.err
    assert [path.name for path in state.iterdir()] == ["status.json"]


def test_a_service_that_there_is_gets_its_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.floor(["api", "5", "--state", str(stepped(tmp_path, "api"))]) == 0
    assert capsys.readouterr().out == "floor-api\n"
    assert [one.request for one in FileDesk(tmp_path).asked()[0]] == [
        ManualFloor("api", 5, math.inf, getpass.getuser())
    ]


def test_before_any_engine_stepped_the_request_is_kept_and_what_is_not_checked_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.floor(["nosuch", "5", "--state", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    assert "no engine has stepped in" in said.err
    assert said.out == "floor-nosuch\n"
    assert len(FileDesk(tmp_path / "new").asked()[0]) == 1


@pytest.mark.parametrize(
    ("ask", "arguments"),
    [(requests.floor, ["api", "5"]), (requests.pause, []), (requests.pause, ["api", "--pin", "3"])],
)
def test_what_recurs_says_when_it_next_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ask: object, arguments: list[str]
) -> None:
    assert callable(ask)
    when = ["--cron", "0 8 29 2 *", "--time-zone", "Europe/Rome", "--for", "2h"]
    assert ask([*arguments, *when, "--state", str(stepped(tmp_path, "api"))]) == 0
    said = capsys.readouterr()
    assert 'at "0 8 29 2 *" Europe/Rome, for 2 h; next Tue ' in said.err
    [asked] = FileDesk(tmp_path).asked()[0]
    assert said.out.strip() == request_id(asked.request, asked.schedule)
    assert asked.schedule == Recurrence(
        cron="0 8 29 2 *", time_zone="Europe/Rome", duration_s=7200.0
    )
    assert asked.request.expires_s == math.inf


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["5", "--cron", "0 8 * *", "--for", "2h"], '--cron: "0 8 * *" is not allowed (five'),
        (["5", "--cron", "0 8 * * *"], "--cron needs --for"),
        (["5", "--time-zone", "UTC"], "--time-zone needs --cron"),
        (
            ["5", "--cron", "0 8 * * *", "--for", "2h", "--time-zone", "Europe/Rom"],
            '--time-zone: "Europe/Rom" is not allowed',
        ),
        (["5", "--cron", "0 8 * * *", "--for", "8d"], "--for: 691200.0 is not allowed"),
        (["0", "--cron", "0 8 * * *", "--for", "2h"], "it has no --cron"),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        requests.floor(["api", *arguments, "--state", str(tmp_path)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
