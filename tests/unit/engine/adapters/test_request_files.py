"""Requests of people, as files: whole, durable, and never able to stop the engine."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from engine.adapters import request_files
from engine.commands import requests
from engine.config.recurrence import Recurrence
from engine.model import Approval, Direction, ManualFloor, Pause
from engine.ports.store import Requests


def test_what_is_asked_for_is_read_back_until_it_expires(tmp_path: Path) -> None:
    floor = ManualFloor("api", 12, 1000.0, "ada")
    pauses = (Pause(), Pause("file-storage", Direction.IN, 500.0, 4))
    request_files.ask(tmp_path, floor)
    for pause in pauses:
        request_files.ask(tmp_path, pause)
    before = request_files.read(tmp_path, 499.0)
    assert before.floors == (floor,)
    assert set(before.pauses) == set(pauses)
    assert request_files.read(tmp_path, 500.0).pauses == (Pause(),)
    assert request_files.read(tmp_path, 1000.0).floors == ()


def test_a_later_request_replaces_the_one_before(tmp_path: Path) -> None:
    request_files.ask(tmp_path, ManualFloor("api", 12, math.inf))
    request_files.ask(tmp_path, ManualFloor("api", 3, math.inf))
    assert [floor.instances for floor in request_files.read(tmp_path, 0.0).floors] == [3]
    assert request_files.withdraw(tmp_path, "floor", "api")
    assert not request_files.withdraw(tmp_path, "floor", "api")
    assert request_files.read(tmp_path, 0.0) == Requests()


def test_what_recurs_holds_when_its_schedule_says_until_it_is_taken_back(tmp_path: Path) -> None:
    six_s = 6 * 3600.0
    six = Recurrence(cron="0 6 * * *", time_zone="UTC", duration_s=60.0)
    seven = Recurrence(cron="0 7 * * *", time_zone="UTC", duration_s=60.0)
    request_files.ask(tmp_path, ManualFloor("api", 3, math.inf, "ada"))
    request_files.ask(tmp_path, ManualFloor("api", 9, math.inf, "ada"), six)
    request_files.ask(tmp_path, ManualFloor("api", 20, math.inf, "ada"), six)
    request_files.ask(tmp_path, ManualFloor("api", 30, math.inf, "ada"), seven)
    request_files.ask(tmp_path, Pause("", Direction.IN, six_s + 30.0), six)
    assert [floor.instances for floor in request_files.read(tmp_path, six_s - 1.0).floors] == [3]
    during = request_files.read(tmp_path, six_s)
    assert set(during.floors) == {
        ManualFloor("api", 3, math.inf, "ada"), ManualFloor("api", 20, six_s + 60.0, "ada"),
    }  # fmt: skip
    assert during.pauses == (Pause("", Direction.IN, six_s + 30.0),)
    assert len(request_files.asked(tmp_path)[0]) == 4
    assert request_files.withdraw(tmp_path, "floor", "api")
    assert request_files.read(tmp_path, six_s).floors == ()
    assert request_files.read(tmp_path, six_s).pauses == during.pauses


def test_an_answer_stays_until_the_engine_has_remembered_it(tmp_path: Path) -> None:
    answer = Approval("api-0123", True, 7.0, "ada")
    request_files.answer(tmp_path, answer)
    assert request_files.read(tmp_path, 8.0).answers == (answer,)
    assert request_files.read(tmp_path, 9.0).answers == (answer,)
    request_files.remove_answers(tmp_path, (answer,))
    assert request_files.read(tmp_path, 9.0).answers == ()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("floor-api.json", "{", "property name"),
        ("floor-api.json", "[1]", "not a mapping"),
        ("floor-api.json", '{"instances": 3}', "'service' is missing"),
        ("floor-api.json", '{"service": "api", "instances": -1}', "-1 is not a count"),
        ("floor-api.json", '{"service": "api", "instances": true}', "True is not a count"),
        ("floor-api.json", '{"service": "api", "instances": 2, "expires_s": NaN}', "not a time"),
        ("pause-api.json", '{"service": "api", "direction": "up"}', "'up' is not a valid"),
        ("floor-api.json", '{"service": "api", "instances": 2, "schedule": 8}', "not a mapping"),
        (
            "floor-api.json",
            '{"service": "api", "instances": 2, "schedule": {"cron": "0 8 * *"}}',
            "schedule.time_zone: is missing; schedule.duration_s: is missing",
        ),
    ],
)
def test_a_file_that_makes_no_sense_is_complained_about_and_the_others_hold(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    request_files.ask(tmp_path, ManualFloor("database", 4, math.inf))
    (tmp_path / request_files.REQUESTS / name).write_text(content)
    requests = request_files.read(tmp_path, 0.0)
    assert [floor.service for floor in requests.floors] == ["database"]
    assert requests.pauses == ()
    assert len(requests.complaints) == 1
    assert complaint in requests.complaints[0]
    assert name in requests.complaints[0]


def test_the_command_line_writes_what_the_engine_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--state", str(tmp_path)]
    assert requests.pause(["api", "--direction", "in", "--for", "30m", *at]) == 0
    assert requests.floor(["database", "9", *at]) == 0
    written = capsys.readouterr()
    assert written.out.splitlines() == ["pause-api", "floor-database"]
    assert "at least 9 instances until it is taken back" in written.err
    standing = request_files.read(tmp_path, 0.0)
    assert [(p.service, p.direction) for p in standing.pauses] == [("api", Direction.IN)]
    assert [(f.service, f.instances) for f in standing.floors] == [("database", 9)]
    assert requests.resume(["api", *at]) == 0
    assert requests.floor(["database", "0", *at]) == 0
    assert request_files.read(tmp_path, 0.0) == Requests()
    assert requests.approve(["api-12ab", *at]) == 0
    assert [a.approved for a in request_files.read(tmp_path, 0.0).answers] == [True]


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


@pytest.mark.parametrize("name", ["../api", "a/b", ".hidden", "a b"])
def test_no_name_of_a_service_leads_out_of_the_folder(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.floor([name, "3", "--state", str(tmp_path / "state")]) == 2
    assert json.dumps(name) in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
