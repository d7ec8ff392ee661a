"""All that is remembered: through a restart, when a clock is set back, after what became of it."""

from __future__ import annotations

import json
import math

import pytest

from engine.memory import (
    NEVER,
    Memory,
    Pending,
    ResponseMemory,
    Sent,
    ServiceMemory,
    Straggler,
    Watch,
    remember,
)
from engine.memory_json import from_json, to_json
from engine.model import (
    Action,
    ActionResult,
    Category,
    Reason,
    Rollback,
    Status,
    WeddingContext,
)
from engine.settings import EngineSettings, VerifySettings
from tests.unit.engine.conftest import make_service, make_spec, observe

WATCH = Watch("w-1", 4, 5, 400.0, 0.25, 75.0, healthy=True)
UNDONE = Watch("u-1", 6, 7, 500.0, 0.5, 80.0, healthy=False)
ACTION = Action(
    decision_id="a-1",
    service="api",
    from_instances=10,
    to_instances=14,
    reason=Reason.FORECAST,
    category=Category.NEEDS_APPROVAL,
    confidence=0.7,
    cost_per_hour=0.4,
    rollback=Rollback(10),
    weddings=WeddingContext(120.0, 6.0, 940.0),
    evidence={"rate": 500.0},
    trigger_s=980.0,
    decided_s=985.0,
    explanation="because",
)
FULL = ServiceMemory(
    last_out_s=100.0,
    last_in_s=200.0,
    hold_out_until_s=1300.0,
    hold_in_until_s=1400.0,
    calm_from_s=1500.0,
    short_from_s=930.0,
    counts=((500.0, 8), (920.0, 9)),
    measured_s={"cpu": 995.0, "p95_s": 700.0},
    asked_s=955.0,
    rise_s=940.0,
    before_rise=6,
    held_at=13,
    targets=((610.0, 12), (620.0, 11)),
    response=ResponseMemory(
        level=0.1,
        variance=0.2,
        surge=0.3,
        updated_s=990.0,
        horizon_variance=(0.4, 0.5),
        issued=(((1600.0, 1.0), (1660.0, 2.0)), ()),
        issued_s=970.0,
        counted=(0.01, 0.02),
        scatter=0.03,
    ),
    slowdown=1.5,
    desired=10,
    sent=Sent("s-1", 10, 12, 13, 960.0, 50.0, accepted=True, undoes=UNDONE),
    straggler=Straggler(9, 14, 1550.0),
    watch=WATCH,
    pending=Pending(ACTION, 1700.0, refused=True),
)
MEMORY = Memory(
    last_step_s=1000.0,
    next_cycle_s=1010.0,
    decisions=7,
    services={"api": FULL, "db": ServiceMemory()},
    newest_s={"api": 995.0},
    absent_s={"db": 900.0},
)
ACTION_DOCUMENT = json.loads(to_json(MEMORY))["services"]["api"]["pending"]["action"]


def test_everything_survives_a_restart() -> None:
    assert from_json(to_json(MEMORY)) == MEMORY


