"""What people's answers do: a refusal is final, a late approval none, nothing is asked twice."""

from __future__ import annotations

import pytest

from engine import Autoscaler, EngineSettings
from engine.model import Action, Approval, Plan
from engine.settings import ApprovalSettings, CapacitySettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_service, make_window, observe

SETTINGS = EngineSettings(
    capacity=CapacitySettings(
        max_utilisation=0.9, max_utilisation_deferred=0.9, survive_zone_loss="none"
    ),
    approval=ApprovalSettings(max_instances=3, expires_s=900.0),
)
OUTLOOK = make_outlook(3000.0)


def step(engine: Autoscaler, at_s: float, *answers: tuple[str, bool]) -> Plan:
    """A step `at_s` seconds after the first, with answers to decisions that are given then."""
    now_s = NOW_S + at_s
    service = make_service(desired=20, window=make_window(now_s, rate=3000.0, cpu=0.7))
    given = tuple(Approval(decision, yes, now_s, "somebody") for decision, yes in answers)
    return engine.step(observe(service, now_s=now_s, outlook=OUTLOOK, approvals=given))


def asked() -> tuple[Autoscaler, Action]:
    """An engine that has just asked about a step of ten instances."""
    engine = Autoscaler(SETTINGS)
    (question,) = step(engine, 0.0).awaiting
    assert (question.from_instances, question.to_instances) == (20, 30)
    return engine, question


def test_an_approved_action_is_carried_out_once() -> None:
    engine, question = asked()
    (action,) = step(engine, 5.0, (question.decision_id, True)).actions
    assert (action.decision_id, action.to_instances) == (question.decision_id, 30)
    assert step(engine, 10.0, (question.decision_id, True)).actions == ()


@pytest.mark.parametrize(
    "answers",
    [
        [[False], [True]],
        [[False], [True], [True]],
        [[False, True]],
        [[True, False]],
        [[False], [], [True]],
        [[False], [False], [True]],
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_refusal_is_final_whoever_answers_otherwise(
    answers: list[list[bool]], restarted: bool
) -> None:
    engine, question = asked()
    for k, given in enumerate(answers):
        plan = step(engine, 5.0 * (k + 1), *((question.decision_id, yes) for yes in given))
        assert plan.actions == ()
        if restarted:
            text, engine = engine.snapshot(), Autoscaler(SETTINGS)
            engine.restore(text)


def test_what_was_refused_is_not_asked_again_before_it_would_have_expired() -> None:
    engine, question = asked()
    step(engine, 5.0, (question.decision_id, False))
    for k in range(1, 60):
        assert step(engine, 15.0 * k).awaiting == ()
    (again,) = step(engine, 900.0).awaiting
    assert again.decision_id != question.decision_id
    (action,) = step(engine, 905.0, (again.decision_id, True)).actions
    assert action.to_instances == 30


def test_an_approval_after_the_expiry_is_none() -> None:
    engine, question = asked()
    plan = step(engine, 901.0, (question.decision_id, True))
    assert plan.actions == ()
    assert [a.decision_id for a in plan.awaiting] != [question.decision_id]


def test_an_approval_that_was_given_in_time_and_comes_late_counts() -> None:
    engine, question = asked()
    now_s = NOW_S + 902.0
    service = make_service(desired=20, window=make_window(now_s, rate=3000.0, cpu=0.7))
    given = Approval(question.decision_id, True, NOW_S + 899.0, "somebody")
    plan = engine.step(observe(service, now_s=now_s, outlook=OUTLOOK, approvals=(given,)))
    assert [a.decision_id for a in plan.actions] == [question.decision_id]


def test_an_answer_to_no_question_does_nothing() -> None:
    engine, _ = asked()
    assert step(engine, 5.0, ("api-nothing", True)).actions == ()
