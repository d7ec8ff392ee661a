"""What the engine remembers of its commands: answers, late ones, lost ones, a clock set back."""

from __future__ import annotations

import math

import pytest

from engine import Autoscaler
from engine.decide.rails.limits import Purse
from engine.decide.verify import compare, take_results
from engine.memory import NEVER, AutoscalerState, Sent, ServiceMemory, Watch
from engine.model import ActionResult, Budget, Status
from engine.settings import VerifySettings
from tests.unit.engine.conftest import make_service, observe

VERIFY = VerifySettings(answer_s=60.0)


def sent(
    before: int = 10, to: int = 15, at_s: float = 1000.0, rest_s: float = 600.0, **more: object
) -> Sent:
    return Sent("d-1", before, to, max(before, to), at_s, rest_s, **more)  # type: ignore[arg-type]


def memory_after(step: Sent, desired: int = 10) -> ServiceMemory:
    memory = ServiceMemory(desired=desired, sent=step)
    if step.to_instances > step.from_instances:
        memory.last_out_s = step.sent_s
    else:
        memory.last_in_s = step.sent_s
    return memory


def answer(status: Status, decision_id: str = "d-1") -> dict[str, ActionResult]:
    return {decision_id: ActionResult(decision_id, status, 1002.0)}


def test_a_refused_step_leaves_the_rest_after_the_step_before_it() -> None:
    memory = memory_after(sent())
    take_results(memory, answer(Status.FAILED))
    assert memory.last_out_s == 600.0
    assert memory.sent is None


def test_a_refused_step_in_restores_the_rest_of_that_direction() -> None:
    memory = memory_after(sent(10, 7))
    memory.last_out_s = 900.0
    take_results(memory, answer(Status.FAILED))
    assert (memory.last_in_s, memory.last_out_s) == (600.0, 900.0)


def test_an_accepted_step_stays_made_whatever_is_said_later() -> None:
    memory = memory_after(sent())
    take_results(memory, answer(Status.ACCEPTED))
    take_results(memory, answer(Status.FAILED))
    assert memory.last_out_s == 1000.0


def test_answers_to_other_commands_are_nobodys() -> None:
    memory = memory_after(sent())
    take_results(memory, answer(Status.FAILED, "d-0"))
    assert memory.sent is not None
    assert memory.last_out_s == 1000.0


def test_a_command_thought_failed_that_comes_late_is_rested_upon() -> None:
    memory = memory_after(sent())
    take_results(memory, answer(Status.FAILED))
    compare(memory, 15, 1040.0, VERIFY)
    assert memory.last_out_s == 1040.0


def test_a_step_that_somebody_else_made_is_rested_upon() -> None:
    memory = ServiceMemory(desired=10)
    compare(memory, 7, 500.0, VERIFY)
    assert (memory.last_in_s, memory.last_out_s) == (500.0, NEVER)
    compare(memory, 9, 700.0, VERIFY)
    assert (memory.last_in_s, memory.last_out_s) == (500.0, 700.0)


def test_the_own_step_and_the_first_look_are_no_surprise() -> None:
    memory = memory_after(sent())
    compare(memory, 15, 1005.0, VERIFY)
    assert memory.last_out_s == 1000.0
    unknown = ServiceMemory()
    compare(unknown, 15, 1005.0, VERIFY)
    assert unknown.last_out_s == NEVER


def test_a_command_without_answer_or_effect_counts_as_lost() -> None:
    memory = memory_after(sent())
    compare(memory, 10, 1059.0, VERIFY)
    assert memory.sent is not None
    compare(memory, 10, 1060.0, VERIFY)
    assert memory.sent is None
    assert memory.last_out_s == 600.0


def test_a_refused_rollback_is_wanted_again() -> None:
    watch = Watch("d-0", 10, 15, 800.0, 0.0, 100.0, healthy=True)
    memory = memory_after(sent(15, 10, undoes=watch), desired=15)
    take_results(memory, answer(Status.FAILED))
    assert memory.watch is watch


def test_the_rest_stands_when_another_command_won_the_race() -> None:
    memory = memory_after(sent(), desired=15)
    take_results(memory, answer(Status.FAILED))
    assert memory.last_out_s == 1000.0


def test_what_is_on_its_way_is_paid_from_the_purse() -> None:
    service = make_service(desired=10)
    budget = Budget(math.inf, 20.0)
    name = service.spec.name
    assert Purse.after([service], budget, {}).instances == 10.0
    on_its_way = {name: memory_after(sent())}
    assert Purse.after([service], budget, on_its_way).instances == 5.0
    on_its_way[name].sent.accepted = True  # type: ignore[union-attr]
    assert Purse.after([service], budget, on_its_way).instances == 10.0


def test_a_clock_set_back_moves_all_that_is_remembered() -> None:
    state = AutoscalerState(last_step_s=5000.0, next_cycle_s=5010.0)
    memory = memory_after(sent())
    memory.calm_from_s = 5300.0
    memory.targets = [(4900.0, 12)]
    memory.watch = Watch("d-0", 10, 15, 800.0, 0.0, 100.0, healthy=True)
    memory.response.issued = [[(5900.0, 1.0)]]
    state.services["api"] = memory
    state.turn_back(600.0)
    assert (state.last_step_s, state.next_cycle_s) == (4400.0, 4410.0)
    assert (memory.last_out_s, memory.calm_from_s) == (400.0, 4700.0)
    assert memory.targets == [(4300.0, 12)]
    assert memory.watch.decided_s == 200.0
    assert memory.sent is not None
    assert memory.sent.sent_s == 400.0
    assert memory.response.issued == [[(5300.0, 1.0)]]
    assert memory.last_in_s == NEVER


def test_the_engine_goes_on_when_its_clock_is_set_back() -> None:
    engine = Autoscaler()
    assert engine.step(observe(now_s=1_000_000.0)).cycle
    assert not engine.step(observe(now_s=1_000_005.0)).cycle
    cycles = [engine.step(observe(now_s=996_400.0 + 5.0 * k)).cycle for k in range(6)]
    assert sum(cycles) == 2


def test_after_a_long_sleep_nothing_is_taken_away_for_a_while() -> None:
    engine = Autoscaler()
    engine.step(observe(now_s=1_000_000.0))
    engine.step(observe(now_s=1_000_050.0))
    assert engine.state.services["api"].last_in_s == NEVER
    engine.step(observe(now_s=1_000_200.0))
    assert engine.state.services["api"].last_in_s == 1_000_200.0


def test_the_memory_of_a_command_survives_a_restart() -> None:
    watch = Watch("d-0", 10, 15, 800.0, 0.0, 100.0, healthy=True)
    state = AutoscalerState(last_step_s=5.0, next_cycle_s=15.0)
    state.services["api"] = memory_after(sent(15, 10, undoes=watch), desired=15)
    restored = AutoscalerState.from_json(state.to_json())
    assert restored.services["api"].sent == state.services["api"].sent
    assert restored.to_json() == state.to_json()


def test_a_snapshot_of_another_version_is_refused() -> None:
    text = AutoscalerState().to_json().replace('"version": 2', '"version": 1')
    with pytest.raises(ValueError, match="version 1 is not 2"):
        AutoscalerState.from_json(text)
