"""The command line asks the table as well, and what takes two people takes two there too."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.store import halves, statements
from engine.adapters.store.sqlite import local_desk
from engine.commands import requests
from engine.model import Approval
from engine.ports.cabinet import Cabinet, CabinetError
from engine.ports.desk import RequestError, SoFar
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.security import local
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS
from engine.security.four_eyes import DOCUMENT, Approvals, question
from engine.security.roles import PlatformState, Situation
from engine.security.sealing import SealedCabinet, Sealer, keys_in, made

NOW_S = 1_813_437_000.0
WEEK_S = 7 * 86_400.0


def decided(state: Path, *, before: int = 6, after: int = 4, major: float | None = 1.0,
            asked_by: str = "") -> None:  # fmt: skip
    """A decision in the store, and who asked for it."""
    content = {
        "service": "api", "from_instances": before, "to_instances": after,
        "weddings": {"major_events": major}, "scale_id": "manual-1" if asked_by else "",
    }  # fmt: skip
    rows = [HistoryRow(RowKind.DECISION, "api-12ab", NOW_S, json.dumps(content))]
    if asked_by:
        scale = json.dumps({"requested_by": asked_by})
        rows.append(HistoryRow(RowKind.SCALE, "manual-1", NOW_S, scale))
    with closing(local_desk(state)) as desk:
        desk.database.write(
            lambda to: statements.keep(to, Kept(rows=tuple(rows)), Fence(1))
        ).result()


def answered(state: Path) -> list[tuple[bool, str]]:
    with closing(local_desk(state)) as desk:
        return [
            (bool(json.loads(text)["approved"]), str(json.loads(text)["approver"]))
            for [text] in desk.database.read(
                lambda at: at.execute("SELECT content FROM answers ORDER BY decision_id")
            )
        ]


def run(verb: str, state: Path, decision: str = "api-12ab") -> int:
    return {"approve": requests.approve, "reject": requests.reject}[verb](
        [decision, "--state", str(state)]
    )


def as_user(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(local, "_name", lambda _: name)


def test_a_scale_in_on_the_day_of_a_wedding_waits_for_the_second_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decided(tmp_path)
    as_user(monkeypatch, "pat")
    assert run("approve", tmp_path) == 0
    assert "somebody else has to approve it as well" in capsys.readouterr().err
    assert answered(tmp_path) == []
    assert run("approve", tmp_path) == 2  # the same person once more is not a second one
    as_user(monkeypatch, "PAT")
    assert run("approve", tmp_path) == 2
    as_user(monkeypatch, "sam")
    assert run("approve", tmp_path) == 0
    assert answered(tmp_path) == [(True, "sam")]


@pytest.mark.parametrize("of", [
    {"before": 4, "after": 6}, {"major": 0.0}, {"major": None},
])  # fmt: skip
def test_what_takes_nothing_away_from_a_wedding_takes_one_person(
    tmp_path: Path, of: dict[str, Any]
) -> None:
    decided(tmp_path, **of)
    assert run("approve", tmp_path) == 0
    assert [approved for approved, _ in answered(tmp_path)] == [True]


def test_what_nobody_has_decided_yet_counts_as_the_riskier(tmp_path: Path) -> None:
    with closing(local_desk(tmp_path)) as desk:
        assert question(desk, "api-9", SoFar()) == (
            "api-9", Situation(PlatformState.WEDDING_DAY, scale_in=True)
        )  # fmt: skip
    assert run("approve", tmp_path, "api-9") == 0
    assert answered(tmp_path) == []


def test_who_asked_does_not_approve_it_on_the_command_line_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decided(tmp_path, before=4, after=6, asked_by="pat")
    as_user(monkeypatch, "pat")
    assert run("approve", tmp_path) == 2
    assert "somebody else approves it" in capsys.readouterr().err
    assert answered(tmp_path) == []
    as_user(monkeypatch, "sam")
    assert run("approve", tmp_path) == 0


def test_a_refusal_by_anybody_is_final_also_after_a_first_approval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decided(tmp_path)
    for name, verb, code in (("pat", "approve", 0), ("kim", "reject", 0), ("sam", "approve", 2),
                             ("lee", "reject", 2)):  # fmt: skip
        as_user(monkeypatch, name)
        assert run(verb, tmp_path) == code
    assert "kim has refused it, and that is final" in capsys.readouterr().err
    assert answered(tmp_path) == [(False, "kim")]


def test_who_does_not_own_the_state_asks_for_nothing_and_that_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decided(tmp_path, major=0.0)
    state = ["--state", str(tmp_path)]
    monkeypatch.setattr(local.os, "getuid", lambda: tmp_path.stat().st_uid + 4711)
    for ask, arguments in (
        (requests.floor, ["api", "5"]), (requests.floor, ["api", "0"]), (requests.pause, []),
        (requests.resume, []), (requests.approve, ["api-12ab"]), (requests.reject, ["api-12ab"]),
    ):  # fmt: skip
        assert ask([*arguments, *state]) == 2
        assert "(no role) may not" in capsys.readouterr().err
    with closing(local_desk(tmp_path)) as desk:
        assert desk.asked()[0] == []
    rows = [json.loads(line) for line in (tmp_path / AUDIT / ROWS).read_text().splitlines()]
    assert {row["outcome"] for row in rows} == {"refused"} and len(rows) == 6


def test_what_was_said_is_forgotten_when_the_question_has_long_been_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([NOW_S, NOW_S + 9.0, NOW_S + 10.0])
    with closing(local_desk(tmp_path)) as desk, monkeypatch.context() as patched:
        patched.setattr(halves.time, "time", lambda: next(times))
        for _ in range(2):
            desk.answer(Approval("a", True, 1.0, "pat"), complete=False)
        assert desk.so_far("a") == SoFar(("pat",))
        times = iter([NOW_S + 9.0 + WEEK_S - 1.0, *[NOW_S + 9.0 + WEEK_S] * 3])
        assert desk.so_far("a") == SoFar(("pat",))
        assert desk.so_far("a") == SoFar()
        desk.answer(Approval("b", False, 2.0, "sam"))
        assert desk.so_far("b") == SoFar((), "sam")
        rows = desk.database.read(lambda at: at.execute("SELECT decision_id FROM said"))
        assert rows == [("b",)]


BEFORE = {
    "a": {"at_s": NOW_S, "by": ["pat"], "rejected_by": ""},
    "b": {"at_s": NOW_S, "by": ["pat", "kim"], "rejected_by": "sam"},
}


def test_what_an_earlier_release_kept_in_a_file_is_carried_over_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made()
    sealer = Sealer(lambda: keys_in(key, "here"))
    plain = FileCabinet(tmp_path / FOLDER)
    for cabinet in (plain, SealedCabinet(plain, sealer, ())):
        cabinet.change(DOCUMENT, lambda _: json.dumps(BEFORE))
        with closing(local_desk(tmp_path)) as desk:
            # Killed before the file was gone: what it says is not there twice.
            approvals = Approvals(desk, cabinet)
            with monkeypatch.context() as patched:
                patched.setattr(type(cabinet), "change", killed)
                with pytest.raises(OSError, match="killed"):
                    approvals.so_far("a")
            # Whoever has not asked what was said so far is told that he has missed something.
            no = Approval("a", False, 2.0, "lee")
            with pytest.raises(RequestError, match="look at it again"):
                approvals.give(no, complete=True, seen=SoFar(), audit="")
            assert approvals.so_far("a") == SoFar(("pat",))
            assert approvals.so_far("b") == SoFar(("pat", "kim"), "sam")
            assert plain.names() == []
            # The engine was told of what was complete by whoever completed it.
            assert desk.database.read(lambda at: at.execute("SELECT 1 FROM answers")) == []
            # And it is said once: what is forgotten does not come back.
            desk.database.write(lambda to: to.execute("DELETE FROM said")).result()
            assert approvals.so_far("b") == SoFar()


def killed(self: Cabinet, name: str, edit: object) -> None:
    raise OSError("killed")


def test_the_second_of_two_may_follow_the_first_across_the_change_of_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(tmp_path)
    said_before = {"api-12ab": BEFORE["a"]}
    FileCabinet(tmp_path / FOLDER).change(DOCUMENT, lambda _: json.dumps(said_before))
    as_user(monkeypatch, "pat")
    assert run("approve", tmp_path) == 2
    as_user(monkeypatch, "sam")
    assert run("approve", tmp_path) == 0
    assert answered(tmp_path) == [(True, "sam")]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"a": 1}',
        '{"a": {"at_s": 1.0}}',
        '{"a/b": {"at_s": 1.0, "by": ["pat"], "rejected_by": ""}}',
    ],
)
def test_a_file_of_an_earlier_release_that_cannot_be_read_lets_nothing_pass(
    tmp_path: Path, text: str
) -> None:
    decided(tmp_path)
    FileCabinet(tmp_path / FOLDER).change(DOCUMENT, lambda _: text)
    with closing(local_desk(tmp_path)) as desk, pytest.raises(CabinetError):
        Approvals(desk, FileCabinet(tmp_path / FOLDER)).so_far("a")
    assert run("approve", tmp_path) == 2
    assert answered(tmp_path) == []
    assert FileCabinet(tmp_path / FOLDER).read(DOCUMENT) == text


@pytest.mark.parametrize("text", ["{", "[]", '{"approved_by": []}'])
def test_what_was_said_and_cannot_be_read_lets_nothing_pass(tmp_path: Path, text: str) -> None:
    decided(tmp_path, major=0.0)
    with closing(local_desk(tmp_path)) as desk:
        desk.database.write(
            lambda to: to.execute("INSERT INTO said VALUES ('api-12ab', 9e9, ?)", text)
        ).result()
        with pytest.raises(OSError, match="cannot be read"):
            desk.so_far("api-12ab")
        with pytest.raises(OSError, match="cannot be read"):
            desk.answer(Approval("api-12ab", True, 1.0, "pat"))
    assert run("approve", tmp_path) == 2
    assert answered(tmp_path) == []


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_what_the_store_does_not_take_can_be_said_again_on_the_command_line(
    tmp_path: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided(tmp_path, major=0.0)
    with monkeypatch.context() as patched:

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(statements, "answer", full)
        assert run(verb, tmp_path) == 2
    assert answered(tmp_path) == []
    assert run(verb, tmp_path) == 0
    assert answered(tmp_path) == [(verb == "approve", local.principal(tmp_path).name)]
