"""What another engine did is shown as if this one had done it, once."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.store.letters import PLAIN
from engine.adapters.store.sqlite import SqliteFile
from engine.api.others import Others, following
from engine.model import Action, ActionResult, Plan, Quantity, Status
from engine.ports.desk import KeptRow
from engine.ports.lease import Fence
from engine.ports.notifier import Alert, AlertState
from engine.ports.store import HistoryRow, RowKind
from engine.runtime.outbox import Outbox
from tests.unit.engine.api.conftest import NOW_S, Engine, action
from tests.unit.engine.api.test_events import parsed


class Other:
    """Another engine, whose rows come to this one's board."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.outbox = Outbox()
        self.others = Others(engine.context.board)
        self.last = engine.context.board.events.newest
        self.position = 0

    def hand_over(self) -> list[tuple[str, Any]]:
        """Its rows; what this engine's clients hear of them."""
        rows = self.outbox.rows(NOW_S)
        self.outbox.kept(rows)
        for row in rows:
            self.position += 1
            self.others.take(KeptRow(self.position, Fence(7), row))
        return self.heard()

    def heard(self) -> list[tuple[str, Any]]:
        """What clients hear since the last time."""
        answer = self.engine.context.board.events.after(self.last, None)
        assert answer is not None
        self.last, text = answer
        return [(event["event"], event["data"]) for event in parsed(text.decode())]

    def decides(self, one: Action, doing: str = "acts") -> None:
        self.outbox.decided((one,), doing)
        if doing == "acts":
            self.outbox.intend((one,), NOW_S)


@pytest.fixture
def other(engine: Engine) -> Other:
    return Other(engine)


def test_a_decision_and_its_results_look_as_this_engines_own(engine: Engine, other: Other) -> None:
    engine.step(Plan(actions=(action("own"),)))
    (_, own), _ = other.heard()
    other.decides(action("d1"))
    other.outbox.result(ActionResult("d1", Status.ACCEPTED, NOW_S + 1.0))
    other.outbox.result(ActionResult("d1", Status.COMPLETED, NOW_S + 9.0))
    events = other.hand_over()
    assert [kind for kind, _ in events] == ["decision", "result", "result"]
    decision = events[0][1]
    assert decision["lead"] == 7
    assert set(decision) - {"lead"} == set(own)
    same = ("kind", "service", "from_instances", "to_instances", "reason", "category", "outcome",
            "confidence", "rollback_to", "evidence", "explanation")  # fmt: skip
    assert {key: decision[key] for key in same} == {key: own[key] for key in same}
    assert events[-1][1]["outcome"] == "completed"
    assert events[-1][1]["accepted_s"] == NOW_S + 1.0
    row = engine.context.board.decisions.action("d1")
    assert row is not None
    assert row["completed_s"] == NOW_S + 9.0
    assert "lead" not in row


def test_a_question_is_an_approval_and_a_decision_once_it_is_done(other: Other) -> None:
    other.decides(action("d1", scale_id="s1"), "asks")
    [(kind, asked)] = other.hand_over()
    assert (kind, asked["outcome"], asked["scale_id"]) == ("approval", "awaiting", "s1")
    other.outbox.intend((action("d1"),), NOW_S)
    [(kind, decided)] = other.hand_over()
    assert (kind, decided["outcome"]) == ("decision", "requested")
    assert decided["number"] == asked["number"]


def test_a_recommendation_and_a_change_of_what_is_held_warm_say_so(other: Other) -> None:
    other.decides(action("d1"), "would")
    other.decides(action("d2", quantity=Quantity.WARM))
    [(_, only), (_, warm)] = other.hand_over()
    assert only["outcome"] == "dry_run"
    assert (only["kind"], warm["kind"]) == ("action", "warm")


def test_a_trouble_of_another_is_one_here(other: Other) -> None:
    other.outbox.alert(Alert(NOW_S, "metrics", AlertState.STARTED, "it is silent"))
    other.outbox.alert(Alert(NOW_S, "api", AlertState.ENDED, "it is back"))
    [(kind, first), (_, second)] = other.hand_over()
    assert kind == "trouble"
    assert first == {
        "at_s": NOW_S, "kind": "trouble_started", "name": "metrics", "what": "metrics",
        "detail": "it is silent", "lead": 7,
    }  # fmt: skip
    assert second["kind"] == "trouble_ended"


def test_what_both_engines_say_is_shown_once(engine: Engine, other: Other) -> None:
    board = engine.context.board
    engine.step(Plan(actions=(action("d1"),)))
    result = ActionResult("d1", Status.COMPLETED, NOW_S + 9.0)
    board.result(result)
    assert [kind for kind, _ in other.heard()] == ["decision", "samples", "result"]
    other.decides(action("d1"))
    other.outbox.result(result)
    assert other.hand_over() == []
    other.decides(action("d2"))
    result = ActionResult("d2", Status.COMPLETED, NOW_S + 9.0)
    other.outbox.result(result)
    assert [kind for kind, _ in other.hand_over()] == ["decision", "result"]
    board.result(result)
    assert other.heard() == []


def test_a_result_of_what_nobody_remembers_and_other_kinds_are_not_shown(other: Other) -> None:
    other.outbox.result(ActionResult("long ago", Status.FAILED, NOW_S, "no"))
    other.outbox.noted(RowKind.FINDING, "f1", NOW_S, {"state": "began"})
    assert other.hand_over() == []


def test_in_a_file_there_is_nobody_to_follow(engine: Engine, tmp_path: Path) -> None:
    with following(SqliteFile(tmp_path), engine.context.board, PLAIN):
        assert "history" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("content", ["{", "{}", "[]", json.dumps({"decided_s": None})])
def test_a_row_that_makes_no_sense_is_refused(other: Other, content: str) -> None:
    row = HistoryRow(RowKind.DECISION, "d1", NOW_S, content)
    with pytest.raises((KeyError, TypeError, ValueError)):
        other.others.take(KeptRow(1, Fence(7), row))
    assert other.heard() == []
