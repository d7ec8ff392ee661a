"""Who may let an action pass, and what an answer releases: every row worked out by hand."""

from __future__ import annotations

import pytest

from engine.decide.allocate import Granted
from engine.decide.approvals import (
    approved_now,
    category,
    final_answers,
    is_same_question,
    released,
    still_pending,
)
from engine.decide.approve import approve
from engine.decide.restraints import Allowed
from engine.memory import Pending, ServiceMemory
from engine.model import Action, Approval, Category, Reason, Rollback, WeddingContext
from engine.settings import ApprovalSettings, EngineSettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_service, make_spec, observe
from tests.unit.engine.decide.conftest import seen_of, wish_of

SETTINGS = ApprovalSettings(
    max_instances=10, max_cost_per_hour=50.0, min_confidence=0.2, expires_s=900.0
)
ENGINE = EngineSettings(approval=SETTINGS)


@pytest.mark.parametrize(
    ("reason", "added", "cost_per_hour", "confidence", "expected"),
    [
        # Each limit itself still passes.
        (Reason.CPU, 10, 50.0, 0.2, Category.AUTOMATIC),
        (Reason.CPU, 11, 50.0, 0.2, Category.NEEDS_APPROVAL),
        (Reason.CPU, 10, 50.1, 0.2, Category.NEEDS_APPROVAL),
        (Reason.CPU, 10, 50.0, 0.19, Category.NEEDS_APPROVAL),
        (Reason.COST, -10, -1.0, 0.9, Category.AUTOMATIC),
        (Reason.COST, -11, -1.0, 0.9, Category.NEEDS_APPROVAL),  # as many fewer
        (Reason.WEDDING_FLOOR, 11, 1.1, 0.9, Category.NEEDS_APPROVAL),
        # What need not wait: emergencies, and what people have said before.
        (Reason.EMERGENCY, 500, 600.0, 0.1, Category.EMERGENCY),
        (Reason.ROLLBACK, 500, 600.0, 0.1, Category.AUTOMATIC),
        (Reason.MANUAL, 500, 600.0, 0.1, Category.AUTOMATIC),
        (Reason.BOUNDS, 500, 600.0, 0.1, Category.AUTOMATIC),
    ],
)
def test_what_a_person_has_to_let_pass(
    reason, added, cost_per_hour, confidence, *, expected
) -> None:  # type: ignore[no-untyped-def]
    assert category(reason, added, cost_per_hour, confidence, settings=SETTINGS) is expected


def action_of(current: int = 20, target: int = 30, reason: Reason = Reason.FORECAST) -> Action:
    return Action(
        decision_id="api-1",
        service="api",
        from_instances=current,
        to_instances=target,
        reason=reason,
        category=Category.NEEDS_APPROVAL,
        confidence=0.8,
        cost_per_hour=1.0,
        rollback=Rollback(current),
        weddings=WeddingContext(),
        evidence={},
        trigger_s=NOW_S - 60.0,
        decided_s=NOW_S - 60.0,
        explanation="asked",
    )


def answer(yes: bool, time_s: float = NOW_S, decision_id: str = "api-1") -> Approval:
    return Approval(decision_id, yes, time_s, "somebody")


def answers(*given: Approval):  # type: ignore[no-untyped-def]
    return final_answers(given)


def asked(current: int = 20, *, refused: bool = False, target: int = 30, desired: int = 20):  # type: ignore[no-untyped-def]
    """A service of which somebody was asked, until a minute from now."""
    pending = Pending(action_of(current, target), NOW_S + 60.0, refused)
    return seen_of(make_service(desired=desired), memory=ServiceMemory(pending=pending))


def test_of_several_answers_a_refusal_counts_and_else_the_first() -> None:
    yes, later, no = answer(True, 1.0), answer(True, 2.0), answer(False, 3.0)
    assert answers(yes, later) == {"api-1": yes}
    assert answers(yes, no, later) == {"api-1": no}
    assert answers(no, yes) == {"api-1": no}
    other = answer(True, decision_id="api-2")
    assert answers(no, other) == {"api-1": no, "api-2": other}


