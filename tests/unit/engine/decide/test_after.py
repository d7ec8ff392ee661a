"""What is remembered at the end of a step: every row worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.decide.after import EARLY_S, Course, after
from engine.decide.approve import Decided
from engine.decide.figures import figures
from engine.decide.observe import Scope, due
from engine.decide.observe import observe as observe_services
from engine.decide.rails.take_back import VANISHED
from engine.decide.restraints import Allowed
from engine.decide.traits import traits
from engine.decide.verify import Verdict
from engine.decide.wishes import Wish
from engine.memory import Memory, Pending, ResponseMemory, Sent, ServiceMemory, Watch
from engine.model import Approval, Call, Reason
from engine.settings import CostSettings, EngineSettings, LimitSettings, WeddingSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)
from tests.unit.engine.decide.conftest import ahead_of, seen_of, viewed, wish_of
from tests.unit.engine.decide.test_approvals import action_of
from tests.unit.engine.decide.test_verify import watch_of

SETTINGS = EngineSettings()
FULL = Scope(True, frozenset(), frozenset(), {})
LAST_OUT_S, LAST_IN_S = NOW_S - 1000.0, NOW_S - 2000.0
WATCH = watch_of((10, 15))


def course(  # type: ignore[no-untyped-def]
    own=None, action=None, *, verdict_watch=None, undoes=None, pending=None, ahead=None,
    window=None, decisions=7,
):  # fmt: skip
    own = own or ServiceMemory(
        last_out_s=LAST_OUT_S, last_in_s=LAST_IN_S, short_from_s=44.0, desired=10
    )
    service = make_service(window=make_window() if window is None else window)
    seen = seen_of(service, memory=own, asked_s=55.0)._replace(
        slowdown=1.7, response=ResponseMemory(level=0.1)
    )
    return Course(
        seen=seen,
        verdict=Verdict(verdict_watch, 11.0, 22.0, 14, undoes=undoes),
        ahead=ahead,
        wish=Wish(None, (), "", 33.0),
        allowed=Allowed(None, 10, (), "", ((NOW_S, 12),), "", 1000),
        decided=Decided(decisions, (), pending, action=action),
    )


def remembered(*courses: Course, memory=None, scope: Scope = FULL) -> Memory:  # type: ignore[no-untyped-def]
    memory = memory or Memory(last_step_s=NOW_S, next_cycle_s=NOW_S + 3.0, decisions=4)
    return after(memory, scope, courses, SETTINGS)


def test_what_each_phase_found_out_is_kept() -> None:
    pending = Pending(action_of(), NOW_S + 900.0)
    kept = remembered(course(verdict_watch=WATCH, pending=pending)).services["api"]
    assert kept == ServiceMemory(
        last_out_s=LAST_OUT_S,
        last_in_s=LAST_IN_S,
        hold_out_until_s=11.0,
        hold_in_until_s=22.0,
        held_at=14,
        calm_from_s=33.0,
        short_from_s=44.0,
        asked_s=55.0,
        measured_s=figures({}, make_window(), viewed(make_window()), NOW_S).measured_s,
        targets=((NOW_S, 12),),
        response=ResponseMemory(level=0.1),
        slowdown=1.7,
        desired=10,
        sent=None,
        watch=WATCH,
        pending=pending,
    )
    looked_ahead = ahead_of(4.0)._replace(response=ResponseMemory(level=0.2))
    assert remembered(course(ahead=looked_ahead)).services["api"].response.level == 0.2


@pytest.mark.parametrize(
    ("target", "last_out_s", "last_in_s", "rest_s"),
    [(15, NOW_S, LAST_IN_S, LAST_OUT_S), (7, LAST_OUT_S, NOW_S, LAST_IN_S)],
)
def test_a_step_rests_and_is_sent_and_watched(target, last_out_s, last_in_s, rest_s) -> None:  # type: ignore[no-untyped-def]
    action = action_of(10, target)
    kept = remembered(course(action=action, verdict_watch=WATCH, undoes=WATCH)).services["api"]
    assert (kept.last_out_s, kept.last_in_s) == (last_out_s, last_in_s)
    assert kept.sent == Sent("api-1", 10, target, target, NOW_S, rest_s)
    assert kept.watch == Watch("api-1", 10, target, NOW_S - 60.0, 0.0, 500.0, healthy=True)
    ill = course(action=action, window=make_window(p95_s=3.0))
    assert remembered(ill).services["api"].watch.healthy is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("lost", "healthy"),
    [
        ((), True),
        (("error_rate",), False),
        (("p95_s",), False),
        (("cpu", "p95_s"), False),
        (("cpu", "memory", "request_rate", "queue_depth"), True),
    ],
)
def test_who_was_not_seen_to_be_well_before_a_step_is_not_made_worse_by_it(
    lost: tuple[str, ...], healthy: bool
) -> None:
    one = course(action=action_of(10, 15))
    one = one._replace(seen=one.seen._replace(figures=one.seen.figures._replace(lost=lost)))
    watch = remembered(one).services["api"].watch
    assert watch is not None
    assert watch.healthy is healthy


def test_who_was_not_seen_at_all_before_a_step_is_not_made_worse_by_it() -> None:
    watch = remembered(course(action=action_of(10, 15), window=make_window(age_s=99.0)))
    assert watch.services["api"].watch.healthy is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "target", "highest", "rest_s"),
    [
        # A command that was not answered may yet be carried out: the highest count of both, and the
        # rest from before it where it went the same way and is the last step in memory.
        (Sent("a", 10, 20, 20, NOW_S - 5.0, 100.0), 15, 20, 100.0),
        (Sent("a", 10, 12, 18, NOW_S - 5.0, 100.0), 15, 18, 100.0),
        (Sent("a", 10, 12, 12, NOW_S - 5.0, 100.0), 15, 15, 100.0),
        (Sent("a", 10, 7, 10, NOW_S - 5.0, 100.0), 15, 15, LAST_OUT_S),
        (Sent("a", 10, 7, 10, NOW_S - 5.0, 100.0), 5, 10, 100.0),
        (Sent("a", 10, 20, 20, NOW_S - 5.0, 100.0), 5, 20, LAST_IN_S),
        # One that was accepted is done with.
        (Sent("a", 10, 20, 20, NOW_S - 5.0, 100.0, accepted=True), 15, 15, LAST_OUT_S),
        (Sent("a", 10, 7, 10, NOW_S - 5.0, 100.0, accepted=True), 5, 5, LAST_IN_S),
    ],
)
def test_a_command_keeps_what_the_one_before_it_left_open(before, target, highest, rest_s) -> None:  # type: ignore[no-untyped-def]
    rests = {"last_out_s": LAST_OUT_S, "last_in_s": LAST_IN_S}
    if not before.accepted:
        rests["last_out_s" if before.to_instances > 10 else "last_in_s"] = before.sent_s
    own = ServiceMemory(**rests, sent=before)
    sent = remembered(course(own, action_of(10, target))).services["api"].sent
    assert sent == Sent("api-1", 10, target, highest, NOW_S, rest_s)


@pytest.mark.parametrize(("target", "since_s"), [(15, NOW_S - 3.0), (15, NOW_S - 9.0)])
def test_a_step_noticed_beside_an_unanswered_command_keeps_its_rest(
    target: int, since_s: float
) -> None:
    unanswered = Sent("a", 10, 20, 20, NOW_S - 5.0, 100.0)
    own = ServiceMemory(last_out_s=since_s, sent=unanswered)
    sent = remembered(course(own, action_of(10, target))).services["api"].sent
    assert sent is not None
    assert sent.rest_s == since_s


def test_a_rollback_is_not_watched_and_remembers_what_it_undoes() -> None:
    undone = watch_of((7, 10))
    action = action_of(10, 7, Reason.ROLLBACK)
    kept = remembered(course(action=action, verdict_watch=WATCH, undoes=undone)).services["api"]
    assert kept.watch is WATCH
    assert kept.sent is not None
    assert kept.sent.undoes is undone


def test_without_an_action_what_was_sent_stays_sent() -> None:
    own = ServiceMemory(sent=Sent("a", 10, 20, 20, NOW_S - 5.0, 100.0))
    assert remembered(course(own)).services["api"].sent == own.sent


@pytest.mark.parametrize(
    ("scope", "courses", "next_cycle_s", "decisions"),
    [
        (FULL, [5, 6], NOW_S + 15.0 - EARLY_S, 6),
        (FULL, [], NOW_S + 15.0 - EARLY_S, 4),
        (FULL._replace(full=False), [5], NOW_S + 3.0, 5),
    ],
)
def test_a_full_cycle_sets_the_next_one(scope, courses, next_cycle_s, decisions) -> None:  # type: ignore[no-untyped-def]
    kept = remembered(*(course(decisions=count) for count in courses), scope=scope)
    assert (kept.next_cycle_s, kept.decisions) == (next_cycle_s, decisions)
    assert kept.last_step_s == NOW_S


def test_the_newest_sample_of_each_service_is_kept() -> None:
    memory = Memory(
        last_step_s=NOW_S,
        newest_s={"api": NOW_S - 100.0, "db": 5.0, "web": 6.0},
        absent_s={"web": 7.0},
        services={"db": ServiceMemory(slowdown=2.0)},
    )
    scope = FULL._replace(newest_s={"db": 55.0})
    kept = remembered(course(), memory=memory, scope=scope)
    assert kept.newest_s == {"api": NOW_S - 3.0, "db": 55.0, "web": 6.0}
    assert kept.absent_s == {"web": 7.0}
    assert kept.services["db"].slowdown == 2.0
    later = memory._replace(newest_s={"api": NOW_S - 1.0})
    assert remembered(course(), memory=later).newest_s["api"] == NOW_S - 1.0


# What a step looks at


def looked_at(memory: Memory, *services, approvals=None) -> Scope:  # type: ignore[no-untyped-def]
    return due(memory, observe(*services), approvals or {}, SETTINGS)


HOT = make_window(cpu=1.0, rate=2000.0, samples=3)
NAMES = ("api", "old", "calm", "none", "hot")
LATER = Memory(next_cycle_s=NOW_S + 1.0, services=dict.fromkeys(NAMES, ServiceMemory()))


@pytest.mark.parametrize(
    ("next_cycle_s", "full"), [(NOW_S - 1.0, True), (NOW_S, True), (NOW_S + 0.1, False)]
)
def test_a_full_cycle_is_due_at_its_time(next_cycle_s: float, full: bool) -> None:
    scope = looked_at(LATER._replace(next_cycle_s=next_cycle_s), make_service())
    assert scope.full is full
    assert scope.quiet is not full


def test_between_cycles_it_looks_where_a_new_sample_shows_a_service_drowning() -> None:
    services = (
        make_service(make_spec("old"), window=HOT),
        make_service(make_spec("calm")),
        make_service(make_spec("none"), window=HOT[:0]),
        make_service(make_spec("hot"), window=HOT),
    )
    memory = LATER._replace(newest_s={"old": NOW_S - 3.0, "hot": NOW_S - 8.0})
    scope = looked_at(memory, *services)
    assert scope == Scope(
        False, frozenset(), frozenset({"hot"}), {"calm": NOW_S - 3.0, "hot": NOW_S - 3.0}
    )
    assert scope.quiet is False
    assert looked_at(memory, *services[:3]).quiet is True


def test_a_queue_is_judged_by_the_slots_that_there_were_when_it_was_measured() -> None:
    # 60 waiting for 10 x 10 slots then are too many, for 20 x 10 now they would not be
    service = make_service(desired=20, window=make_window(queue=60.0, p95_s=3.0))
    for since_s, alarming in ((NOW_S - 1.0, {"api"}), (NOW_S - 3.0, set())):
        own = ServiceMemory(counts=((NOW_S - 99.0, 10), (since_s, 20)))
        scope = looked_at(LATER._replace(services={"api": own}), service)
        assert scope.alarming == alarming


@pytest.mark.parametrize("full", [False, True])
def test_what_was_answered_is_looked_at(full: bool) -> None:
    memory = Memory(
        next_cycle_s=NOW_S + (-1.0 if full else 1.0),
        services={
            "api": ServiceMemory(pending=Pending(action_of(), NOW_S + 60.0)),
            "db": ServiceMemory(),
        },
    )
    answer = Approval("api-1", True, NOW_S, "ann")
    scope = looked_at(memory, make_service(), approvals={"api-1": answer})
    assert (scope.full, scope.answered, scope.quiet) == (full, frozenset({"api"}), False)
    other = looked_at(memory, make_service(), approvals={"api-2": answer})
    assert other.answered == frozenset()


# What follows from the specifications


@pytest.mark.parametrize(
    ("weddings", "cost", "limits", "reach_s"),
    [
        # The furthest that anybody looks, after the lead time of 130 s, and eight steps after it.
        (WeddingSettings(lead_s=5000.0, protection_s=100.0), 100.0, 300.0, 5130.0),
        (WeddingSettings(lead_s=100.0, protection_s=5000.0), 100.0, 300.0, 5130.0),
        (WeddingSettings(lead_s=100.0, protection_s=100.0), 5000.0, 300.0, 5130.0),
        (WeddingSettings(lead_s=100.0, protection_s=100.0), 100.0, 300.0, 2530.0),
        (WeddingSettings(lead_s=2400.0, protection_s=100.0), 100.0, 300.0, 2530.0),
    ],
)
def test_how_far_ahead_a_service_looks(weddings, cost, limits, reach_s) -> None:  # type: ignore[no-untyped-def]
    settings = EngineSettings(
        weddings=weddings,
        cost=CostSettings(window_s=cost),
        limits=LimitSettings(cooldown_out_s=limits, cooldown_in_s=9.0),
    )
    (one,) = traits([make_spec()], settings).order
    assert one.lead_s == pytest.approx(130.0)
    assert one.reach_s == pytest.approx(reach_s)


def test_services_are_treated_in_the_order_of_their_calls_and_by_who_waits_for_them() -> None:
    specs = (
        make_spec("database"),
        make_spec("mail"),
        make_spec("front", user_facing=True,
                  calls=(Call("database", 1.0), Call("mail", 1.0, asynchronous=True))),
    )  # fmt: skip
    platform = traits(specs, SETTINGS)
    assert platform.specs == specs
    assert platform.order[0].spec.name == "front"
    assert {one.spec.name: (one.place, one.waited_for) for one in platform.order} == {
        "database": (0, True), "mail": (1, False), "front": (2, True),
    }  # fmt: skip
    z = {one.spec.name: one.risk_z for one in platform.order}
    # a risk of 2 %, of 10 % where nobody waits
    assert z["front"] == pytest.approx(2.0537, abs=1e-3)
    assert z["mail"] == pytest.approx(1.2816, abs=1e-3)


# What the samples show


def looked(services, memory=None, *, full: bool = True, alarming=(), answered=()):  # type: ignore[no-untyped-def]
    specs = tuple(service.spec for service in services)
    memory = memory or Memory(services={spec.name: ServiceMemory() for spec in specs})
    scope = Scope(full, frozenset(answered), frozenset(alarming), {})
    outlook = make_outlook(services=tuple(spec.name for spec in specs))
    return observe_services(
        scope, memory, observe(*services, outlook=outlook), platform=traits(specs, SETTINGS),
        settings=SETTINGS, blends={},
    )  # fmt: skip


FRONT = make_spec("front", calls=(Call("api", 2.0),))
SIDE = make_spec("side", calls=(Call("api", 0.5),))
DROWNS = make_window(cpu=1.0, rate=2000.0, p95_s=3.0)


def test_what_drowning_callers_hold_back_reaches_the_callee_together() -> None:
    services = (
        make_service(FRONT, window=DROWNS), make_service(SIDE, window=DROWNS),
        make_service(make_spec("api")),
    )  # fmt: skip
    for full in (True, False):
        seen = {one.traits.spec.name: one for one in
                looked(services, full=full, alarming=("front", "side"))}  # fmt: skip
        # 2000 - 1000 each, as the ten can serve 1000: 2 x 1000 + 0.5 x 1000
        alarm = seen["api"].alarm
        assert alarm is not None
        assert alarm.evidence["passed_on_rate"] == 2500.0
        assert alarm.trigger_s == NOW_S - 13.0
        assert [one.whole for one in seen.values()] == [full] * 3


def test_a_calm_caller_passes_nothing_on() -> None:
    services = (make_service(FRONT), make_service(make_spec("api")))
    assert [one.alarm for one in looked(services)] == [None, None]


def test_between_cycles_others_are_not_looked_at() -> None:
    services = (make_service(make_spec("calm")), make_service(make_spec("hot"), window=DROWNS),
                make_service(make_spec("last")))  # fmt: skip
    seen = looked(services, full=False, alarming=("hot",), answered=("last",))
    assert [(one.traits.spec.name, one.whole) for one in seen] == [("hot", False), ("last", True)]


def test_what_fresh_samples_teach_is_learned_and_old_ones_teach_nothing() -> None:
    slow = make_window(cpu=0.9, rate=300.0, p95_s=1.0)
    (one,) = looked((make_service(make_spec(), window=slow),))
    assert one.slowdown == pytest.approx(1.6)  # three times as slow, 30 % of the way
    assert one.response.updated_s == NOW_S - 3.0
    old = make_window(cpu=0.9, rate=300.0, age_s=99.0)
    (one,) = looked((make_service(make_spec(), window=old),))
    assert (one.slowdown, one.response, one.alarm) == (1.0, ResponseMemory(), None)
    (one,) = looked((make_service(make_spec(), window=make_window(cpu=0.0, rate=0.0)),))
    assert one.response == ResponseMemory()


ROSE = ServiceMemory(desired=10, before_rise=6, rise_s=NOW_S - 60.0, last_in_s=LAST_IN_S)


@pytest.mark.parametrize(
    ("own", "wish", "action", "rise_s", "before"),
    [
        # Figures ask for more: what there was is kept, and what there was before that.
        (ServiceMemory(desired=10), (15, Reason.CPU), 15, NOW_S, 10),
        (ROSE, (15, Reason.CPU), 15, NOW_S, 6),
        # They ask for what is there: that is still theirs, and nothing new.
        (ROSE, (10, Reason.CPU), None, NOW_S, 6),
        (ServiceMemory(desired=10), (15, Reason.CPU), None, NOW_S, -1),
        # They ask for less, or bookings ask for more, or nobody asks.
        (ROSE, (9, Reason.CPU), None, NOW_S - 60.0, 6),
        (ROSE, (15, Reason.WEDDING_FLOOR), 15, NOW_S - 60.0, 6),
        (ServiceMemory(desired=10), (15, Reason.MANUAL), 15, -math.inf, -1),
        (ROSE, None, None, NOW_S - 60.0, 6),
    ],
)
def test_what_there_was_before_figures_asked_for_more_is_kept(  # type: ignore[no-untyped-def]
    own, wish, action, rise_s: float, *, before: int
) -> None:
    one = course(own, None if action is None else action_of(10, action))
    one = one._replace(
        seen=one.seen._replace(slowdown=1.0),
        wish=one.wish._replace(chosen=None if wish is None else wish_of(*wish)),
    )
    kept = remembered(one).services["api"]
    assert (kept.rise_s, kept.before_rise) == (rise_s, before)


def test_a_step_that_is_taken_back_leaves_no_rest() -> None:
    taken_back = replace(action_of(10, 7), reason=Reason.ROLLBACK, evidence={VANISHED: 6.0})
    assert remembered(course(ROSE, taken_back)).services["api"].last_in_s == LAST_IN_S
    undone = replace(taken_back, evidence={})
    assert remembered(course(ROSE, undone)).services["api"].last_in_s == NOW_S


@pytest.mark.parametrize(
    ("figures", "learns"),
    [
        # 0.4 of the 1000 requests/s that ten can serve; 500 are booked.
        ({"cpu": 0.4}, True),
        ({"cpu": 0.3}, False),  # less than 500 / 1.5
        ({"cpu": 0.76}, True),  # more than 500 x 1.5: of that as much
        ({"cpu": math.nan}, False),
        ({"cpu": 0.4, "queue": 60.0}, False),  # full once, they say nothing of what waits outside
    ],
)
def test_a_rate_that_nobody_measures_is_read_off_the_busy_slots(
    figures: dict[str, float], learns: bool
) -> None:
    window = make_window(**({"rate": math.nan} | figures))
    (one,) = looked((make_service(make_spec(), window=window),))
    assert (one.response.updated_s == NOW_S - 3.0) is learns
    assert math.isnan(one.view.request_rate)
