"""The cycle alone, with values in and values out: what reaches the controller, and what is kept.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.config.recurrence import Recurrence
from engine.config.standing import StandingFloor, StandingPause, StandingRequests
from engine.model import (
    SAMPLE_DTYPE,
    ActionResult,
    Approval,
    Controller,
    Direction,
    ManualFloor,
    ManualScale,
    Observation,
    Occasion,
    Outlook,
    Pause,
    Plan,
    Reason,
    Status,
    VowLocks,
)
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.notifier import AlertState
from engine.ports.store import Requests, RowKind
from engine.runtime.cycle import CONTROLLER, Cycle, Gathered, NotedEvent, Safety, SavedMemory
from tests.unit.engine.runtime.conftest import SPEC, START_S, Scripted, action

OUTLOOK = Outlook(
    START_S, START_S - 3600.0, 60.0, {"api": 0}, np.full((1, 2000), 9.0), np.zeros((1, 2000)),
    np.zeros(2000), np.zeros(2000), 0.05,
)  # fmt: skip


def gathered(
    results: Sequence[ActionResult] = (),
    *,
    answers: Sequence[Approval] = (),
    window: Any = None,
) -> Gathered:
    return Gathered(
        Sighting({"api": Counts(4, 4, 0, 0)}, tuple(results)),
        OUTLOOK,
        {} if window is None else {"api": window},
        Requests(answers=tuple(answers)),
    )


def made(controller: Controller, **options: Any) -> Cycle:
    cycle = Cycle(controller, (SPEC,), **options)
    assert cycle.begin(START_S, "")
    return cycle


def turn(cycle: Cycle, k: int, given: Gathered | None = None) -> tuple[Observation, Plan | None]:
    """Step k, without keeping anything."""
    observation = cycle.observe(START_S + 5.0 * k, given or gathered())
    assert observation is not None
    return observation, cycle.decide(observation)


def keep(cycle: Cycle, k: int) -> SavedMemory:
    memory = cycle.memory(START_S + 5.0 * k, 1)
    assert memory is not None
    return memory


def test_ceremonies_on_instances_reach_the_controller_where_the_infrastructure_tells() -> None:
    cycle, locks = made(Scripted()), VowLocks(np.zeros(1), np.ones(1))
    silent = gathered()
    assert silent.sighting is not None
    talking = replace(silent, sighting=replace(silent.sighting, locks={"api": locks}))
    for given, shown in ((silent, None), (talking, locks)):
        observation = cycle.observe(START_S, given)
        assert observation is not None
        assert observation.services[0].locks is shown


DONE = ActionResult("a", Status.COMPLETED, START_S + 1.0)
YES = Approval("api-1", True, START_S + 2.0, "ada")
BUSY = Plan(cycle=False)


def test_a_controller_that_raises_is_given_everything_again_that_its_memory_does_not_hold() -> None:
    controller = Scripted(BUSY, BUSY, ValueError("no"), BUSY)
    cycle = made(controller)
    turn(cycle, 1, gathered([DONE], answers=[YES]))
    second, _ = turn(cycle, 2, gathered(answers=[YES]))
    assert (second.results, second.approvals) == ((), ())
    controller.count = 2
    third, plan = turn(cycle, 3, gathered(answers=[YES]))
    assert plan is None
    assert third.results == ()
    controller.count = 3  # past the one that raises
    fourth, plan = turn(cycle, 4, gathered(answers=[YES]))
    assert (fourth.results, fourth.approvals) == ((DONE,), (YES,))
    assert plan is not None


def test_what_is_in_the_memory_is_not_given_again() -> None:
    controller = Scripted(BUSY, ValueError("no"))
    cycle = made(controller)
    turn(cycle, 1, gathered([DONE], answers=[YES]))
    memory = keep(cycle, 1)
    assert memory.answers == (YES,)
    turn(cycle, 2, gathered(answers=[YES]))
    controller.plans = ()
    third, _ = turn(cycle, 3, gathered(answers=[YES]))
    assert (third.results, third.approvals) == ((), ())


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_an_automatic_answer_survives_a_controller_that_raises(failures: int) -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    controller = Scripted(asking, ValueError("no"))
    cycle = made(controller)
    turn(cycle, 1)
    keep(cycle, 1)
    for k in range(failures):
        observation, plan = turn(cycle, 2 + k)
        assert plan is None
        assert [a.decision_id for a in observation.approvals] == ["api-1"]
    controller.plans = ()
    observation, _ = turn(cycle, 20)
    assert [a.decision_id for a in observation.approvals] == ["api-1"]
    observation, _ = turn(cycle, 21)
    assert observation.approvals == ()


def test_an_answer_that_cannot_be_removed_counts_once_also_after_a_restart() -> None:
    first = made(Scripted())
    shown = [turn(first, k, gathered(answers=[YES]))[0].approvals for k in range(1, 4)]
    assert shown == [(YES,), (), ()]
    second = Cycle(Scripted(), (SPEC,))
    assert second.begin(START_S + 60.0, keep(first, 4).text)
    shown = [turn(second, k, gathered(answers=[YES]))[0].approvals for k in range(12, 14)]
    assert shown == [(), ()]


def test_an_answer_given_anew_is_another_one_and_those_that_are_gone_are_not_remembered() -> None:
    cycle = made(Scripted())
    turn(cycle, 1, gathered(answers=[YES]))
    no = replace(YES, approved=False, time_s=YES.time_s + 60.0)
    assert turn(cycle, 2, gathered(answers=[no]))[0].approvals == (no,)
    turn(cycle, 3)
    assert json.loads(keep(cycle, 3).text)["answered"] == []


def test_what_stands_in_the_configuration_holds_besides_what_people_ask_for() -> None:
    every_minute = Recurrence(cron="* * * * *", time_zone="UTC", duration_s=30.0)
    standing = StandingRequests(
        floors=(StandingFloor(service="api", instances=7, schedule=every_minute),),
        pauses=(StandingPause(service="api", direction=Direction.IN),),
    )
    cycle = made(Scripted(), standing=standing)
    assert cycle.standing == standing
    asked = Requests((ManualFloor("api", 9, math.inf),), (Pause("api", Direction.OUT),))
    minute_s = math.ceil(START_S / 60.0) * 60.0
    for at_s, instances in ((minute_s, [9, 7]), (minute_s + 30.0, [9]), (minute_s + 60.0, [9, 7])):
        seen = cycle.observe(at_s, replace(gathered(), requests=asked))
        assert seen is not None
        assert [floor.instances for floor in seen.floors] == instances
        assert [pause.direction for pause in seen.pauses] == [Direction.OUT, Direction.IN]


def test_what_cannot_be_read_is_not_taken_back() -> None:
    cycle = made(Scripted())
    pause = Pause("api", Direction.IN, START_S + 12.0)
    asked = replace(gathered(answers=[YES]), requests=Requests(pauses=(pause,), answers=(YES,)))
    unread = replace(gathered(), requests=None)
    assert turn(cycle, 1, asked)[0].pauses == (pause,)
    second, _ = turn(cycle, 2, unread)
    assert (second.pauses, second.approvals) == ((pause,), ())
    assert turn(cycle, 3, unread)[0].pauses == ()  # it has expired meanwhile
    assert turn(cycle, 4, asked)[0].approvals == ()


@pytest.mark.parametrize("hours", [1, 6])
def test_questions_that_nobody_answers_are_as_many_as_the_services(hours: int) -> None:
    plans = [Plan(awaiting=(action(f"api-{k}", 4, 20 + k % 60),)) for k in range(720 * hours)]
    cycle = made(Scripted(*plans), approver="never")
    for k in range(720 * hours):
        turn(cycle, k)
    assert cycle.awaiting() == (f"api-{720 * hours - 1}",)
    assert len(json.loads(keep(cycle, 720 * hours).text)["questions"]) == 1


def test_a_question_goes_when_it_expires_and_when_its_service_is_changed() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    cycle = made(Scripted(asking), approver="never", question_s=60.0)
    turn(cycle, 1)
    turn(cycle, 12)
    assert cycle.awaiting() == ("api-1",)
    turn(cycle, 13)
    assert cycle.awaiting() == ()
    cycle = made(Scripted(asking, Plan(actions=(action("a", 4, 5),))), approver="never")
    turn(cycle, 1)
    turn(cycle, 2)
    assert cycle.awaiting() == ()


def test_a_clock_that_is_set_back_makes_nobody_wait_for_longer() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    cycle = made(Scripted(asking), approver=20.0)
    turn(cycle, 1)
    turn(cycle, 2)
    answered = [k for k in range(-700, -690) if turn(cycle, k)[0].approvals]
    assert answered == [-697]  # 15 s and a sample after it, not an hour


def test_a_sample_from_the_future_is_not_a_sample() -> None:
    window = np.zeros(3, SAMPLE_DTYPE)
    window["time_s"] = START_S + np.array([0.0, 3.0, 600.0])
    cycle = made(Scripted())
    observation, _ = turn(cycle, 1, gathered(window=window))
    assert observation.services[0].window["time_s"].tolist() == [START_S, START_S + 3.0]
    observation, _ = turn(cycle, 2, gathered(window=window[2:]))
    assert len(observation.services[0].window) == 0


def test_the_memory_is_strict_json_and_one_of_before_is_taken_over() -> None:
    cycle = made(Scripted(Plan(awaiting=(action("api-1", 4, 90),))), approver="never")
    turn(cycle, 1)
    never_sent = ActionResult("api-9", Status.FAILED, START_S, "not sent", sent=False)
    cycle.take([DONE, never_sent])
    text = keep(cycle, 1).text
    kept = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the memory"))
    assert kept["questions"]["api-1"]["answer_s"] is None
    second = Cycle(Scripted(), (SPEC,))
    second.begin(START_S + 9.0, text)
    assert second.awaiting() == ("api-1",)
    assert turn(second, 2)[0].results == (DONE, never_sent)
    old = {
        "saved_s": START_S, "lead": 3, "controller": "Scripted", "snapshot": '{"count": 7}',
        "questions": {"api-2": math.inf, "api-3": START_S + 4.0},
        "results": [["api-4", "failed", START_S, "no answer"]],
    }  # fmt: skip
    third = Cycle(Scripted(), (SPEC,))
    assert third.begin(START_S + 9.0, json.dumps(old))
    observation, _ = turn(third, 2)
    assert [a.decision_id for a in observation.approvals] == ["api-3"]
    assert observation.results == (ActionResult("api-4", Status.FAILED, START_S, "no answer"),)
    assert third.awaiting() == ("api-2",)
    assert third.controller.snapshot() == '{"count": 8}'


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "3", "{}", '{"saved_s": 1, "controller": "Scripted"}',
        '{"saved_s": "x", "controller": "Scripted", "snapshot": "{}"}',
        '{"saved_s": 1, "controller": "Other", "snapshot": "{\\"count\\": 3}"}',
        '{"saved_s": 1, "controller": "Scripted", "snapshot": "{\\"coun\\": 3}"}',
        '{"saved_s": 1, "controller": "Scripted", "snapshot": "{\\"count\\": 3}", "answered": [1]}',
        '{"saved_s": 1, "controller": "Scripted", "snapshot": "{\\"count\\": 3}", "questions": 1}',
        '{"saved_s": 1, "controller": "Scripted", "snapshot": "{\\"count\\": 3}",'
        ' "questions": {"api-1": "5"}}',
    ],
)  # fmt: skip
def test_a_memory_that_cannot_be_read_changes_nothing(text: str) -> None:
    controller = Scripted()
    cycle = Cycle(controller, (SPEC,))
    assert not cycle.begin(START_S, text)
    assert controller.count == 0
    assert [event.kind for event in cycle.events()] == ["memory_lost"]
    assert turn(cycle, 1)[1] is not None


class Stubborn(Scripted):
    """Raises wherever it is asked to."""

    def __init__(self, *plans: Plan | Exception) -> None:
        super().__init__(*plans)
        self.broken: set[str] = set()

    def snapshot(self) -> str:
        if "snapshot" in self.broken:
            raise RuntimeError("cannot say")
        return super().snapshot()

    def restore(self, snapshot: str) -> None:
        if "restore" in self.broken:
            raise RuntimeError("cannot go back")
        super().restore(snapshot)


def test_a_controller_that_cannot_say_what_it_remembers_is_trouble_that_ends() -> None:
    controller = Stubborn()
    cycle = made(controller)
    controller.broken = {"snapshot"}
    turn(cycle, 1)
    assert cycle.memory(START_S + 5.0) is None
    assert cycle.troubles.all[CONTROLLER] == (
        "controller Stubborn raised RuntimeError('cannot say') when it was asked what it remembers",
    )
    controller.broken = set()
    turn(cycle, 2)
    assert cycle.memory(START_S + 10.0) is not None
    assert cycle.troubles.all == {}
    assert [alert.state for alert in cycle.alerts()] == [AlertState.STARTED, AlertState.ENDED]


def test_a_controller_that_cannot_be_put_back_is_asked_again_all_the_same() -> None:
    controller = Stubborn(ValueError("no"))
    cycle = made(controller)
    controller.broken = {"restore"}
    assert turn(cycle, 1)[1] is None
    assert cycle.troubles.all[CONTROLLER] == (
        "controller Stubborn raised ValueError('no') in its step",
        "controller Stubborn raised RuntimeError('cannot go back') when it was restored",
    )
    assert turn(cycle, 2)[1] is not None


def test_results_reach_the_controller_in_the_order_in_which_they_came() -> None:
    cycle = made(Scripted())
    late = ActionResult("b", Status.ACCEPTED, START_S)
    cycle.take([late])
    assert turn(cycle, 1, gathered([DONE]))[0].results == (late, DONE)
    failed = cycle.fail([action("c", 4, 5)], START_S + 6.0, "no route")
    assert [result.sent for result in failed] == [True]  # it may be carried out yet
    assert turn(cycle, 2)[0].results == failed
    assert failed[0].detail == "no route"


def test_a_trouble_is_told_when_it_begins_changes_and_ends() -> None:
    cycle = made(Scripted())
    for now_s, details in enumerate((["a"], ["a"], ["b", "a"], ["a", "b"], [], [])):
        cycle.troubles.are(float(now_s), "metrics", details)
    alerts = [(alert.time_s, alert.state.value, alert.detail) for alert in cycle.alerts()]
    assert alerts == [(0.0, "started", "a"), (2.0, "changed", "b; a"), (4.0, "ended", "a; b")]


def test_a_step_with_an_answer_is_worth_keeping_and_the_one_after_it_is_not() -> None:
    cycle = made(Scripted(*[BUSY] * 9), approver=4.0)
    worth = []
    for k, answers in enumerate(((), (YES,), (YES,), ())):
        plan = turn(cycle, k, gathered(answers=answers))[1]
        assert plan is not None
        worth.append(cycle.is_worth_keeping(plan))
    assert worth == [False, True, False, False]


def test_a_step_with_an_answer_of_the_cycle_itself_is_worth_keeping() -> None:
    asking = Plan(cycle=False, awaiting=(action("api-1", 4, 90),))
    cycle = made(Scripted(asking, BUSY, BUSY))
    worth = []
    for k in range(3):
        plan = turn(cycle, k)[1]
        assert plan is not None
        worth.append(cycle.is_worth_keeping(plan))
    assert worth == [True, True, False]


@pytest.mark.parametrize("approved", [True, False])
def test_what_a_person_has_answered_is_not_answered_automatically_later(approved: bool) -> None:
    asking = Plan(cycle=False, awaiting=(action("api-1", 4, 90),))
    cycle = made(Scripted(asking, *[BUSY] * 9), approver=20.0)
    turn(cycle, 1)
    answer = Approval("api-1", approved, START_S + 9.0, "ada")
    given = [turn(cycle, k, gathered(answers=[answer]))[0].approvals for k in range(2, 9)]
    assert given == [(answer,), *[()] * 6]
    assert cycle.awaiting() == ()


def test_an_automatic_answer_is_of_the_moment_when_it_was_due() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    for approver, due_s in (("automatic", 5.0), (7.0, 12.0)):
        cycle = made(Scripted(asking), approver=approver)
        given = [turn(cycle, k)[0].approvals for k in range(1, 5)]
        (answer,) = [answer for answers in given for answer in answers]
        assert answer == Approval("api-1", True, START_S + due_s, "automatic")


def test_a_clock_that_is_set_back_keeps_no_question_open_for_longer() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    cycle = made(Scripted(asking), approver="never", question_s=60.0)
    turn(cycle, 1)
    waiting = []
    for k in range(-700, -680):
        turn(cycle, k)
        waiting.append(cycle.awaiting())
    assert waiting == [("api-1",)] * 12 + [()] * 8


def test_a_clock_that_was_set_back_while_the_engine_was_down_makes_nobody_wait_for_longer() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    first = made(Scripted(asking), approver=20.0)
    turn(first, 720)
    text = keep(first, 720).text
    second = Cycle(Scripted(), (SPEC,), approver=20.0)
    assert second.begin(START_S, text)
    assert [k for k in range(9) if turn(second, k)[0].approvals] == [4]


class HalfRestored(Scripted):
    """Finds out that a snapshot is another's when it has taken over a part of it."""

    def restore(self, snapshot: str) -> None:
        self.count = json.loads(snapshot).get("count", 50)
        super().restore(snapshot)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"controller": "Other"}, "it is the memory of Other"),
        (
            {"snapshot": '{"coun": 3}'},
            "controller mine raised ValueError('not a snapshot of this') when it was restored",
        ),
    ],
)
def test_who_begins_afresh_says_why_and_is_as_it_was_made(
    changes: dict[str, str], why: str
) -> None:
    kept = {"saved_s": START_S, "controller": "mine", "snapshot": '{"count": 3}', **changes}
    controller = HalfRestored()
    cycle = Cycle(controller, (SPEC,), name="mine")
    assert cycle.begin(START_S + 9.0, json.dumps(kept)) is False
    assert controller.count == 0
    lost = NotedEvent(START_S + 9.0, "memory_lost", "memory", "begins afresh", why)
    assert cycle.events() == (lost,)
    assert cycle.events() == ()