@pytest.mark.parametrize(
    ("given", "refused", "now_s", "is_approved"),
    [
        ([answer(True)], False, NOW_S, True),
        ([answer(False)], False, NOW_S, False),
        ([answer(True)], True, NOW_S, False),
        ([answer(True, decision_id="api-2")], False, NOW_S, False),
        ([], False, NOW_S, False),
        # In time is before it expires: when it was given or when it is seen, as clocks differ.
        ([answer(True, NOW_S + 60.0)], False, NOW_S + 60.0, False),
        ([answer(True, NOW_S + 59.9)], False, NOW_S + 300.0, True),
        ([answer(True, NOW_S + 300.0)], False, NOW_S + 59.9, True),
    ],
)
def test_an_approval_counts_in_time_and_not_after_a_refusal(given, refused, now_s, is_approved):  # type: ignore[no-untyped-def]
    approved = approved_now(asked(refused=refused), answers(*given), now_s)
    assert (approved is not None) is is_approved


def test_where_nothing_was_asked_nothing_is_approved() -> None:
    assert approved_now(seen_of(), answers(answer(True)), NOW_S) is None
    assert still_pending(seen_of(), answers(answer(True)), NOW_S) is None


@pytest.mark.parametrize(
    ("given", "refused", "now_s", "left"),
    [
        ([], False, NOW_S, "waits"),
        ([], False, NOW_S + 60.0, "nothing"),
        ([], False, NOW_S + 59.9, "waits"),
        ([answer(True)], False, NOW_S, "nothing"),
        ([answer(False)], False, NOW_S, "refused"),
        ([answer(True)], True, NOW_S, "refused"),
        ([answer(True)], True, NOW_S + 60.0, "nothing"),
    ],
)
def test_what_still_waits_for_an_answer(given, refused, now_s, left) -> None:  # type: ignore[no-untyped-def]
    pending = still_pending(asked(refused=refused), answers(*given), now_s)
    outcome = "nothing" if pending is None else "refused" if pending.refused else "waits"
    assert outcome == left


@pytest.mark.parametrize(
    ("current", "asked_for", "target", "same"),
    [
        # A rise by 10: two more or less, a fifth of it, are the same question.
        (20, 30, 28, True),
        (20, 30, 27, False),
        (20, 30, 32, True),
        (20, 30, 33, False),
        # A small one: one more or less.
        (20, 22, 21, True),
        (20, 22, 23, True),
        (20, 22, 24, False),
        (20, 21, 20, False),  # nothing more is no rise
        # A fall by 10.
        (20, 10, 12, True),
        (20, 10, 13, False),
        (20, 10, 8, True),
        (20, 19, 20, True),
        (20, 19, 21, False),  # the other way
        (20, 21, 19, False),
    ],
)
def test_what_is_the_same_question(current, asked_for, target, same) -> None:  # type: ignore[no-untyped-def]
    assert is_same_question(action_of(current, asked_for), target) is same


@pytest.mark.parametrize(
    ("asked_for", "target", "desired", "carried_out"),
    [
        (30, 30, 20, 30),
        # A rise is as high as approved, whether a little less or more would do by now.
        (30, 28, 20, 30),
        (30, 32, 20, 30),
        # A fall goes no further than is safe now.
        (10, 12, 20, 12),
        (10, 9, 20, 10),
        # No longer right: another count, nothing wanted, another question, the other way.
        (30, 30, 21, None),
        (30, 20, 20, None),
        (30, 26, 20, None),
        (30, 15, 20, None),
    ],
)
def test_what_of_an_approved_action_may_be_done(asked_for, target, desired, carried_out) -> None:  # type: ignore[no-untyped-def]
    seen = asked(target=asked_for, desired=desired)
    action = released(seen, target, 1000, answers(answer(True)), now_s=NOW_S)
    assert (None if action is None else action.to_instances) == carried_out
    if action is not None:
        assert action.decision_id == "api-1"
    assert released(seen, target, 1000, answers(answer(False)), now_s=NOW_S) is None


