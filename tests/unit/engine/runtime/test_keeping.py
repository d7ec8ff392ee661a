"""What is about to be done is on the disk before it is done; what a full disk stops."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.sqlite import SqliteFile
from engine.decide.recommend.manual import FALLBACK
from engine.model import Action, ActionResult, Plan, Reason, Status
from engine.ports.lease import Fence
from engine.ports.notifier import Alert, AlertState
from engine.ports.store import RowKind
from engine.runtime import outbox
from engine.runtime.outbox import Outbox
from tests.unit.engine.runtime.conftest import LiveWorld

Act = Callable[..., Action]


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow beyond its first byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(world: LiveWorld, kind: RowKind) -> list[dict[str, Any]]:
    return [json.loads(row.content) for row in world.rows(kind)]


def test_it_is_on_the_disk_that_a_command_will_be_given_before_it_is(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    seen: list[tuple[list[str], str]] = []
    plain = world.pool.apply

    async def apply(actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        # As another process sees it.
        desk = SqlDesk(SqliteFile(world.state))
        kept = desk.history(kinds=(RowKind.INTENT, RowKind.DECISION, RowKind.RESULT))
        desk.close()
        seen.append(([f"{k.row.kind} {k.row.id} {k.fence}" for k in kept], world.memory()))
        return await plain(actions, fence)

    world.pool.apply = apply  # type: ignore[method-assign]
    controller = scripted(Plan(cycle=False, actions=(act("a", 4, 5), act("b", 5, 3))))
    asyncio.run(world.shell(controller, duration_s=5.0).run())
    [(rows, memory)] = seen
    assert rows == ["decision a 1", "decision b 1", "intent a 1", "intent b 1"]
    assert json.loads(json.loads(memory)["snapshot"]) == {"count": 1}
    assert contents(world, RowKind.INTENT) == [
        {"service": "api", "from_instances": 4, "to_instances": 5},
        {"service": "api", "from_instances": 5, "to_instances": 3},
    ]
    assert [c["status"] for c in contents(world, RowKind.RESULT)] == ["accepted", "accepted"]
    [decision, _] = contents(world, RowKind.DECISION)
    assert (decision["reason"], decision["doing"], decision["evidence"]) == ("cpu", "acts", {})
    assert decision["weddings"] == {"events": 0.0, "major_events": 0.0, "at_s": None}


def test_what_waits_for_people_and_what_would_be_done_are_decisions_without_an_intent(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    plan = Plan(awaiting=(act("a", 4, 90),), dry=(act("b", 4, 2),))
    asyncio.run(world.shell(scripted(plan), duration_s=5.0, approver="never").run())
    assert [(c["decision_id"], c["doing"]) for c in contents(world, RowKind.DECISION)] == [
        ("a", "asks"), ("b", "would"),
    ]  # fmt: skip
    assert world.rows(RowKind.INTENT) == []


def of_a_person(action: Action) -> Action:
    return replace(action, reason=Reason.MANUAL, evidence={"asked": 9.0})


def test_a_step_out_that_is_kept_beside_the_store_goes_on_without_it(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    """What emergency access asked for while the store took nothing; a step in waits for it."""
    actions = (
        replace(of_a_person(act("beside", 4, 6)), scale_id="manual-1"),
        replace(of_a_person(act("other", 6, 9)), scale_id="manual-2"),
        replace(of_a_person(act("in", 6, 5)), scale_id="manual-1"),
    )
    shell = world.shell(scripted(Plan(), Plan(actions=actions)), duration_s=None)
    plain = world.store.requests

    async def requests(now_s: float) -> Any:
        return replace(await plain(now_s), aside=frozenset({"manual-1"}))

    world.store.requests = requests  # type: ignore[method-assign]

    async def run() -> None:
        await shell.step(1_000_005.0)
        with full_disk():
            await shell.step(1_000_010.0)
        await shell.step(1_000_015.0)

    asyncio.run(run())
    assert world.pool.writes == [(4, 6)]
    [gap] = contents(world, RowKind.GAP)
    assert (gap["sent"], gap["left_out"]) == (["beside"], ["other", "in"])


def test_a_full_disk_stops_steps_in_and_peoples_and_lets_pass_what_protects(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    actions = (
        act("out", 4, 6),
        of_a_person(act("asked", 6, 9)),
        act("in", 6, 5),
        replace(act("fallback", 6, 8), reason=Reason.MANUAL, evidence={FALLBACK: 8.0}),
    )
    controller = scripted(Plan(actions=(act("first", 4, 4),)), Plan(actions=actions))
    shell = world.shell(controller, duration_s=None)

    async def run() -> None:
        await shell.step(1_000_005.0)
        with full_disk():
            await shell.step(1_000_010.0)
            assert list(shell.cycle.troubles.all)[:1] == ["store"]
        assert world.rows(RowKind.GAP) == []
        await shell.step(1_000_015.0)

    asyncio.run(run())
    assert world.pool.writes == [(4, 4), (4, 6), (6, 8)]
    results = {result.decision_id: result for result in controller.seen[2].results}
    assert {name for name, r in results.items() if r.status is Status.FAILED} == {"asked", "in"}
    assert results["in"].detail == "not sent: it cannot be kept that it would be"
    assert {name for name, result in results.items() if not result.sent} == {"asked", "in"}
    # What was sent all the same is noted where the store is not needed for it, and staged later.
    assert world.notes.unkept == [(1_000_000.0, ["out", "fallback"])]
    # There is room again: the gap, and what was done in it.
    [gap] = contents(world, RowKind.GAP)
    assert (gap["sent"], gap["left_out"]) == (["out", "fallback"], ["asked", "in"])
    assert (gap["from_s"], gap["to_s"], gap["lost_rows"]) == (1_000_000.0, 1_000_015.0, 0)
    assert "store.db" in gap["why"]
    intents = [row.id for row in world.rows(RowKind.INTENT)]
    assert intents == ["first", "out", "fallback"]
    assert {row.id.partition("/")[0] for row in world.rows(RowKind.RESULT)} == {
        "first", "out", "asked", "in", "fallback",
    }  # fmt: skip
    assert shell.cycle.troubles.all == {}
    audited = [json.loads(row.text) for row in world.desk.staged(1000)]
    decided = [row["after"]["decision"] for row in audited if row["outcome"] == "decided"]
    assert decided == ["first", "out", "fallback"]
    became = [(row["target"], row["outcome"]) for row in audited if row["action"] == "result"]
    assert became == [
        (row.id.partition("/")[0], row.id.split("/")[1]) for row in world.rows(RowKind.RESULT)
    ]


def test_what_is_sent_is_not_noted_beside_the_store_while_that_takes_it(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    asyncio.run(world.shell(scripted(Plan(actions=(act("out", 4, 6),))), duration_s=10.0).run())
    assert [action.decision_id for action in world.pool.asked] == ["out"]
    assert world.notes.unkept == []


def test_what_cannot_be_noted_is_not_done_unless_it_protects(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", "rows.jsonl")

    world.notes.step = full  # type: ignore[method-assign]
    controller = scripted(Plan(actions=(act("in", 4, 3), act("out", 4, 6))))
    asyncio.run(world.shell(controller, duration_s=10.0).run())
    assert [action.decision_id for action in world.pool.asked] == ["out"]


def test_a_trouble_is_in_the_history_also_when_nothing_else_is_kept(
    world: LiveWorld, scripted: Any
) -> None:
    world.source.troubles = ("cpu: late",)
    controller = scripted(*[Plan(cycle=False)] * 4)
    asyncio.run(world.shell(controller, duration_s=10.0).run())
    alerts = contents(world, RowKind.ALERT)
    assert [(a["source"], a["state"], a["detail"]) for a in alerts] == [
        ("metrics", "started", "cpu: late")
    ]


def test_a_write_whose_acknowledgement_was_lost_is_there_once(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    plain, calls = world.store.keep, [0]

    async def unsure(*given: Any) -> None:
        await plain(*given)
        calls[0] += 1
        if calls[0] in (1, 3):
            raise ConnectionResetError

    world.store.keep = unsure  # type: ignore[method-assign]
    controller = scripted(Plan(actions=(act("out", 4, 6),)), Plan(actions=(act("in", 6, 5),)))
    asyncio.run(world.shell(controller, duration_s=15.0).run())
    for kind in (RowKind.DECISION, RowKind.INTENT, RowKind.RESULT):
        names = [row.id for row in world.rows(kind)]
        assert len(names) == len(set(names))
    assert [row.id for row in world.rows(RowKind.DECISION)] == ["out", "in"]
    assert len(world.rows(RowKind.GAP)) == 2


# --- the outbox


def test_of_rows_that_wait_the_oldest_are_lost_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST", 3)
    waiting = Outbox()
    waiting.not_kept(10.0, "full")
    waiting.not_kept(15.0, "still full")
    for k in range(5):
        waiting.result(ActionResult(f"a-{k}", Status.FAILED, 10.0 + k))
    gap, *rows = waiting.rows(20.0)
    assert [row.id for row in rows] == [f"a-{k}/failed/1{k}.000" for k in (2, 3, 4)]
    assert json.loads(gap.content) == {
        "from_s": 10.0, "to_s": 20.0, "why": "full", "lost_rows": 2, "sent": [], "left_out": [],
    }  # fmt: skip
    assert (gap.kind, gap.id, gap.time_s) == (RowKind.GAP, "10.000-20.000", 20.0)
    assert len(waiting) == 4
    waiting.kept((gap, *rows))
    assert (len(waiting), waiting.rows(25.0)) == (0, ())


def test_what_came_while_a_write_was_under_way_waits_for_the_next(act: Act) -> None:
    waiting = Outbox()
    alert = Alert(5.0, "metrics", AlertState.STARTED, "late")
    waiting.alert(alert)
    waiting.alert(alert)
    waiting.alert(replace(alert, detail="later"))
    under_way = waiting.rows(5.0)
    assert len(under_way) == 2
    waiting.decided((act("a", 1, 2),), "acts")
    waiting.kept(under_way)
    assert [row.id for row in waiting.rows(6.0)] == ["a"]


def test_so_many_decisions_of_a_gap_are_named(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST", 2)
    waiting = Outbox()
    waiting.not_kept(1.0, "full")
    for k in range(3):
        waiting.without_intent([act(f"out-{k}", 1, 2)], [act(f"in-{k}", 2, 1)])
    content = json.loads(waiting.rows(2.0)[0].content)
    assert content["sent"] == ["out-1", "out-2"]
    assert content["left_out"] == ["in-1", "in-2"]