def test_who_goes_on_says_how_old_its_memory_is() -> None:
    kept = {"saved_s": START_S - 3600.0, "controller": "Scripted", "snapshot": '{"count": 3}'}
    cycle = Cycle(Scripted(), (SPEC,))
    assert cycle.begin(START_S + 9.0, json.dumps(kept)) is True
    assert cycle.events() == (
        NotedEvent(
            START_S + 9.0, "memory_restored", "memory", "goes on with what was remembered",
            "3609 s old",
        ),
    )  # fmt: skip


@pytest.mark.parametrize("instances", [2, 100])
def test_the_least_and_the_most_instances_are_allowed(instances: int) -> None:
    plan = Plan(actions=(action("a", 4, instances),))
    cycle = made(Scripted(plan))
    assert turn(cycle, 1)[1] == plan
    assert cycle.troubles.all == {}


def test_an_automatic_answer_that_is_in_no_memory_is_given_again() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    controller = Scripted(asking, BUSY, ValueError("no"))
    cycle = made(controller)
    turn(cycle, 1)
    keep(cycle, 1)
    given = [turn(cycle, k)[0].approvals for k in (2, 3)]
    controller.plans = ()
    given += [turn(cycle, k)[0].approvals for k in (4, 5)]
    answer = Approval("api-1", True, START_S + 5.0, "automatic")
    assert given == [(answer,), (), (answer,), ()]