@pytest.mark.parametrize(
    ("target", "most", "carried_out"), [(28, 28, 28), (28, 29, 29), (28, 31, 30), (30, 30, 30)]
)
def test_an_approved_rise_ends_at_a_pin_or_the_maximum(target, most, carried_out) -> None:  # type: ignore[no-untyped-def]
    action = released(asked(), target, most, answers(answer(True)), now_s=NOW_S)
    assert action is not None
    assert action.to_instances == carried_out


# What is decided


def decided(seen, allowed, granted, *given, settings=ENGINE, decisions=4):  # type: ignore[no-untyped-def]
    (one,) = approve(
        [seen], [allowed], [granted], answers(*given), observation=observe(seen.service),
        decisions=decisions, settings=settings,
    )  # fmt: skip
    return one


def may(target: int, why: str = "", notes: str = "", reason: Reason = Reason.CPU) -> Allowed:
    return Allowed(wish_of(target, reason), target, (), why, (), notes, 1000)


def test_a_grant_becomes_an_action_with_all_its_figures() -> None:
    seen = seen_of(make_service(make_spec(price_per_hour=0.5), desired=10))
    allowed = Allowed(
        wish_of(14, evidence={"cpu": 0.9, "threshold": 0.8}), 14, (), "", (), "", 1000
    )
    one = decided(seen, allowed, Granted(12, "used up", None))
    action = one.action
    assert action is not None
    assert (one.decisions, one.taken, one.pending) == (5, allowed.chosen, None)
    assert (one.question, one.dry) == (None, None)
    assert [d.why for d in one.declined] == ["used up"]
    assert (action.service, action.from_instances, action.to_instances) == ("api", 10, 12)
    assert (action.reason, action.category) == (Reason.CPU, Category.AUTOMATIC)
    assert (action.cost_per_hour, action.confidence) == (1.0, 0.8)
    assert action.rollback.target == 10
    assert (action.trigger_s, action.decided_s) == (NOW_S - 3.0, NOW_S)
    # The weddings behind it are those of 140 s from now, when the instances serve.
    assert action.weddings.at_s == NOW_S + 140.0
    assert action.weddings.events == 1200.0
    assert action.explanation == (
        "api: scale out 10 → 12 because cpu is 0.90 (threshold 0.80); "
        "1,200 weddings booked then, 60 of them major; used up."
    )


def test_the_weddings_behind_a_forecast_are_those_of_its_time() -> None:
    wish = wish_of(14, Reason.FORECAST, evidence={"ahead_s": 600.0})
    one = decided(seen_of(), Allowed(wish, 14, (), "", (), "", 1000), Granted(14, "", None))
    assert one.action.weddings.at_s == NOW_S + 600.0


def test_an_id_is_of_one_decision_alone_and_the_same_wherever_it_is_made() -> None:
    def id_of(desired: int = 10, to: int = 12, decisions: int = 4, name: str = "api") -> str:
        seen = seen_of(make_service(make_spec(name), desired=desired))
        return decided(seen, may(to), Granted(to, "", None), decisions=decisions).action.decision_id

    first = id_of()
    assert first == id_of()
    assert first.startswith("api-")
    others = {id_of(desired=11), id_of(to=13), id_of(decisions=5), id_of(name="photos")}
    assert len(others | {first}) == 5


@pytest.mark.parametrize(
    ("allowed", "granted"),
    [
        (may(10), Granted(10, "", None)),
        (Allowed(None, 10, (), "", (), "", 1000), Granted(10, "", None)),
        (Allowed(None, 12, (), "", (), "", 1000), Granted(12, "", None)),
    ],
)
def test_nothing_is_decided_where_nothing_is_to_be_done(allowed, granted) -> None:  # type: ignore[no-untyped-def]
    one = decided(seen_of(), allowed, granted)
    assert (one.action, one.question, one.dry, one.taken) == (None,) * 4
    assert (one.decisions, one.declined) == (4, ())


def test_what_cut_a_wish_is_said_where_there_was_more_to_wish_for() -> None:
    cut = decided(seen_of(), may(12), Granted(10, "used up", None))
    assert [d.why for d in cut.declined] == ["used up"]
    assert decided(seen_of(), may(10), Granted(10, "used up", None)).declined == ()
    noted = decided(seen_of(), may(14, notes="stale"), Granted(12, "used up", None))
    assert noted.action.explanation.endswith("; stale; used up.")
    plain = decided(seen_of(), may(14, notes="stale"), Granted(14, "", None))
    assert plain.action.explanation.endswith("; stale.")


