"""Rows of clients who ask a real API, small."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from twin.evidence.claims import read
from twin.evidence.measures import answers

PAUSED_S = 0.4


@pytest.fixture(scope="module")
def loads(tmp_path_factory: pytest.TempPathFactory) -> tuple[answers.Load, answers.Load, str]:
    """A load on a server as it is, and on the same that is stopped now and then; its last words."""
    said: list[str] = []
    folder: Path = tmp_path_factory.mktemp("answers")
    with answers.served(folder, said.append) as server:
        well = asyncio.run(answers.load(server.url, server.token, 40.0, 0.5, streams=3))
        paused = asyncio.run(answers.paused(server, 40.0, 1.2, 3, paused_s=PAUSED_S))
    return well, paused, said[0]


def test_each_request_is_sent_and_answered_once(loads: tuple[answers.Load, ...]) -> None:
    assert sorted(one.due_s for one in loads[0].answers) == [k / 40.0 for k in range(20)]
    assert all(one.good for one in loads[0].answers)
    assert loads[0].events >= 3


def test_what_waits_for_a_stopped_server_counts_from_when_it_was_due(
    loads: tuple[answers.Load, ...],
) -> None:
    paused = loads[1]
    assert len(paused.answers) == 48  # for longer than from one pause to the next
    assert max(one.took_ms for one in paused.answers) >= 1000.0 * PAUSED_S / 4.0


def test_the_server_says_how_long_its_steps_took(loads: tuple[object, ...]) -> None:
    assert "snapshots" in str(loads[2])


def test_the_rows_are_what_the_claim_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the seconds before a row begins nothing counts."""

    async def paused(*_: object, **__: object) -> answers.Load:
        slow = [answers.TimedAnswer(0.5, 900.0, False)]
        rows = [answers.TimedAnswer(1.0 + k / 10.0, float(k), k != 3) for k in range(40)]
        return answers.Load(slow + rows, 7)

    monkeypatch.setattr(answers, "paused", paused)
    monkeypatch.setattr(
        answers, "SERVE", "import sys, time; print('url token', flush=True); sys.stdin.read()"
    )
    made = answers.latencies(rows=2, seed=5)
    assert [row["seed"] for row in made] == [5, 6]
    assert [row["asked"] for row in made] == [20, 20]
    assert [row["errors"] for row in made] == [1, 0]
    assert made[0]["p99_ms"] == pytest.approx(18.81) and made[1]["p99_ms"] == pytest.approx(38.81)
    claim = read()["3.4"][0]
    assert {one.column for one in claim.figures} | {"asked"} <= set(made[0])


def test_a_server_that_does_not_start_is_said_with_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(answers, "SERVE", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="exit code 3"), answers.served(tmp_path):
        pass