def test_what_people_asked_for_is_over_in_the_moment_in_which_it_expires() -> None:
    floor = ManualFloor("api", 9, START_S + 10.0, "ada")
    pause = Pause("api", Direction.IN, START_S + 10.0)
    scale = ManualScale("scale-7", "api", 9, START_S + 10.0, "ada")
    asked = replace(gathered(), requests=Requests((floor,), (pause,), scales=(scale,)))
    cycle = made(Scripted())
    first, second = turn(cycle, 1, asked)[0], turn(cycle, 2, asked)[0]
    assert (first.floors, first.pauses, first.scales) == ((floor,), (pause,), (scale,))
    assert (second.floors, second.pauses, second.scales) == ((), (), ())


def test_an_automatic_answer_that_is_in_the_memory_is_not_given_again() -> None:
    asking = Plan(awaiting=(action("api-1", 4, 90),))
    controller = Scripted(asking, BUSY, ValueError("no"))
    cycle = made(controller)
    given = []
    for k in (1, 2, 3):
        given.append(turn(cycle, k)[0].approvals)
        if k < 3:
            keep(cycle, k)
    controller.plans = ()
    given.append(turn(cycle, 4)[0].approvals)
    assert [len(answers) for answers in given] == [0, 1, 0, 0]


@pytest.mark.parametrize("raises", [False, True])
def test_an_answer_that_was_removed_may_be_given_in_the_same_words_again(raises: bool) -> None:
    controller = Scripted(BUSY, BUSY, BUSY)
    cycle = made(controller)
    turn(cycle, 1, gathered(answers=[YES]))
    keep(cycle, 1)
    if raises:
        controller.plans = (BUSY, ValueError("no"), BUSY)
    turn(cycle, 2)
    controller.plans = ()
    assert turn(cycle, 3, gathered(answers=[YES]))[0].approvals == (YES,)


