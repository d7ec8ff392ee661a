"""Snapshots that older engines wrote are carried over: see `memory_course` for how they came about.

`memory/version-N.json` holds the snapshot of version N, what was desired then, and what the engine
that wrote it did in the cycles after it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import Autoscaler
from engine.memory_json import MIGRATIONS, VERSION, from_json, to_json
from tests.regression.memory_course import SETTINGS, STORED_AFTER, moment

COMPARED = 80
"""Cycles that have to be the same.  Later the forecasts tell the two apart: they are judged by
another formula since, and what one error does to an interval is bounded, so a step in comes at
cycle 82 that did not come before."""
FOLDER = Path(__file__).parent / "memory"


def stored(version: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"version-{version}.json").read_text())
    return content


def test_there_is_a_snapshot_of_each_older_version() -> None:
    assert sorted(MIGRATIONS) == list(range(1, VERSION))
    assert {path.stem for path in FOLDER.iterdir()} == {f"version-{v}" for v in MIGRATIONS}


@pytest.mark.parametrize("version", sorted(MIGRATIONS))
def test_a_migrated_memory_is_one_of_this_version(version: int) -> None:
    text = stored(version)["snapshot"]
    assert json.loads(text)["version"] == version
    memory = from_json(text)
    assert from_json(to_json(memory)) == memory


def test_after_a_migration_the_engine_goes_on_as_the_one_before_would_have() -> None:
    before = stored(2)
    engine = Autoscaler(SETTINGS)
    engine.restore(before["snapshot"])
    asked = tuple(
        own.pending.action.decision_id
        for own in engine.memory.services.values()
        if own.pending is not None
    )
    assert asked
    desired, course = dict(before["desired"]), []
    for cycle in range(STORED_AFTER, STORED_AFTER + COMPARED):
        plan = engine.step(moment(cycle, desired, asked))
        asked = tuple(action.decision_id for action in plan.awaiting)
        course.append(
            [[a.service, a.from_instances, a.to_instances, a.reason.value] for a in plan.actions]
        )
        desired |= {action.service: action.to_instances for action in plan.actions}
    assert sum(map(len, course)) > 5
    assert course == before["next"][:COMPARED]


def test_what_the_first_version_did_not_know_never_happened() -> None:
    memory = from_json(stored(1)["snapshot"])
    assert memory.last_step_s == max(memory.newest_s.values())
    for own in memory.services.values():
        assert own.sent is None
        assert own.response.horizon_variance
        assert own.last_out_s < memory.last_step_s
