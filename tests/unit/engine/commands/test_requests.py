"""What people ask of an engine is refused when the engine has no such service."""

from __future__ import annotations

import getpass
import json
import math
import time
from pathlib import Path

import pytest

from engine.adapters.store import statements
from engine.adapters.store.sqlite import FILE, local_desk
from engine.commands import requests
from engine.config.recurrence import Recurrence
from engine.model import ManualFloor
from engine.ports.desk import request_id
from engine.ports.lease import Fence


def stepped(state: Path, *services: str) -> Path:
    text = json.dumps({"services": {name: {} for name in services}})
    desk = local_desk(state)
    desk.database.write(lambda to: statements.show(to, text, Fence(1))).result()
    desk.close()
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
    assert [path.name for path in state.iterdir()] == [FILE]


def test_a_service_that_there_is_gets_its_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.floor(["api", "5", "--state", str(stepped(tmp_path, "api"))]) == 0
    assert capsys.readouterr().out == "floor-api\n"
    assert [one.request for one in local_desk(tmp_path).asked()[0]] == [
        ManualFloor("api", 5, math.inf, getpass.getuser())
    ]


def test_before_any_engine_stepped_the_request_is_kept_and_what_is_not_checked_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.floor(["nosuch", "5", "--state", str(tmp_path / "new")]) == 0
    said = capsys.readouterr()
    assert "no engine has stepped in" in said.err
    assert said.out == "floor-nosuch\n"
    assert len(local_desk(tmp_path / "new").asked()[0]) == 1


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
    [asked] = local_desk(tmp_path).asked()[0]
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


@pytest.mark.parametrize("name", ["../api", "a/b", ".hidden", "a b"])
def test_no_name_of_a_service_is_asked_for_that_none_can_have(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.floor([name, "3", "--state", str(tmp_path / "state")]) == 2
    assert json.dumps(name) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_taken_back_stands_no_longer_and_a_refusal_is_final(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--state", str(stepped(tmp_path, "api", "database"))]
    assert requests.pause(["api", "--direction", "in", "--for", "30m", *at]) == 0
    assert requests.floor(["database", "9", *at]) == 0
    assert requests.resume(["api", *at]) == 0
    assert requests.floor(["database", "0", *at]) == 0
    assert requests.resume(["api", *at]) == 0
    assert "api: there is no pause" in capsys.readouterr().err
    assert local_desk(tmp_path).asked() == ([], [])
    assert requests.reject(["api-12ab", *at]) == 0
    assert requests.approve(["api-12ab", *at]) == 2
    assert "has refused it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["floor", "api"],
        ["floor", "api", "-3"],
        ["floor", "api", "many"],
        ["floor", "api", "3", "--for", "soon"],
        ["floor", "api", "3", "--for", "0m"],
        ["pause", "--pin", "3"],
        ["pause", "--direction", "sideways"],
    ],
)
def test_bad_arguments_are_refused_and_write_nothing(tmp_path: Path, arguments: list[str]) -> None:
    name, *rest = arguments
    with pytest.raises(SystemExit) as refused:
        getattr(requests, name)([*rest, "--state", str(tmp_path)])
    assert refused.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / FILE).write_text("no store")
    assert requests.floor(["api", "5", "--state", str(tmp_path)]) == 2
    assert f"error: {tmp_path / FILE}: file is not a database" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "begins_s"),
    [
        ({"time_s": 1_000_000.0, "clock": "world"}, 1_000_000.0),  # a season that is over
        ({"time_s": 4e9}, 4e9),  # one to come
        ({"time_s": 1_000_000.0}, None),  # an engine that has stood still since
        ({"time_s": None}, None),
        ({}, None),
    ],
)
def test_for_how_long_is_said_in_the_time_of_the_engine_that_is_asked(
    tmp_path: Path, status: dict[str, object], begins_s: float | None
) -> None:
    text = json.dumps({"services": {"api": {}}, **status})
    desk = local_desk(tmp_path)
    desk.database.write(lambda to: statements.show(to, text, Fence(1))).result()
    before_s = time.time()
    assert requests.floor(["api", "5", "--for", "2h", "--state", str(tmp_path)]) == 0
    assert requests.reject(["api-1", "--state", str(tmp_path)]) == 0
    begins = (begins_s, begins_s) if begins_s is not None else (before_s, time.time())
    [floor] = [one.request for one in desk.asked()[0]]
    [answer] = desk.database.read(lambda at: statements.requests(at, 0.0)).answers
    desk.close()
    assert begins[0] <= floor.expires_s - 7200.0 <= begins[1]
    assert begins[0] <= answer.time_s <= begins[1]