def test_a_question_waits_for_a_quarter_of_an_hour_unless_told_otherwise() -> None:
    cycle = made(Scripted(Plan(awaiting=(action("api-1", 4, 90),))), approver="never")
    turn(cycle, 1)
    turn(cycle, 180)
    assert cycle.awaiting() == ("api-1",)
    turn(cycle, 181)
    assert cycle.awaiting() == ()


def test_a_memory_that_nobody_leads_for_has_no_fence() -> None:
    memory = made(Scripted()).memory(START_S)
    assert memory is not None
    assert json.loads(memory.text)["lead"] == 0


@pytest.mark.parametrize(
    ("to_instances", "reason", "scale_id", "is_sent"),
    [
        (6, Reason.CPU, "", True),
        (6, Reason.MANUAL, "", False),
        (6, Reason.MANUAL, "beside", True),
        (4, Reason.CPU, "", False),
        (4, Reason.MANUAL, "beside", False),
        (2, Reason.CPU, "", False),
        (2, Reason.MANUAL, "beside", False),
    ],
)
def test_while_nothing_is_kept_only_steps_out_that_protect_or_are_kept_beside_are_sent(
    to_instances: int, reason: Reason, scale_id: str, is_sent: bool
) -> None:
    cycle = made(Scripted())
    asked = gathered()
    cycle.observe(START_S, replace(asked, requests=Requests(aside=frozenset({"beside"}))))
    one = replace(action("a", 4, to_instances), reason=reason, scale_id=scale_id)
    sent, left_out = cycle.sendable(Plan(actions=(one,)), START_S, Safety.NOT_KEPT)
    assert (sent == (one,), [result.sent for result in left_out]) == (
        is_sent, [] if is_sent else [False],
    )  # fmt: skip