def test_times_are_kept_as_ages_at_the_last_step() -> None:
    document = json.loads(to_json(MEMORY))
    api = document["services"]["api"]
    assert (document["last_step_s"], document["next_cycle_s"]) == (1000.0, -10.0)
    assert (document["newest_s"], document["absent_s"]) == ({"api": 5.0}, {"db": 100.0})
    assert (document["version"], document["decisions"]) == (3, 7)
    ages = (
        "last_out_s", "last_in_s", "hold_out_until_s", "hold_in_until_s", "calm_from_s",
        "short_from_s", "rise_s",
    )  # fmt: skip
    assert [api[name] for name in ages] == [900.0, 800.0, -300.0, -400.0, -500.0, 70.0, 60.0]
    assert (api["counts"], api["measured_s"]) == (
        [[500.0, 8], [80.0, 9]],
        {"cpu": 5.0, "p95_s": 300.0},
    )
    assert api["targets"] == [[390.0, 12], [380.0, 11]]
    assert (api["response"]["updated_s"], api["response"]["issued_s"]) == (10.0, 30.0)
    assert api["response"]["issued"] == [[[-600.0, 1.0], [-660.0, 2.0]], []]
    assert (api["sent"]["sent_s"], api["sent"]["rest_s"]) == (40.0, 950.0)
    assert (api["sent"]["undoes"]["decided_s"], api["watch"]["decided_s"]) == (500.0, 600.0)
    assert api["straggler"] == {"from_instances": 9, "highest": 14, "until_s": -550.0}
    assert (api["pending"]["expires_s"], api["pending"]["refused"]) == (-700.0, True)
    assert document["services"]["db"]["last_out_s"] is None


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ({"sent": {"decision_id": "s", "from_instances": 1, "to_instances": 4}},
         ServiceMemory(sent=Sent("s", 1, 4, 4, NEVER, NEVER))),
        ({"watch": {"decision_id": "w", "from_instances": 1, "to_instances": 4}},
         ServiceMemory(watch=Watch("w", 1, 4, NEVER, 0.0, 0.0, healthy=False))),
        ({"straggler": {"from_instances": 1, "highest": 4}},
         ServiceMemory(straggler=Straggler(1, 4, NEVER))),
        ({"response": {}}, ServiceMemory()),
        ({"slowdown": 1.5, "desired": 3}, ServiceMemory(slowdown=1.5, desired=3)),
        ({"before_rise": 4, "rise_s": 60.0}, ServiceMemory(before_rise=4, rise_s=940.0)),
        ({"pending": {"action": ACTION_DOCUMENT}},
         ServiceMemory(pending=Pending(ACTION, NEVER))),
    ],
)  # fmt: skip
def test_an_absent_key_is_what_never_happened(raw: dict, kept: ServiceMemory) -> None:  # type: ignore[type-arg]
    text = json.dumps({"version": 3, "last_step_s": 1000.0, "services": {"api": raw}})
    assert from_json(text).services["api"] == kept


def test_a_memory_of_nothing_is_one() -> None:
    assert from_json('{"version": 3}') == Memory()
    assert json.loads(to_json(Memory()))["last_step_s"] is None


def test_every_time_moves_with_a_clock_that_is_set_back() -> None:
    back = FULL.turned_back(90.0)
    assert (back.last_out_s, back.last_in_s) == (10.0, 110.0)
    assert (back.hold_out_until_s, back.hold_in_until_s, back.calm_from_s) == (1210, 1310, 1410)
    assert (back.short_from_s, back.measured_s) == (840.0, {"cpu": 905.0, "p95_s": 610.0})
    assert back.counts == ((410.0, 8), (830.0, 9))
    assert back.targets == ((520.0, 12), (530.0, 11))
    response = FULL.response._replace(
        updated_s=900.0, issued_s=880.0, issued=(((1510.0, 1.0), (1570.0, 2.0)), ())
    )
    assert back.response == response
    undone = UNDONE._replace(decided_s=410.0)
    assert back.sent == Sent("s-1", 10, 12, 13, 870.0, -40.0, accepted=True, undoes=undone)
    assert back.straggler == Straggler(9, 14, 1460.0)
    assert back.watch == WATCH._replace(decided_s=310.0)
    # The action itself says when it was decided, by the clock of then.
    assert back.pending == Pending(ACTION, 1610.0, refused=True)
    assert back.asked_s == FULL.asked_s - 90.0
    assert (back.slowdown, back.desired) == (1.5, 10)
    assert (back.rise_s, back.before_rise, back.held_at) == (850.0, 6, 13)
    assert ServiceMemory().turned_back(90.0) == ServiceMemory()


# What became of a command

VERIFY = VerifySettings(answer_s=60.0)


def after_step(
    before: int, to: int, desired: int, *, rests: tuple[float, float], watch: Watch | None = None,
    undoes: Watch | None = None,
) -> ServiceMemory:  # fmt: skip
    sent = Sent("s-1", before, to, to, 1000.0, 50.0, undoes=undoes)
    return ServiceMemory(
        last_out_s=rests[0], last_in_s=rests[1], desired=desired, sent=sent, watch=watch
    )