LARGE = may(30, reason=Reason.FORECAST)
"""Twenty more than the ten there are: more than ten need approval."""


def test_a_large_step_is_asked_about_until_the_question_expires() -> None:
    one = decided(seen_of(), LARGE, Granted(30, "", None))
    assert (one.action, one.taken, one.dry) == (None, None, None)
    assert one.pending == Pending(one.question, NOW_S + 900.0)
    assert one.decisions == 5


@pytest.mark.parametrize(
    ("refused", "target", "is_asked"),
    [
        (False, 30, False),
        (False, 33, False),  # the same question: 20 more, a fifth of it is 4
        (False, 25, True),
        (True, 33, False),
        (True, 25, True),
    ],
)
def test_the_same_question_is_not_put_twice(refused: bool, target: int, is_asked: bool) -> None:
    waiting = asked(10, refused=refused, desired=10)
    one = decided(waiting, may(target, reason=Reason.FORECAST), Granted(target, "", None))
    assert (one.question is not None) is is_asked
    assert one.action is None
    if not is_asked:
        assert one.pending == waiting.memory.pending
    else:
        assert one.pending == Pending(one.question, NOW_S + 900.0)


@pytest.mark.parametrize(("refused", "kept"), [(False, False), (True, True)])
def test_a_small_step_takes_an_open_question_away_and_leaves_a_refusal(refused, kept) -> None:  # type: ignore[no-untyped-def]
    one = decided(asked(10, refused=refused, desired=10), may(12), Granted(12, "", None))
    assert one.action.to_instances == 12
    assert (one.pending is not None) is kept


def test_an_approved_action_is_the_one_that_was_asked_about() -> None:
    waiting = asked(10, desired=10)
    approved = waiting.memory.pending.action
    one = decided(waiting, LARGE, Granted(30, "", approved), answer(True))
    assert (one.action, one.pending, one.taken) == (approved, None, LARGE.chosen)
    assert one.decisions == 4
    # What can be paid of it keeps its id.
    part = decided(waiting, LARGE, Granted(24, "used up", approved), answer(True))
    assert (part.action.to_instances, part.action.decision_id) == (24, "api-1")
    assert [d.why for d in part.declined] == ["used up"]
    # Nothing of it can be paid: the answer is used up all the same.
    none = decided(waiting, LARGE, Granted(10, "used up", approved), answer(True))
    assert (none.action, none.pending) == (None, None)


def test_an_approval_that_is_no_longer_right_is_said_to_be() -> None:
    waiting = asked(20, desired=10)  # asked about 20 → 30, ten are there now
    one = decided(waiting, may(12), Granted(12, "", None), answer(True))
    assert [d.why for d in one.declined] == ["approved, but no longer right"]
    assert (one.action.to_instances, one.pending) == (12, None)
    silent = decided(waiting, may(12), Granted(12, "", None))
    assert silent.declined == ()


def test_recommending_only_gives_a_dry_action_and_leaves_questions_alone() -> None:
    settings = ENGINE.model_copy(update={"mode": "recommend_only"})
    waiting = asked(10, desired=10)
    one = decided(waiting, LARGE, Granted(30, "", None), settings=settings)
    assert one.dry is not None
    assert (one.action, one.question, one.taken) == (None, None, None)
    assert one.pending == waiting.memory.pending
    assert one.decisions == 5


def test_each_service_counts_its_decisions_on() -> None:
    seen = [seen_of(make_service(make_spec(name))) for name in ("a", "b", "c")]
    grants = [Granted(12, "", None), Granted(10, "", None), Granted(12, "", None)]
    wishes = [may(12), may(10), may(12)]
    observation = observe(
        *(one.service for one in seen), outlook=make_outlook(services=("a", "b", "c"))
    )
    done = approve(seen, wishes, grants, {}, observation=observation, decisions=7, settings=ENGINE)
    assert [one.decisions for one in done] == [8, 8, 9]