def test_a_controller_that_cannot_say_what_it_remembers_has_its_rows_kept_all_the_same() -> None:
    class Silent(Scripted):
        def snapshot(self) -> str:
            raise RuntimeError("it cannot say")

    cycle = Cycle(Silent(), (SPEC,))
    cycle.take([DONE])
    kept = cycle.to_keep(START_S, 1)
    assert (kept.memory, kept.taken) == (None, ())
    assert [row.kind.value for row in kept.rows] == ["result"]


def test_without_a_lead_what_is_to_be_kept_is_of_none() -> None:
    kept = made(Scripted()).to_keep(START_S)
    assert kept.memory is not None
    assert json.loads(kept.memory)["lead"] == 0


def test_the_outlook_with_what_people_expect_is_made_anew_only_when_something_changes() -> None:
    def shown(outlook: Outlook, *occasions: Occasion) -> Outlook:
        given = replace(gathered(), outlook=outlook, requests=Requests(occasions=occasions))
        observation = cycle.observe(START_S, given)
        assert observation is not None
        return observation.outlook

    cycle = made(Scripted())
    spot = Occasion("o1", "a spot", (("api", 2.0),), START_S, START_S + 600.0, approved_by="ada")
    assert shown(OUTLOOK) is OUTLOOK
    assert shown(OUTLOOK, replace(spot, approved_by="")) is OUTLOOK
    expected = shown(OUTLOOK, spot)
    assert expected.load.max() == 18.0
    assert shown(OUTLOOK, spot) is expected
    more = shown(OUTLOOK, replace(spot, times=(("api", 3.0),)))
    assert more.load.max() == 27.0
    booked = replace(OUTLOOK, load=2.0 * OUTLOOK.load)
    assert shown(booked, spot).load.max() == 36.0
    assert shown(OUTLOOK, replace(spot, ended_by="ada")) is OUTLOOK


def test_what_came_of_what_people_expect_is_noted_once_it_is_over() -> None:
    cycle = made(Scripted())
    spot = Occasion("o1", "a spot", (("api", 2.0),), START_S, START_S + 600.0, approved_by="ada")
    for after_s, rate in ((5.0, 18.0), (10.0, 27.0), (605.0, 9.0)):
        window = np.zeros(1, SAMPLE_DTYPE)
        window["time_s"], window["request_rate"] = START_S + after_s - 3.0, rate
        given = replace(gathered(window=window), requests=Requests(occasions=(spot,)))
        assert cycle.observe(START_S + after_s, given) is not None
    (row,) = cycle.to_keep(START_S + 605.0, 1).rows
    assert row.kind is RowKind.OCCASION
    assert json.loads(row.content)["came"] == {"api": 2.5}