@pytest.mark.parametrize(
    ("before", "to", "desired", "rests", "left"),
    [
        # Not made: its direction rests as before it.
        (10, 15, 10, (1000.0, 700.0), (50.0, 700.0)),
        (10, 7, 10, (700.0, 1000.0), (700.0, 50.0)),
        # Somebody else has made a step since: that one rests.
        (10, 15, 10, (1010.0, 700.0), (1010.0, 700.0)),
        (10, 7, 10, (700.0, 1010.0), (700.0, 1010.0)),
        # The other direction is left alone, whenever its step was.
        (10, 15, 10, (1000.0, 1000.0), (50.0, 1000.0)),
        (10, 7, 10, (1000.0, 1000.0), (1000.0, 50.0)),
        # The count has changed all the same.
        (10, 15, 15, (1000.0, 700.0), (1000.0, 700.0)),
        (10, 7, 7, (700.0, 1000.0), (700.0, 1000.0)),
    ],
)
def test_the_rest_after_a_step_that_was_not_made(before, to, desired, rests, *, left) -> None:  # type: ignore[no-untyped-def]
    own = after_step(before, to, desired, rests=rests)
    failed = own.answered(ActionResult("s-1", Status.FAILED, 1002.0))
    assert (failed.last_out_s, failed.last_in_s, failed.sent) == (*left, None)


@pytest.mark.parametrize(
    ("watch", "undoes", "left"),
    [
        (WATCH._replace(decision_id="s-1"), None, None),
        (WATCH, None, WATCH),
        (None, None, None),
        (None, UNDONE, UNDONE),
        (WATCH, UNDONE, UNDONE),
    ],
)
def test_what_is_watched_after_a_step_that_was_not_made(watch, undoes, left) -> None:  # type: ignore[no-untyped-def]
    own = after_step(10, 15, 10, rests=(1000.0, NEVER), watch=watch, undoes=undoes)
    assert own.answered(ActionResult("s-1", Status.FAILED, 1002.0)).watch == left


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.COMPLETED])
def test_a_command_that_went_through_is_not_undone_later(status: Status) -> None:
    own = after_step(10, 15, 10, rests=(1000.0, NEVER))
    accepted = own.answered(ActionResult("s-1", status, 1002.0))
    assert accepted == own._replace(sent=own.sent._replace(accepted=True))  # type: ignore[union-attr]
    assert accepted.answered(ActionResult("s-1", Status.FAILED, 1003.0)) == accepted
    assert own.answered(None) is own
    assert ServiceMemory().answered(ActionResult("s-1", status, 1.0)) == ServiceMemory()


@pytest.mark.parametrize(
    ("before", "sent_to", "desired", "rests"),
    [
        (10, None, 10, (NEVER, NEVER)),
        (10, None, 12, (2000.0, NEVER)),
        (10, None, 7, (NEVER, 2000.0)),
        (-1, None, 12, (NEVER, NEVER)),  # the first look
        (0, None, 1, (2000.0, NEVER)),
        (10, 12, 12, (NEVER, NEVER)),  # what was asked for
        (10, 12, 13, (2000.0, NEVER)),
        (10, 12, 9, (NEVER, 2000.0)),
    ],
)
def test_a_change_that_nobody_here_asked_for_rests(before, sent_to, desired, rests) -> None:  # type: ignore[no-untyped-def]
    sent = None if sent_to is None else Sent("s-1", before, sent_to, sent_to, 1990.0, 50.0)
    own = ServiceMemory(desired=before, sent=sent).compared(desired, 2000.0, VERIFY)
    assert (own.last_out_s, own.last_in_s, own.desired) == (*rests, desired)


@pytest.mark.parametrize(
    ("now_s", "desired", "accepted", "lost"),
    [
        (1059.9, 10, False, False),
        (1060.0, 10, False, True),
        (1060.0, 10, True, False),
        (1060.0, 12, False, False),  # it has had its effect
    ],
)
def test_a_command_without_answer_or_effect_is_lost_in_time(now_s, desired, accepted, lost) -> None:  # type: ignore[no-untyped-def]
    sent = Sent("s-1", 10, 12, 12, 1000.0, 50.0, accepted=accepted)
    own = ServiceMemory(desired=10, last_out_s=1000.0, sent=sent)
    compared = own.compared(desired, now_s, VERIFY)
    assert (compared.sent is None) is lost
    assert compared.last_out_s == (50.0 if lost else 1000.0)


