"""After a restart the minutes of before are shown, as far as the journal holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from engine.api import recalled
from engine.api.application import application
from engine.api.recalled import recall
from engine.config.api import ApiConfig
from engine.model import Category, Plan
from engine.record.journal import Journal, JournalHeading, LineSealer
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, engine_in

MINUTES = 12


class Backwards:
    """Seals a line by turning it round."""

    def seal_text(self, text: str, context: str) -> str:
        return "~" + text[::-1]

    def open_text(self, text: str, context: str) -> str:
        return text[:0:-1]


def ran(folder: Path, sealer: LineSealer | None = None) -> tuple[Engine, Path]:
    """An engine and its journal of some minutes, with floors and an emergency."""
    folder.mkdir()
    made = engine_in(folder, ApiConfig())
    heading = JournalHeading(made.now_s, ("api", "database"), 5.0, "engine")
    journal = Journal(made.state, heading, sealer)
    made.context.board._notes = journal  # type: ignore[assignment]
    journal.status = made.notes.status  # type: ignore[attr-defined]
    urgent = action("d-1", category=Category.EMERGENCY)
    for step in range(12 * MINUTES):
        made.counts = {"api": 4 + step // 20, "database": 9 - step // 30}
        made.rate = 100.0 + step
        made.step(Plan(
            floors={"api": 2 + step // 40} if step % 3 == 0 else {}, cycle=step % 3 == 0,
            actions=(urgent,) if step == 48 else (),
        ))  # fmt: skip
    journal.close()
    return made, journal.path


def followed(
    folder: Path, before: Engine, journal: Path, sealer: LineSealer | None = None
) -> Engine:
    """The engine after it, a minute later."""
    folder.mkdir()
    made = engine_in(folder, ApiConfig())
    made.now_s = before.now_s + 60.0
    recall(made.context.board, journal, sealer, made.now_s)
    made.step()
    return made


def shown(engine: Engine, at_s: float) -> dict[str, Any]:
    client = TestClient(application(engine.context), raise_server_exceptions=False)
    headers = engine.token("pat", Role.VIEWER)
    answer = client.get(f"/api/scalability/overview?at={at_s:.0f}", headers=headers)
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize("sealer", [None, Backwards()], ids=["plain", "sealed"])
def test_a_minute_of_before_is_shown_as_the_engine_then_showed_it(
    tmp_path: Path, sealer: LineSealer | None
) -> None:
    before, journal = ran(tmp_path / "one", sealer)
    after = followed(tmp_path / "two", before, journal, sealer)
    states = set()
    for minute in range(1, MINUTES, 2):
        at_s = before.now_s - 60.0 * minute
        then, now = shown(before, at_s), shown(after, at_s)
        assert then["last_updated_s"] == now["last_updated_s"]
        assert then["services"].keys() == {"api", "database"}
        assert then["services"] == now["services"]
        assert then["weddings"]["in_progress"] == now["weddings"]["in_progress"] == 12.0
        assert now["weddings"]["noun"] == "weddings"
        assert now["weddings"]["major_in_progress"] is None
        states.add(now["services"]["api"]["state"])
    assert "emergency" in states and len(states) > 1
    seen = [engine.context.board.look for engine in (before, after)]
    rows = [one.services["api"].samples.since(0.0)[: 12 * MINUTES] for one in seen if one]
    assert rows[0].shape[0] == 12 * MINUTES and np.array_equal(*rows, equal_nan=True)


def test_lines_that_are_damaged_or_of_something_else_are_passed_over(tmp_path: Path) -> None:
    before, journal = ran(tmp_path / "one")
    lines = journal.read_text().splitlines()
    whole = recall(engine_in(tmp_path, ApiConfig()).context.board, journal, None, before.now_s)
    step = json.loads(lines[-1])
    for wrong in (
        "{", "[]", "\x00\xff", json.dumps({"kind": "step"}),
        json.dumps({**step, "samples": []}), json.dumps({**step, "counts": {"api": ["x"]}}),
        json.dumps({**step, "due_s": "soon"}), json.dumps({**step, "rows": [{}]}),
        json.dumps({**step, "samples": {"api": [[1.0]], "nobody": [[2.0]]}}),
    ):  # fmt: skip
        lines.insert(len(lines) // 2, wrong)
    journal.write_text("\n".join(lines) + '\n{"kind": "st')
    board = engine_in(tmp_path, ApiConfig()).context.board
    assert recall(board, journal, None, before.now_s) == whole == MINUTES


def test_of_a_long_journal_the_newest_part_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, journal = ran(tmp_path / "one")
    monkeypatch.setattr(recalled, "MOST_BYTES", journal.stat().st_size // 2)
    after = followed(tmp_path / "two", before, journal)
    assert "services" in shown(after, before.now_s - 120.0)
    assert shown(after, before.now_s - 60.0 * (MINUTES - 2))["type"].endswith("not-there")


def test_without_a_journal_or_of_another_day_nothing_is_shown(tmp_path: Path) -> None:
    before, journal = ran(tmp_path / "one")
    board = engine_in(tmp_path, ApiConfig()).context.board
    assert recall(board, tmp_path / "nothing.jsonl", None, before.now_s) == 0
    assert recall(board, journal, None, before.now_s + 2 * 86_400.0) == 0
    assert recall(board, journal, None, before.now_s - 86_400.0) == 0
    assert board.past.span() is None
