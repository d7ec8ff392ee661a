"""No row that was acknowledged is lost, and none is there twice; benchmarks/store.py tries more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests import store_crashes

SCRIPT = str(Path(store_crashes.__file__))

EARLY = f"""
import asyncio, sys
sys.argv = [{SCRIPT!r}, "kill", "40", "2"]
sys.path.insert(0, {str(Path(SCRIPT).parent)!r})
import store_crashes
from engine.adapters.store.halves import SqlStore

async def change(self, make):
    self.database.write(make)  # and does not wait for it
    await asyncio.sleep(0.0)

SqlStore._change = change
store_crashes.main()
"""


SPOILED = f"""
import sys
sys.argv = [{SCRIPT!r}, "kill", "40", "2"]
sys.path.insert(0, {str(Path(SCRIPT).parent)!r})
import store_crashes
"""
FORGETFUL = (
    SPOILED
    + """
store_crashes.AuditLog._remember = lambda self, name: None
store_crashes.main()
"""
)
HASTY = (
    SPOILED
    + """
def carry(self):
    rows = self._staged.staged(256)
    self._staged.unstage([row.id for row in rows])
    if rows:
        self.audit.take(rows)
    return len(rows)

store_crashes.Courier.carry = carry
store_crashes.main()
"""
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process without threads, as it forks.
    return subprocess.run(
        [sys.executable, *arguments], cwd=Path(SCRIPT).parents[1], capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip


def test_what_a_killed_writer_had_acknowledged_is_there_once() -> None:
    ended = python(SCRIPT, "kill", "12", "1")
    assert ended.returncode == 0, ended.stderr
    tally = json.loads(ended.stdout)
    assert tally["kills"] == 12
    assert tally["rows"] > 0
    assert tally["waited"] > 0  # some were killed between the store and the audit log


def test_an_audit_log_that_forgets_what_it_has_is_found_out_by_a_kill() -> None:
    ended = python("-c", FORGETFUL)
    assert ended.returncode == 1
    assert "AssertionError: a row is in the audit log twice" in ended.stderr


def test_a_row_that_is_let_go_of_before_the_log_has_it_is_found_out_by_a_kill() -> None:
    ended = python("-c", HASTY)
    assert ended.returncode == 1
    assert "AssertionError: the audit log and the store have different rows" in ended.stderr


def test_a_store_that_acknowledges_too_early_is_found_out_by_a_kill() -> None:
    ended = python("-c", EARLY)
    assert ended.returncode == 1
    assert "AssertionError: acknowledged, and lost" in ended.stderr


def test_what_was_acknowledged_before_a_loss_of_power_is_there_once() -> None:
    tally = store_crashes.simulated(300, seed=1, runs=3)
    assert tally["crashes"] == 300
    assert tally["rows"] > 300


def test_a_run_that_is_recorded_fills_and_empties_its_journal() -> None:
    events = store_crashes.recorded(1)
    synced = {event.name for event in events if event.what == "sync"}
    assert synced == {"store.db", "store.db-journal", "store.db-wal"}
    assert sum(event.what == "acknowledged" for event in events) >= 60
    assert sum(event.what == "sync" and event.name == "store.db" for event in events) > 3


def spoiled(before: str, after: str) -> type[Any]:
    """A connection that is told something else than the store says."""

    class Spoiled(apsw.Connection):
        def execute(self, statement: str, *values: Any) -> Any:
            return super().execute(statement.replace(before, after), *values)

    return Spoiled


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("synchronous=NORMAL", "acknowledged, and lost"),
        ("synchronous=OFF", "lost|damaged|malformed|memory without"),
    ],
)
def test_a_store_that_does_not_wait_for_the_disk_is_found_out_by_a_simulated_crash(
    monkeypatch: pytest.MonkeyPatch, instead: str, said: str
) -> None:
    monkeypatch.setattr(apsw, "Connection", spoiled("synchronous=FULL", instead))
    with pytest.raises((AssertionError, OSError), match=said):
        store_crashes.simulated(200, seed=1, runs=2)


def test_a_memory_that_is_kept_by_itself_is_found_out_by_a_simulated_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_crashes, "_keeping", apart)
    with pytest.raises(AssertionError, match="a memory without its rows"):
        store_crashes.simulated(200, seed=1, runs=2)


def apart(number: int, size: int) -> Any:
    """Row and memory in two transactions instead of one."""
    del size

    def keep(to: Any) -> None:
        store_crashes.statements.keep(
            to, store_crashes.Kept(rows=(store_crashes.row(number),)), store_crashes.FENCE
        )
        to.execute("RELEASE one")
        to.execute("COMMIT")
        to.execute("BEGIN IMMEDIATE")
        to.execute("SAVEPOINT one")
        store_crashes.statements.keep(to, store_crashes.Kept(str(number)), store_crashes.FENCE)

    return keep