# The beginning of a step


def begun(memory: Memory, now_s: float, *names: str, **settings: float) -> Memory:
    services = tuple(make_service(make_spec(name), desired=10) for name in names or ("api",))
    return remember(memory, observe(*services, now_s=now_s), EngineSettings(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now_s", "moved_s"),
    [(1000.0, 0.0), (999.0, 6.0), (400.0, 605.0)],  # back by 600 s, and a sample's time of 5 s
)
def test_a_clock_set_back_moves_what_is_remembered_of_the_platform(now_s, moved_s) -> None:  # type: ignore[no-untyped-def]
    own = ServiceMemory(desired=10, last_out_s=100.0, counts=((90.0, 10),))
    memory = Memory(1000.0, 1010.0, 7, {"api": own}, {"api": 995.0}, {})
    after = begun(memory, now_s)
    assert after == Memory(
        now_s, 1010.0 - moved_s, 7, {"api": own.turned_back(moved_s) if moved_s else own},
        {"api": 995.0 - moved_s}, {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("now_s", "cycle_s", "slept"),
    [(1060.0, 15.0, False), (1060.1, 15.0, True), (1090.0, 30.0, False), (1090.1, 30.0, True)],
)
def test_after_a_sleep_nothing_is_taken_away_at_once(now_s, cycle_s, slept) -> None:  # type: ignore[no-untyped-def]
    memory = Memory(1000.0, services={"api": ServiceMemory(desired=10)})
    after = begun(memory, now_s, cycle_s=cycle_s)
    assert after.services["api"].last_in_s == (now_s if slept else NEVER)


def test_at_the_first_step_nobody_has_slept() -> None:
    memory = Memory(services={"api": ServiceMemory(desired=10)})
    assert begun(memory, 1e9).services["api"].last_in_s == NEVER


@pytest.mark.parametrize(("gone_s", "kept"), [(0.0, True), (3599.9, True), (3600.0, False)])
def test_a_service_is_forgotten_an_hour_after_it_was_last_seen(gone_s: float, kept: bool) -> None:
    own = ServiceMemory(desired=10, counts=((90.0, 10),))
    memory = Memory(
        9000.0, services={"api": own, "db": own}, newest_s={"api": 1.0, "db": 2.0},
        absent_s={"db": 9001.0 - gone_s},
    )  # fmt: skip
    after = begun(memory, 9001.0)
    assert ("db" in after.services, "db" in after.newest_s, "db" in after.absent_s) == (kept,) * 3
    if kept:
        assert after.absent_s["db"] == 9001.0 - gone_s
    assert after.services["api"] == own


def test_one_that_has_just_gone_is_absent_from_now_on_and_one_that_is_back_is_not() -> None:
    own = ServiceMemory(desired=10)
    memory = Memory(9000.0, services={"api": own, "db": own})
    assert begun(memory, 9001.0).absent_s == {"db": 9001.0}
    away = memory._replace(absent_s={"db": 8000.0})
    assert begun(away, 9001.0, "api", "db").absent_s == {}


def test_results_reach_the_service_whose_command_they_are_of() -> None:
    sent = Sent("s-1", 10, 12, 12, 1000.0, 50.0)
    own = ServiceMemory(desired=10, sent=sent, counts=((90.0, 10),))
    memory = Memory(1000.0, services={"api": own, "db": own._replace(sent=None)})
    services = (make_service(desired=10), make_service(make_spec("db"), desired=10))
    results = (ActionResult("s-1", Status.ACCEPTED, 1001.0),)
    after = remember(memory, observe(*services, now_s=1005.0, results=results), EngineSettings())
    assert after.services["api"].sent == sent._replace(accepted=True)
    assert after.services["db"] == own._replace(sent=None)


# Older memories


def old_service(**changes: object) -> dict[str, object]:
    figures: dict[str, object] = {
        "last_out_s": 100.0,
        "last_in_s": -math.inf,
        "hold_out_until_s": 1300.0,
        "hold_in_until_s": -math.inf,
        "calm_from_s": -math.inf,
        "targets": [[610.0, 12]],
        "response": {
            "level": 0.1, "variance": 0.2, "surge": 0.3, "updated_s": 990.0,
            "horizon_variance": [0.4], "issued": [[[1600.0, 1.0]]], "issued_s": 970.0,
            "slowdown": 1.5,
        },
        "last_seen_s": 995.0,
        "desired": 10,
        "sent": None,
        "watch": None,
        "pending": None,
        "pending_until_s": -math.inf,
    }  # fmt: skip
    return figures | changes


def migrated(version: int, state: dict[str, object]) -> Memory:
    return from_json(json.dumps({"version": version, "state": state}))


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_memory_is_carried_over(version: int) -> None:
    watch = WATCH._asdict()
    sent = FULL.sent._asdict() | {"undoes": UNDONE._asdict()}  # type: ignore[union-attr]
    api = old_service(watch=watch, sent=sent, pending=ACTION_DOCUMENT, pending_until_s=1700.0)
    state: dict[str, object] = {
        "last_step_s": 1000.0, "next_cycle_s": 1010.0, "decisions": 7, "services": {"api": api},
    }  # fmt: skip
    assert migrated(version, state) == Memory(
        1000.0,
        1010.0,
        7,
        {
            "api": ServiceMemory(
                last_out_s=100.0,
                hold_out_until_s=1300.0,
                targets=((610.0, 12),),
                response=ResponseMemory(0.1, 0.2, 0.3, 990.0, (0.4,), (((1600.0, 1.0),),), 970.0),
                slowdown=1.5,
                desired=10,
                sent=FULL.sent,
                watch=WATCH,
                pending=Pending(ACTION, 1700.0),
            )
        },
        {"api": 995.0},
    )


def test_an_old_memory_without_the_time_of_its_last_step_goes_by_its_newest_sample() -> None:
    state: dict[str, object] = {
        "services": {"api": old_service(), "db": old_service(last_seen_s=999.0)},
    }
    memory = migrated(1, state)
    assert memory.last_step_s == 999.0
    assert memory.newest_s == {"api": 995.0, "db": 999.0}
    assert memory.services["api"].last_out_s == 100.0
    assert (memory.next_cycle_s, memory.decisions) == (NEVER, 0)
    assert migrated(1, {"services": {}}) == Memory()


def test_an_old_memory_of_a_service_that_was_never_observed_is_as_new() -> None:
    response = old_service()["response"] | {"variance": math.inf, "horizon_variance": [1.0]}  # type: ignore[operator]
    state: dict[str, object] = {
        "last_step_s": 1000.0, "services": {"api": old_service(response=response)},
    }  # fmt: skip
    kept = migrated(2, state).services["api"].response
    assert (kept.variance, kept.horizon_variance) == (0.0, ())


def test_a_clock_set_back_moves_since_when_a_service_is_absent() -> None:
    own = ServiceMemory(desired=10)
    memory = Memory(9000.0, services={"api": own, "db": own}, absent_s={"db": 8000.0})
    assert begun(memory, 8905.0).absent_s == {"db": 7900.0}  # back by 100 s


def test_each_service_is_compared_whatever_the_one_before_it_did() -> None:
    own = ServiceMemory(desired=10, counts=((90.0, 10),))
    memory = Memory(1000.0, services={"api": own, "db": own._replace(desired=12)})
    after = begun(memory, 1005.0, "api", "db")
    assert after.services["api"] == own
    assert after.services["db"] == own._replace(last_in_s=1005.0)


def test_an_old_memory_without_a_count_or_a_slowdown_begins_with_none() -> None:
    raw = old_service()
    del raw["desired"], raw["response"]["slowdown"]  # type: ignore[attr-defined]
    kept = migrated(1, {"services": {"api": raw}}).services["api"]
    assert (kept.desired, kept.slowdown) == (-1, 1.0)


def test_a_memory_that_could_not_be_kept_again_is_none() -> None:
    for value in ("1e999", "NaN"):
        with pytest.raises(ValueError, match="not JSON compliant"):
            from_json(to_json(MEMORY).replace('"level": 0.1', f'"level": {value}'))
    with pytest.raises(ValueError, match="not a snapshot of this engine"):
        from_json("[" * 100_000)
