"""Whatever fails in between: every result and every answer is in a memory once, in order."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.model import ActionResult, Approval, Observation, Plan, Status
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.store import Requests
from engine.runtime.cycle import Cycle, Gathered
from tests.unit.engine.runtime.conftest import SPEC, START_S
from tests.unit.engine.runtime.test_cycle import OUTLOOK


class Noting:
    """Its memory is what it was given; it raises when it is told to, half done."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.raises = False

    def step(self, observation: Observation) -> Plan:
        self.notes += [result.decision_id for result in observation.results]
        if self.raises:
            raise ZeroDivisionError
        self.notes += [answer.decision_id for answer in observation.approvals]
        return Plan(cycle=False)

    def snapshot(self) -> str:
        return json.dumps(self.notes)

    def restore(self, snapshot: str) -> None:
        self.notes = json.loads(snapshot)


TURNS = st.lists(
    st.fixed_dictionaries(
        {
            "results": st.integers(0, 2),
            "late": st.integers(0, 2),
            "answers": st.integers(0, 2),
            "raises": st.booleans(),
            "seen": st.booleans(),
            "readable": st.booleans(),
            "kept": st.booleans(),
            "removable": st.booleans(),
            "restart": st.booleans(),
        }
    ),
    max_size=6,
)


@given(TURNS)
def test_each_result_and_each_answer_counts_once(turns: list[dict[str, Any]]) -> None:
    controller = Noting()
    cycle = Cycle(controller, (SPEC,))
    cycle.begin(START_S, "")
    text, given_results, given_answers = "", [], []
    standing: list[Approval] = []
    for k, now in enumerate((*turns, dict.fromkeys(("seen", "readable", "kept"), True))):
        now_s = START_S + 5.0 * k
        names = [f"r{k}-{i}" for i in range(now.get("results", 0))]
        results = [ActionResult(name, Status.ACCEPTED, now_s) for name in names]
        answers = [Approval(f"a{k}-{i}", True, now_s, "") for i in range(now.get("answers", 0))]
        standing += answers
        given_answers += [answer.decision_id for answer in answers]
        if now["seen"]:
            given_results += names
        controller.raises = now.get("raises", False)
        observation = cycle.observe(
            now_s,
            Gathered(
                Sighting({"api": Counts(4, 4, 0, 0)}, tuple(results)) if now["seen"] else None,
                OUTLOOK,
                {},
                Requests(answers=tuple(standing)) if now["readable"] else None,
            ),
        )
        assert (observation is None) == (not now["seen"])
        if observation is not None:
            cycle.decide(observation)
        late = [f"l{k}-{i}" for i in range(now.get("late", 0))]
        cycle.take([ActionResult(name, Status.FAILED, now_s) for name in late])
        given_results += late
        if now["kept"]:
            memory = cycle.memory(now_s)
            assert memory is not None
            text = memory.text
            if now.get("removable"):
                standing = [answer for answer in standing if answer not in memory.answers]
            if now.get("restart"):
                controller = Noting()
                cycle = Cycle(controller, (SPEC,))
                assert cycle.begin(now_s + 1.0, text)
    last = cycle.observe(START_S + 500.0, Gathered(
        Sighting({"api": Counts(4, 4, 0, 0)}), OUTLOOK, {}, Requests(answers=tuple(standing)),
    ))  # fmt: skip
    assert last is not None
    controller.raises = False
    cycle.decide(last)
    assert [name for name in controller.notes if not name.startswith("a")] == given_results
    assert sorted(n for n in controller.notes if n.startswith("a")) == sorted(given_answers)
