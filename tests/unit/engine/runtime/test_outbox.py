"""Rows that wait for the store: in their order, no more than so many, and with their gaps."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from engine.model import ActionResult, Status
from engine.ports.notifier import Alert, AlertState
from engine.ports.store import HistoryRow, RowKind
from engine.runtime import outbox as module
from engine.runtime.outbox import Outbox
from tests.unit.engine.runtime.conftest import START_S, action


def gap(outbox: Outbox, now_s: float) -> dict[str, Any]:
    """What is said of the time in which nothing was kept."""
    row = outbox.rows(now_s)[0]
    assert row.kind is RowKind.GAP
    content: dict[str, Any] = json.loads(row.content)
    return content


def ids(rows: tuple[HistoryRow, ...]) -> list[tuple[str, str]]:
    return [(row.kind.value, row.id) for row in rows]


def test_rows_wait_in_their_order_until_they_are_kept() -> None:
    outbox = Outbox()
    assert (len(outbox), outbox.rows(START_S)) == (0, ())
    outbox.decided([action("d1", 4, 6)], "acts")
    outbox.intend([action("d1", 4, 6)], START_S + 1.0)
    outbox.noted(RowKind.NOTICE, "n1", START_S + 2.0, {"words": "short"})
    rows = outbox.rows(START_S + 2.0)
    assert ids(rows) == [("decision", "d1"), ("intent", "d1"), ("notice", "n1")]
    assert [row.time_s for row in rows] == [START_S, START_S + 1.0, START_S + 2.0]
    outbox.kept(rows[:2])
    assert ids(outbox.rows(START_S + 3.0)) == [("notice", "n1")]
    outbox.kept([*rows, *rows])  # what was kept before may be kept again
    assert (len(outbox), outbox.rows(START_S)) == (0, ())


@pytest.mark.parametrize("doing", ["acts", "asks", "would"])
def test_a_decision_says_all_of_its_action_and_whether_it_acts(doing: str) -> None:
    outbox = Outbox()
    # A controller of somebody's own may give more than figures as its evidence.
    evidence: Any = {"cpu": 0.9, "p95_s": math.nan, "shares": (0.5, [math.inf])}
    decided = dataclasses.replace(action("d1", 4, 6), evidence=evidence)
    outbox.decided([decided], doing)
    (row,) = outbox.rows(START_S)
    content = json.loads(row.content)
    assert (content["doing"], content["reason"], content["to_instances"]) == (doing, "cpu", 6)
    assert content["evidence"] == {"cpu": 0.9, "p95_s": None, "shares": [0.5, [None]]}
    assert content["rollback"] == {"target": 4}
    assert row.audit == ""  # the intent and the result bring their words for the audit log along


def test_an_intent_and_its_result_bring_along_what_the_audit_log_says() -> None:
    outbox = Outbox()
    outbox.intend([action("d1", 4, 6)], START_S)
    outbox.result(ActionResult("d1", Status.ACCEPTED, START_S + 1.0, ""))
    intent, result = outbox.rows(START_S + 1.0)
    assert json.loads(intent.content) == {
        "service": "api", "from_instances": 4, "to_instances": 6,
    }  # fmt: skip
    assert (result.kind, result.id) == (RowKind.RESULT, f"d1/accepted/{START_S + 1.0:.3f}")
    assert "d1" in intent.audit
    assert "d1" in result.audit


def test_alerts_of_one_moment_are_told_apart_by_what_they_say() -> None:
    outbox = Outbox()
    for detail in ("it is down", "it is down", "it is full"):
        outbox.alert(Alert(START_S, "store", AlertState.STARTED, detail))
    rows = outbox.rows(START_S)
    assert [json.loads(row.content)["detail"] for row in rows] == ["it is down", "it is full"]
    assert all(row.id.startswith(f"store/{AlertState.STARTED}/{START_S:.3f}/") for row in rows)
    assert {len(row.id.rpartition("/")[2]) for row in rows} == {12}


def test_a_gap_counts_from_the_first_refusal_and_ends_when_something_is_kept() -> None:
    outbox = Outbox()
    outbox.not_kept(START_S, "it is down")
    outbox.not_kept(START_S + 5.0, "it is still down")
    assert len(outbox) == 1
    (row,) = outbox.rows(START_S + 10.0)
    assert (row.kind, row.id, row.time_s) == (
        RowKind.GAP, f"{START_S:.3f}-{START_S + 10.0:.3f}", START_S + 10.0,
    )  # fmt: skip
    assert json.loads(row.content) == {
        "from_s": START_S, "to_s": START_S + 10.0, "why": "it is down", "lost_rows": 0,
        "sent": [], "left_out": [],
    }  # fmt: skip
    outbox.kept([row])
    assert (len(outbox), outbox.rows(START_S + 15.0)) == (0, ())
    outbox.not_kept(START_S + 20.0, "it is full")
    again = gap(outbox, START_S + 25.0)
    assert (again["from_s"], again["why"]) == (START_S + 20.0, "it is full")


def test_the_oldest_rows_go_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    outbox = Outbox()
    outbox.not_kept(START_S, "it is down")
    for number in range(5):
        outbox.noted(RowKind.NOTICE, f"n{number}", START_S, {})
    assert [row.id for row in outbox.rows(START_S)[1:]] == ["n2", "n3", "n4"]
    assert gap(outbox, START_S)["lost_rows"] == 2
    outbox.kept(outbox.rows(START_S))
    outbox.not_kept(START_S, "it is down")
    assert gap(outbox, START_S)["lost_rows"] == 0


def test_as_many_rows_wait_as_a_long_outage_brings() -> None:
    outbox = Outbox()
    for number in range(10_001):
        outbox.noted(RowKind.NOTICE, str(number), START_S, {})
    assert len(outbox) == 10_000


def test_a_gap_says_what_was_sent_without_an_intent_and_what_was_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    outbox = Outbox()
    outbox.not_kept(START_S, "it is down")
    for number in range(0, 4, 2):
        sent = [action(f"s{number}", 4, 6), action(f"s{number + 1}", 4, 6)]
        left_out = [action(f"l{number}", 6, 4), action(f"l{number + 1}", 6, 4)]
        outbox.intend([*sent, *left_out], START_S)
        outbox.without_intent(sent, left_out)
    said = gap(outbox, START_S + 5.0)
    assert (said["sent"], said["left_out"]) == (["s1", "s2", "s3"], ["l1", "l2", "l3"])
    # Those that were sent are still said to have been meant, those left out are not.
    waiting = [row.id for row in outbox.rows(START_S) if row.kind is RowKind.INTENT]
    assert waiting[-1] == "s3"
    assert not [name for name in waiting if name.startswith("l")]
    outbox.kept(outbox.rows(START_S + 5.0))
    outbox.not_kept(START_S + 10.0, "it is down")
    again = gap(outbox, START_S + 15.0)
    assert (again["sent"], again["left_out"]) == ([], [])
