"""What becomes of an action, as infrastructures report it in their different ways."""

from __future__ import annotations

import math

import pytest

from engine import Autoscaler
from engine.model import ActionResult, Status
from engine.record.decisions import Decisions
from tests.unit.engine.conftest import NOW_S, make_service, make_window, observe

ACCEPTED, COMPLETED, FAILED = Status.ACCEPTED, Status.COMPLETED, Status.FAILED


@pytest.mark.parametrize(
    ("statuses", "accepted_s", "completed_s", "outcome"),
    [
        ([], math.nan, math.nan, "requested"),
        ([ACCEPTED], 1.0, math.nan, "accepted"),
        ([ACCEPTED, COMPLETED], 1.0, 2.0, "completed"),
        # done at once, without a word of taking it
        ([COMPLETED], 1.0, 1.0, "completed"),
        ([FAILED], math.nan, math.nan, "failed"),
        # thought failed for its caller, and carried out after all
        ([FAILED, ACCEPTED, COMPLETED], 2.0, 3.0, "completed"),
    ],
)
def test_the_row_of_an_action_follows_what_is_said_of_it(
    statuses: list[Status], accepted_s: float, completed_s: float, outcome: str
) -> None:
    observation = observe(make_service(window=make_window(cpu=0.9)))
    plan = Autoscaler().step(observation)
    (action,) = plan.actions
    decisions = Decisions()
    decisions.note(NOW_S, observation, plan)
    for k, status in enumerate(statuses):
        decisions.result(ActionResult(action.decision_id, status, k + 1.0, "because"))
    (row,) = [row for row in decisions.rows if row["kind"] == "action"]
    assert row["accepted_s"] == pytest.approx(accepted_s, nan_ok=True)
    assert row["completed_s"] == pytest.approx(completed_s, nan_ok=True)
    assert row["outcome"] == outcome
    assert row["why"] == ("because" if outcome == "failed" else "")
