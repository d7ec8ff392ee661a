"""What the engine remembers of its commands: answers, late ones, lost ones, a clock set back."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from engine import Autoscaler
from engine.decide.allocate import purse
from engine.memory import (
    ASLEEP_S,
    GONE_S,
    NEVER,
    Memory,
    ResponseMemory,
    Sent,
    ServiceMemory,
    Straggler,
    Watch,
    remember,
)
from engine.memory_json import from_json, to_json
from engine.model import ActionResult, Budget, ServiceObservation, Status
from engine.settings import EngineSettings, VerifySettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

SETTINGS = EngineSettings()
VERIFY = VerifySettings()


def sent(
    before: int = 10, to: int = 15, at_s: float = 1000.0, rest_s: float = 600.0, **more: object
) -> Sent:
    return Sent("d-1", before, to, max(before, to), at_s, rest_s, **more)  # type: ignore[arg-type]


def memory_after(step: Sent, desired: int = 10) -> ServiceMemory:
    memory = ServiceMemory(desired=desired, sent=step)
    if step.to_instances > step.from_instances:
        return memory._replace(last_out_s=step.sent_s)
    return memory._replace(last_in_s=step.sent_s)


def begin(
    memory: Memory,
    now_s: float,
    *services: ServiceObservation,
    results: tuple[ActionResult, ...] = (),
) -> Memory:
    """The memory at the beginning of a step."""
    return remember(memory, observe(*services, now_s=now_s, results=results), SETTINGS)


def answer(status: Status) -> ActionResult:
    return ActionResult("d-1", status, 1002.0)


def test_a_refused_step_leaves_the_rest_after_the_step_before_it() -> None:
    memory = memory_after(sent()).answered(answer(Status.FAILED))
    assert memory.last_out_s == 600.0
    assert memory.sent is None


def test_a_refused_step_in_restores_the_rest_of_that_direction() -> None:
    memory = memory_after(sent(10, 7))._replace(last_out_s=900.0)
    memory = memory.answered(answer(Status.FAILED))
    assert (memory.last_in_s, memory.last_out_s) == (600.0, 900.0)


def test_an_accepted_step_stays_made_whatever_is_said_later() -> None:
    memory = memory_after(sent()).answered(answer(Status.ACCEPTED)).answered(answer(Status.FAILED))
    assert memory.last_out_s == 1000.0
    assert memory.sent is not None


def test_answers_to_other_commands_are_nobodys() -> None:
    memory = Memory(1000.0, services={"api": memory_after(sent())})
    results = (ActionResult("d-0", Status.FAILED, 1002.0),)
    after = begin(memory, 1005.0, make_service(desired=10), results=results)
    assert after.services["api"].sent is not None
    assert after.services["api"].last_out_s == 1000.0


def test_a_command_thought_failed_that_comes_late_is_rested_upon() -> None:
    memory = memory_after(sent()).answered(answer(Status.FAILED)).compared(15, 1040.0, VERIFY)
    assert memory.last_out_s == 1040.0


def test_a_step_that_somebody_else_made_is_rested_upon() -> None:
    memory = ServiceMemory(desired=10).compared(7, 500.0, VERIFY)
    assert (memory.last_in_s, memory.last_out_s) == (500.0, NEVER)
    memory = memory.compared(9, 700.0, VERIFY)
    assert (memory.last_in_s, memory.last_out_s) == (500.0, 700.0)


def test_the_own_step_and_the_first_look_are_no_surprise() -> None:
    assert memory_after(sent()).compared(15, 1005.0, VERIFY).last_out_s == 1000.0
    assert ServiceMemory().compared(15, 1005.0, VERIFY).last_out_s == NEVER


def test_a_command_without_answer_or_effect_counts_as_lost() -> None:
    memory = memory_after(sent()).compared(10, 1059.0, VERIFY)
    assert memory.sent is not None
    memory = memory.compared(10, 1060.0, VERIFY)
    assert memory.sent is None
    assert memory.last_out_s == 600.0


def test_a_refused_rollback_is_wanted_again() -> None:
    watch = Watch("d-0", 10, 15, 800.0, 0.0, 100.0, healthy=True)
    memory = memory_after(sent(15, 10, undoes=watch), desired=15).answered(answer(Status.FAILED))
    assert memory.watch is watch


def test_a_refused_step_is_watched_no_longer() -> None:
    own = Watch("d-1", 10, 15, 1000.0, 0.0, 100.0, healthy=True)
    other = own._replace(decision_id="d-0")
    for watch, left in ((own, None), (other, other)):
        memory = memory_after(sent())._replace(watch=watch).answered(answer(Status.FAILED))
        assert memory.watch == left


def test_the_rest_stands_when_another_command_won_the_race() -> None:
    memory = memory_after(sent(), desired=15).answered(answer(Status.FAILED))
    assert memory.last_out_s == 1000.0


def test_what_is_on_its_way_is_paid_from_the_purse() -> None:
    service = make_service(desired=10)
    budget = Budget(math.inf, 20.0)
    name = service.spec.name
    assert purse([service], budget, {}, 1000.0).instances == 10.0
    assert purse([service], budget, {name: memory_after(sent())}, 1000.0).instances == 5.0
    accepted = {name: memory_after(sent(accepted=True))}
    assert purse([service], budget, accepted, 1000.0).instances == 10.0


def test_a_command_that_failed_may_be_carried_out_yet_and_is_paid_until_then() -> None:
    failed = memory_after(sent()).answered(answer(Status.FAILED))
    assert failed.sent is None
    assert failed.straggler == Straggler(10, 15, 1600.0)
    for desired, at_s, most in (
        (10, 1000.0, 15), (10, 1599.9, 15), (10, 1600.0, 10),
        (11, 1000.0, 11),  # it counts on ten alone
        (9, 1000.0, 9),
    ):  # fmt: skip
        assert failed.at_most(desired, at_s) == most
    again = failed._replace(sent=sent(to=12)._replace(sent_s=1010.0))
    assert again.at_most(10, 1010.0) == 15
    assert again.answered(answer(Status.FAILED)).straggler == Straggler(10, 15, 1610.0)
    other = failed._replace(sent=sent(11, 12), desired=11)
    assert other.answered(answer(Status.FAILED)).straggler == Straggler(11, 12, 1600.0)
    assert failed._replace(sent=sent(to=18)).at_most(10, 1000.0) == 18
    assert memory_after(sent(accepted=True)).at_most(10, 1000.0) == 10


def test_a_command_that_never_left_the_engine_is_not_paid() -> None:
    never = replace(answer(Status.FAILED), sent=False)
    failed = memory_after(sent()).answered(never)
    assert (failed.sent, failed.straggler) == (None, None)
    assert failed.last_out_s == memory_after(sent()).answered(answer(Status.FAILED)).last_out_s
    assert failed.at_most(10, 1000.0) == 10
    # One that was sent before and may come yet goes on counting, for its own time.
    before = memory_after(sent())._replace(straggler=Straggler(10, 12, 1500.0)).answered(never)
    assert before.straggler == Straggler(10, 12, 1500.0)
    # And one that the infrastructure has accepted was sent, whatever is said of it later.
    accepted = memory_after(sent(accepted=True))
    assert accepted.answered(never) == accepted


def test_a_clock_set_back_moves_all_that_is_remembered() -> None:
    own = memory_after(sent(accepted=True))._replace(
        calm_from_s=5300.0,
        targets=((4900.0, 12),),
        watch=Watch("d-0", 10, 15, 800.0, 0.0, 100.0, healthy=True),
        response=ResponseMemory(issued=(((5900.0, 1.0),),), updated_s=4990.0),
    )
    memory = Memory(5000.0, 5010.0, services={"api": own}, newest_s={"api": 4997.0})
    # Back by 600 s: the engine takes it that one sample's time has passed meanwhile.
    now_s = 5000.0 + SETTINGS.sample_s - 600.0
    after = begin(memory, now_s, make_service(desired=10))
    moved = after.services["api"]
    assert (after.last_step_s, after.next_cycle_s) == (now_s, 4410.0)
    assert after.newest_s == {"api": 4397.0}
    assert (moved.last_out_s, moved.calm_from_s) == (400.0, 4700.0)
    assert moved.targets == ((4300.0, 12),)
    assert moved.watch is not None
    assert moved.watch.decided_s == 200.0
    assert moved.sent is not None
    assert moved.sent.sent_s == 400.0
    assert moved.response.issued == (((5300.0, 1.0),),)
    assert moved.response.updated_s == 4390.0
    assert moved.last_in_s == NEVER


def test_the_engine_goes_on_when_its_clock_is_set_back() -> None:
    engine = Autoscaler()
    assert engine.step(observe(now_s=1_000_000.0)).cycle
    assert not engine.step(observe(now_s=1_000_005.0)).cycle
    cycles = [engine.step(observe(now_s=996_400.0 + 5.0 * k)).cycle for k in range(6)]
    assert sum(cycles) == 2


def test_after_a_long_sleep_nothing_is_taken_away_for_a_while() -> None:
    engine = Autoscaler()
    engine.step(observe(now_s=1_000_000.0))
    engine.step(observe(now_s=1_000_000.0 + ASLEEP_S))
    assert engine.memory.services["api"].last_in_s == NEVER
    engine.step(observe(now_s=1_000_000.1 + 2.0 * ASLEEP_S))
    assert engine.memory.services["api"].last_in_s == 1_000_000.1 + 2.0 * ASLEEP_S


def test_a_service_that_is_gone_for_a_moment_is_remembered_and_one_gone_for_good_is_not() -> None:
    api, database = make_service(make_spec()), make_service(make_spec("database"))
    memory = begin(Memory(), 1000.0, api, database)
    memory = memory._replace(
        services=memory.services | {"database": ServiceMemory(last_out_s=990.0, desired=10)},
        newest_s={"api": 997.0, "database": 997.0},
    )
    gone = begin(memory, 1005.0, api)
    assert gone.services["database"].last_out_s == 990.0
    back = begin(gone, 1010.0, api, database)
    assert back.services["database"].last_out_s == 990.0
    assert back.absent_s == {}
    late = begin(gone, 1005.0 + GONE_S, api)
    assert set(late.services) == set(late.newest_s) == {"api"}


def test_the_memory_of_a_command_survives_a_restart() -> None:
    watch = Watch("d-0", 10, 15, 800.0, 0.0, 100.0, healthy=True)
    memory = Memory(
        5000.0, 5010.0, services={"api": memory_after(sent(15, 10, undoes=watch), desired=15)}
    )
    assert from_json(to_json(memory)) == memory
    assert from_json(to_json(Memory())) == Memory()


def _no_constant(text: str) -> float:
    raise AssertionError(f"{text} is no JSON")


def test_a_snapshot_is_strict_json_that_holds_ages() -> None:
    engine = Autoscaler()
    engine.step(observe())
    document = json.loads(engine.snapshot(), parse_constant=_no_constant)
    api = document["services"]["api"]
    assert (api["last_out_s"], api["response"]["updated_s"]) == (None, 3.0)
    assert document["newest_s"] == {"api": 3.0}


def test_a_question_about_figures_that_are_missing_or_endless_survives_a_restart() -> None:
    engine = Autoscaler(EngineSettings(approval={"max_instances": 1}))  # type: ignore[arg-type]
    window = make_window(cpu=0.9, rate=math.nan)
    (asked,) = engine.step(observe(make_service(window=window))).awaiting
    pending = engine.memory.services["api"].pending
    assert pending is not None
    odd = replace(asked, evidence={"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.5})
    memory = engine.memory._replace(
        services={
            "api": engine.memory.services["api"]._replace(pending=pending._replace(action=odd))
        }
    )
    text = to_json(memory)
    json.loads(text, parse_constant=_no_constant)
    restored = from_json(text).services["api"].pending
    assert restored is not None
    np.testing.assert_equal(dict(restored.action.evidence), dict(odd.evidence))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting"),
        ("[]", "not a snapshot"),
        ('{"services": {}}', "not a snapshot"),
        ('{"version": 99}', r"version 99 is not known \(1 … 3\); it was written by a newer engine"),
        ('{"version": 3, "services": {"api": {"sent": {}}}}', "not a snapshot"),
        ('{"version": 3, "services": {"api": {"targets": [[1.0, "x"]]}}}', "invalid literal"),
    ],
)
def test_what_is_no_snapshot_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(text)


def test_absent_keys_count_as_what_never_happened() -> None:
    memory = from_json('{"version": 3, "last_step_s": 5.0, "services": {"api": {}}}')
    assert memory == Memory(5.0, services={"api": ServiceMemory()})


def test_a_step_that_raises_has_changed_nothing() -> None:
    services = (make_service(make_spec()), make_service(make_spec("database")))
    engine = Autoscaler()
    engine.step(observe(*services))
    before, memory = engine.snapshot(), engine.memory
    # The second service is broken: the first one has been looked at by then.
    outlook = replace(make_outlook(), services={"api": 0, "database": 7})
    with pytest.raises(IndexError):
        engine.step(observe(*services, now_s=NOW_S + 15.0, outlook=outlook))
    assert engine.memory is memory
    assert engine.snapshot() == before


@pytest.mark.parametrize(
    ("looks", "since_s"),
    [
        # (time, desired, ready): since when fewer are ready than desired
        ([(0.0, 10, 10)], NEVER),
        ([(0.0, 10, 9)], 0.0),
        ([(0.0, 10, 10), (5.0, 10, 9), (10.0, 10, 8)], 5.0),
        ([(0.0, 10, 9), (5.0, 10, 10)], NEVER),
        ([(0.0, 10, 9), (5.0, 10, 11)], NEVER),
        ([(0.0, 10, 10), (5.0, 10, 11)], NEVER),
        ([(0.0, 10, 9), (5.0, 10, 10), (10.0, 10, 9)], 10.0),
        # Counted anew when more are desired, not when fewer are.
        ([(0.0, 10, 9), (5.0, 12, 9)], 5.0),
        ([(0.0, 10, 8), (5.0, 9, 8)], 0.0),
        ([(0.0, 10, 10), (5.0, 12, 10), (10.0, 12, 11)], 5.0),
    ],
)
def test_since_when_instances_are_waited_for(
    looks: list[tuple[float, int, int]], since_s: float
) -> None:
    memory = Memory()
    for time_s, desired, ready in looks:
        memory = begin(memory, 1000.0 + time_s, make_service(desired=desired, ready=ready))
    own = memory.services["api"]
    assert own.short_from_s == (since_s if since_s == NEVER else 1000.0 + since_s)
    assert own.desired == looks[-1][1]
    assert own.counts[-1][1] == looks[-1][2]  # and how many were ready


@pytest.mark.parametrize(
    ("memory", "desired", "before_rise"),
    [
        (ServiceMemory(desired=10, before_rise=6), 10, 6),
        (ServiceMemory(desired=10, before_rise=6), 12, -1),
        (ServiceMemory(desired=10, before_rise=6), 8, -1),
        (ServiceMemory(before_rise=6), 8, 6),  # never looked at: nobody can say who it was
        (memory_after(sent())._replace(before_rise=6), 15, 6),  # its own step
        (memory_after(sent())._replace(before_rise=6), 16, -1),
    ],
)
def test_who_else_changes_a_count_leaves_nothing_to_take_back(
    memory: ServiceMemory, desired: int, before_rise: int
) -> None:
    assert memory.compared(desired, 1005.0, VERIFY).before_rise == before_rise


@pytest.mark.parametrize(("slept_s", "before_rise"), [(ASLEEP_S, 6), (ASLEEP_S + 0.1, -1)])
def test_after_a_sleep_nothing_is_taken_back(slept_s: float, before_rise: int) -> None:
    before = Memory(last_step_s=1_000_000.0 - slept_s, services={"api": ServiceMemory(
        desired=10, before_rise=6)})  # fmt: skip
    after = remember(before, observe(make_service(desired=10)), SETTINGS)
    assert after.services["api"].before_rise == before_rise
