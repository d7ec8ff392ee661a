"""The monitor beside a live engine, without a shell: a stage that says what the test lets it say.

What `deliver` waits for passes on a clock that nobody waits for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pytest

from engine.monitoring.alerts.machine import AlertNotice, Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import Delivery, MonitorStage, News
from engine.monitoring.findings import (
    Cause,
    CauseKind,
    Finding,
    FindingKind,
    Severity,
    Symptom,
)
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings
from engine.ports.store import Requests, RowKind
from engine.runtime.cycle import Cycle
from engine.runtime.watch import MONITOR, LiveMonitor, deliver
from tests.unit.engine.runtime.conftest import SPEC, START_S, Scripted, simulated

FINDING = Finding(
    "api/cpu/1", "api", FindingKind.CPU, Severity.WARNING,
    Symptom("api", FindingKind.CPU, Severity.WARNING, "rule", "cpu", 0.9, START_S, 0.8),
    START_S, START_S, 3.0, 400.0,
    (Cause("database", CauseKind.SLOWNESS, 0.7, "the database is slow"),
     Cause("api", CauseKind.LOAD, 0.3, "much is asked for")),
    "look at the database",
)  # fmt: skip
NOTICE = AlertNotice(
    "n1", "api/cpu#1", NoticeKind.TRIGGERED, Severity.CRITICAL, ("on-call", "chat"), START_S,
    "the api is short", START_S,
)  # fmt: skip


class Stage(MonitorStage):
    """Brings `news` at each turn, and has `waiting` to be sent."""

    def __init__(self, news: Sequence[News] = (), waiting: Sequence[Delivery] = ()) -> None:
        monitor = Monitor((SPEC,), MonitorSettings())
        super().__init__(monitor, Alerts((SPEC,), AlertSettings()))
        self.news = list(news)
        self._waiting = tuple(waiting)
        self.remembered = "what it knows"
        self.broken = ""
        self.given: list[str] = []
        self.acknowledged: list[str] = []
        self.alone: tuple[str, ...] = ()
        self.asked: list[tuple[object, ...]] = []

    def turn(self, *asked: Any, instances: Any = None) -> News:
        self.asked.append((*asked, instances))
        self._fail()
        return self.news.pop(0) if self.news else News()

    def snapshot(self, _: float) -> str:
        self._fail()
        return self.remembered

    def restore(self, snapshot: str) -> None:
        self._fail()
        self.given.append(snapshot)

    def kept(self, snapshot: str) -> None:
        self.acknowledged.append(snapshot)

    def due(self, _: float) -> tuple[Delivery, ...]:
        return self._waiting

    def shown(self) -> dict[str, Any]:
        return {"looks": 3}

    def unwatched(self) -> tuple[str, ...]:
        return self.alone

    def bring(self, delivery: Delivery) -> None:
        self._waiting = (*self._waiting, delivery)

    def _fail(self) -> None:
        if self.broken:
            raise ValueError(self.broken)


class Receiver:
    """Refuses while `refuses(n)` of its n-th request; says when it was asked."""

    def __init__(self, refuses: Sequence[bool] = (), hangs: bool = False) -> None:
        self.refuses = list(refuses)
        self.hangs = hangs
        self.asked_s: list[float] = []
        self.closed = False

    async def send(self, _: AlertNotice) -> None:
        self.asked_s.append(asyncio.get_running_loop().time())
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses and self.refuses.pop(0):
            raise OSError("it is down")

    async def close(self) -> None:
        self.closed = True


def watched(stage: Stage) -> tuple[LiveMonitor, Cycle]:
    return LiveMonitor(stage), Cycle(Scripted(), (SPEC,))


def delivery(number: int, receiver: str = "on-call") -> Delivery:
    return Delivery(receiver, NOTICE._replace(id=f"n{number}"), START_S)


def sent_until(
    stage: Stage, senders: dict[str, Receiver], until_s: float, watch: LiveMonitor | None = None
) -> LiveMonitor:
    """Deliver for so long."""
    watch = watch or watched(stage)[0]

    async def for_a_while() -> None:
        task = asyncio.create_task(deliver(watch, senders, lambda: START_S))  # type: ignore[arg-type]
        await asyncio.sleep(until_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulated(for_a_while())
    return watch


def test_what_began_and_ended_is_an_event_and_a_row_of_the_history() -> None:
    watch, cycle = watched(Stage([News(began=(FINDING,)), News(ended=(FINDING,))]))
    watch.turn(START_S, None, Requests(), cycle)
    watch.turn(START_S + 5.0, None, Requests(), cycle)
    said = "warning cpu: look at the database (the database is slow)"
    assert [(e.time_s, e.kind, e.name, e.what, e.detail) for e in cycle.events()] == [
        (START_S, "finding_began", "api", "api/cpu/1", said),
        (START_S + 5.0, "finding_ended", "api", "api/cpu/1", said),
    ]
    rows = cycle.outbox.rows(START_S + 5.0)
    assert [(row.kind, row.id, row.time_s) for row in rows] == [
        (RowKind.FINDING, "api/cpu/1/began", START_S),
        (RowKind.FINDING, "api/cpu/1/ended", START_S + 5.0),
    ]
    contents = [json.loads(row.content) for row in rows]
    assert [content["state"] for content in contents] == ["began", "ended"]
    assert {content["recommendation"] for content in contents} == {"look at the database"}


def test_a_notice_is_an_event_of_its_service_and_a_row_with_all_that_is_said() -> None:
    watch, cycle = watched(Stage([News(notices=(NOTICE,))]))
    watch.turn(START_S, None, Requests(), cycle)
    (event,) = cycle.events()
    assert (event.time_s, event.kind, event.name, event.what) == (
        START_S, "alert_triggered", "api", "n1",
    )  # fmt: skip
    assert event.detail == "critical to on-call, chat: the api is short"
    (row,) = cycle.outbox.rows(START_S)
    assert (row.kind, row.id, row.time_s) == (RowKind.NOTICE, "n1", START_S)
    assert json.loads(row.content) == {
        "key": "api/cpu#1", "kind": "triggered", "severity": "critical",
        "receivers": ["on-call", "chat"], "words": "the api is short",
    }  # fmt: skip


def test_there_is_news_until_it_is_kept() -> None:
    stage = Stage([News(), News(began=(FINDING,)), News()])
    watch, cycle = watched(stage)
    shown = [watch.has_news]
    for number in range(3):
        watch.turn(START_S + number, None, Requests(), cycle)
        shown.append(watch.has_news)
    assert shown == [False, False, True, True]
    watch.kept(watch.remember(START_S, cycle))
    assert (watch.has_news, stage.acknowledged) == (False, ["what it knows"])


def test_where_nothing_is_remembered_nothing_counts_as_kept() -> None:
    stage = Stage([News(began=(FINDING,))])
    watch, cycle = watched(stage)
    watch.turn(START_S, None, Requests(), cycle)
    watch.kept("")
    assert (watch.has_news, stage.acknowledged) == (False, [])


def test_what_it_remembers_lies_beside_the_memory_of_the_engine() -> None:
    stage = Stage()
    watch, cycle = watched(stage)
    assert watch.remember(START_S, cycle) == cycle.beside == "what it knows"
    stage.broken = "it cannot say"
    assert watch.remember(START_S, cycle) == "what it knows"  # that of before stands
    assert cycle.troubles.all == {MONITOR: ("it cannot say",)}


@pytest.mark.parametrize(("beside", "given"), [("", []), ("what it knew", ["what it knew"])])
def test_it_takes_over_what_there_is(beside: str, given: list[str]) -> None:
    stage = Stage()
    watch, cycle = watched(stage)
    cycle.beside = beside
    watch.begin(START_S, cycle)
    assert stage.given == given


def test_what_cannot_be_taken_over_is_a_trouble_until_a_look_comes_to_something() -> None:
    stage = Stage()
    stage.broken = "nonsense"
    watch, cycle = watched(stage)
    cycle.beside = "what another knew"
    watch.begin(START_S, cycle)
    assert cycle.troubles.all == {MONITOR: ("nonsense",)}
    watch.turn(START_S, None, Requests(), cycle)
    assert cycle.troubles.all == {MONITOR: ("nonsense",)}
    stage.broken = ""
    watch.turn(START_S + 5.0, None, Requests(), cycle)
    assert cycle.troubles.all == {}


def test_receivers_in_trouble_are_named_in_their_order() -> None:
    watch, cycle = watched(Stage())
    watch.troubles = {"on-call": "it is down", "chat": "no answer"}
    watch.turn(START_S, None, Requests(), cycle)
    assert cycle.troubles.all == {MONITOR: ("chat: no answer", "on-call: it is down")}
    assert watch.shown() == {"looks": 3, "receivers": watch.troubles}


def test_services_that_nobody_watches_are_named_behind_the_receivers() -> None:
    stage = Stage()
    watch, cycle = watched(stage)
    watch.troubles, stage.alone = {"chat": "no answer"}, ("api", "database")
    watch.turn(START_S, None, Requests(), cycle)
    alone = "no monitoring session watches api, database"
    assert cycle.troubles.all == {MONITOR: ("chat: no answer", alone)}


def test_the_stage_is_told_what_people_ask_for_as_far_as_anybody_knows() -> None:
    stage = Stage()
    watch, cycle = watched(stage)
    requests = Requests()
    watch.turn(START_S, None, requests, cycle)
    watch.turn(START_S + 5.0, None, None, cycle)
    assert stage.asked == [
        (None, START_S, requests.alert_answers, requests.sessions, None),
        (None, START_S + 5.0, None, None, None),
    ]


def test_a_receiver_that_refuses_is_asked_less_and_less_often_and_then_as_at_first() -> None:
    receiver = Receiver([*[True] * 8, False, True, False])
    stage = Stage(waiting=[delivery(1), delivery(2)])
    watch = sent_until(stage, {"on-call": receiver}, 400.0)
    gaps_s = [after - before for before, after in itertools.pairwise(receiver.asked_s)]
    assert gaps_s == pytest.approx([2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 0.0, 2.0])
    assert (stage.waiting, watch.troubles, watch.has_news) == ((), {}, True)
    assert receiver.closed


def test_whoever_refuses_is_a_trouble_with_how_many_wait() -> None:
    stage = Stage(waiting=[delivery(1), delivery(2), delivery(3, "chat")])
    down, up = Receiver([True] * 9), Receiver()
    watch = sent_until(stage, {"on-call": down, "chat": up}, 1.0)
    assert watch.troubles == {"on-call": "3 notices wait: it is down"}
    assert stage.waiting == (delivery(1), delivery(2))
    assert (len(down.asked_s), len(up.asked_s)) == (1, 1)


def test_a_receiver_that_does_not_answer_is_given_up_after_ten_seconds() -> None:
    stage = Stage(waiting=[delivery(1)])
    asked = Receiver(hangs=True)
    early = sent_until(stage, {"on-call": asked}, 9.5)
    assert early.troubles == {}
    late = sent_until(stage, {"on-call": Receiver(hangs=True)}, 10.5)
    assert late.troubles == {"on-call": "1 notices wait: no answer within 10 s"}
    assert (stage.waiting, late.has_news) == ((delivery(1),), False)


def test_what_is_taken_late_is_taken() -> None:
    class Slow(Receiver):
        async def send(self, notice: AlertNotice) -> None:
            await super().send(notice)
            await asyncio.sleep(15.0)

    stage = Stage(waiting=[delivery(1)])
    slow = Slow()
    sent_until(stage, {"on-call": slow}, 40.0)
    assert (stage.waiting, len(slow.asked_s)) == ((), 1)


def test_a_notice_goes_out_within_a_quarter_of_a_second() -> None:
    stage, receiver = Stage(), Receiver()

    async def later() -> None:
        watch = watched(stage)[0]
        senders: Any = {"on-call": receiver}
        task = asyncio.create_task(deliver(watch, senders, lambda: START_S))
        await asyncio.sleep(1.1)
        stage.bring(delivery(1))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    simulated(later())
    assert receiver.asked_s == [pytest.approx(1.25)]
