"""A live run's record: made of its journal, whole after a kill, empty where nobody measured."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import reports
from engine import Autoscaler
from engine.model import ActionResult, Status
from engine.record.folders import OutputError
from engine.record.journal import Journal, JournalHeading, read
from engine.record.live.notes import LiveRun
from engine.record.live.writing import check_thresholds, write
from engine.record.schema.summary import PlayedDay
from engine.record.schema.summary import read as read_summary
from engine.record.schema.thresholds import ThresholdConfig
from engine.record.sealed import open_into
from engine.record.sealed import read_summary as read_sealed_summary
from engine.runtime.shell import ENGINE
from engine.security.sealing import Sealer, keys_in, made
from reports.run.reading import load
from tests.unit.engine.runtime.conftest import LiveWorld, begun
from twin.check.command import run as check
from twin.runs.replications import headline_figures

START_S = 1_000_000.0


def heading(started_s: float = START_S, **changes: Any) -> JournalHeading:
    return replace(JournalHeading(started_s, ("api",), 5.0, "engine"), **changes)


def a_run(specs: Any, ended_s: float, **changes: Any) -> LiveRun:
    run = LiveRun(
        scenario="small",
        description="",
        seed=1,
        controller="engine",
        foresight=False,
        command="python -m engine run",
        config={"platform": {"name": "staging"}},
        specs=specs,
        sample_s=5.0,
        started_s=START_S,
        ended_s=ended_s,
        partial=False,
        thresholds={},
    )
    return replace(run, **changes)


@dataclass
class JournalAlone:
    """Notes that go to the journal; of the engine's state only that steps come to something."""

    journal: Journal
    spoiled: bool = False

    def step(self, *given: Any, **more: Any) -> None:
        self.journal.step(*given, **more)

    def result(self, result: ActionResult) -> None:
        self.journal.result(result)

    def event(self, *given: Any, **more: Any) -> None:
        self.journal.event(*given, **more)

    def status(self, status: Mapping[str, Any]) -> None:
        self.spoiled |= ENGINE in status["troubles"]


def drive(world: Any, journal: Journal, duration_s: float) -> None:
    """Let the engine run for a while, and then be gone without a word."""
    world.notes = notes = JournalAlone(journal)
    asyncio.run(world.shell(Autoscaler(), duration_s=duration_s).run())
    assert not notes.spoiled


@pytest.fixture
def world(tmp_path: Path) -> LiveWorld:
    """A world in which all is well."""
    return begun(tmp_path)


@pytest.fixture
def busy(world: Any) -> Any:
    """A world in which the engine has to scale out."""
    world.calendar.rate = world.source.rate = 700.0
    return world


def specs_of(world: Any) -> Any:
    return world.specs


def test_the_record_is_one_that_reports_and_checks_read(busy: Any, tmp_path: Path) -> None:
    journal = Journal(busy.state, heading())
    drive(busy, journal, 120.0)
    journal.close()
    totals = {"api": {"requests": 1000.0, "failed": 1.0, "slow": 9.0, "p95_s": 0.25}}
    limits = {
        "missed": ThresholdConfig(metric="slo.violation_ratio", operator="<=", limit=0.02),
        "cost": ThresholdConfig(metric="cost.total_usd", operator="<=", limit=100.0),
    }
    first = {"api": [START_S + 17.0]}
    run = a_run(
        specs_of(busy), START_S + 120.0, totals=totals, thresholds=limits, first_served=first
    )
    folder = write(run, journal.path, tmp_path / "out", reports.write)
    record = load(folder)
    summary = json.loads((folder / "summary.json").read_text())

    assert summary["world"] == "live"
    assert summary["slo"]["violation_ratio"] == pytest.approx(0.01)
    assert summary["slo"]["availability"] == pytest.approx(0.999)
    assert [item["passed"] for item in summary["thresholds"]] == [True, True]
    assert check([str(folder)]) == 0
    assert headline_figures(read_summary(folder))["cost.total_usd"] == summary["cost"]["total_usd"]

    timeline = record.timeline
    assert len(timeline) == 24
    assert timeline["time_s"].diff().dropna().unique().tolist() == [5.0]
    assert timeline["needed"].isna().all()
    assert (timeline["arrival_rate"] == 700.0).all()
    # 3.60 USD an instance-hour: 0.1 cents an instance-second, from the first step to the last.
    ready = timeline["ready"].to_numpy()[:-1]
    assert summary["cost"]["total_usd"] == pytest.approx(0.001 * 5.0 * ready.sum(), rel=1e-6)

    (action,) = record.actions.to_dict("records")
    assert (action["outcome"], action["service"]) == ("accepted", "api")
    waited = pd.read_parquet(folder / "decisions.parquet")["served_s"].dropna().tolist()
    assert waited == [START_S + 17.0]
    served = summary["decision"]["stages"]["accepted_to_served_s"]
    assert served["count"] == 1
    assert served["p50"] == pytest.approx(START_S + 17.0 - action["accepted_s"])

    page = (folder / "report.html").read_text()
    assert "short of need" not in page
    assert "needed (in hindsight)" not in page


def test_one_that_is_sealed_is_the_same_when_it_is_opened(busy: Any, tmp_path: Path) -> None:
    key = made()
    sealer = Sealer(lambda: keys_in(key, "here"))
    journal = Journal(busy.state, heading(), sealer)
    drive(busy, journal, 30.0)
    journal.close()
    run = a_run(specs_of(busy), START_S + 30.0)
    folder = write(run, journal.path, tmp_path / "out", reports.write, sealer=sealer)
    assert not any(path.suffix in (".parquet", ".html") for path in folder.rglob("*"))
    sealed = read_sealed_summary(folder, sealer)
    open_into(folder, tmp_path / "plain", sealer)
    assert sealed == read_summary(tmp_path / "plain")
    assert check([str(tmp_path / "plain")]) == 0
    assert len(load(tmp_path / "plain").timeline) == 6
    assert "report.html" in {path.name for path in (tmp_path / "plain").iterdir()}


def test_it_says_how_ready_major_events_found_the_capacity(busy: Any, tmp_path: Path) -> None:
    """700 requests/s all the time: short when the first begins, enough by the second."""
    journal = Journal(busy.state, heading())
    drive(busy, journal, 1200.0)
    journal.close()
    half_hour_s = math.floor(START_S / 1800.0 + 1.0) * 1800.0
    starts = (START_S + 10.0, half_hour_s)
    run = a_run(specs_of(busy), START_S + 1200.0, awaited_s=starts)
    folder = write(run, journal.path, tmp_path / "out", reports.write)
    rows = pd.read_parquet(folder / "prescaling.parquet")
    assert rows["at_s"].tolist() == list(starts)
    assert rows["need"].nunique() == 1
    timeline = load(folder).timeline
    ready = [int(timeline.loc[timeline["time_s"] <= s, "ready"].iloc[-1]) for s in starts]
    assert rows["ready"].tolist() == ready
    prescaling = json.loads((folder / "summary.json").read_text())["prescaling"]
    assert prescaling["events"] == 2
    assert prescaling["ready_share"] == np.mean(
        [r >= n for r, n in zip(ready, rows["need"], strict=True)]
    )
    assert "Ready when weddings began" in (folder / "report.md").read_text()


def test_what_nobody_measured_is_empty_and_keeps_no_limit(busy: Any, tmp_path: Path) -> None:
    journal = Journal(busy.state, heading())
    drive(busy, journal, 30.0)
    journal.close()
    limits = {
        "missed": ThresholdConfig(metric="slo.violation_ratio", operator="<=", limit=0.02),
        "emergencies": ThresholdConfig(metric="decision.emergency_s.p95", operator="<=", limit=30),
        "forecasts": ThresholdConfig(metric="prediction.7200.wape", operator="<=", limit=0.1),
    }
    run = a_run(specs_of(busy), START_S + 30.0, thresholds=limits)
    folder = write(run, journal.path, tmp_path / "out", reports.write)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["slo"]["violation_ratio"] is None
    assert summary["services"]["api"]["p95_s"] is None
    assert summary["services"]["api"]["under_provisioned_share"] is None
    assert summary["requests"]["served"] is None
    assert summary["requests"]["total"] == 700 * 30
    assert [item["outcome"] for item in summary["thresholds"]] == [
        "failed", "not judged", "failed",
    ]  # fmt: skip
    assert check([str(folder)]) == 1


def test_after_a_kill_the_next_engine_goes_on_with_the_same_record(
    busy: Any, tmp_path: Path
) -> None:
    first = Journal(busy.state, heading())
    drive(busy, first, 30.0)
    with first.path.open("a") as file:
        file.write('{"kind": "step", "time_s": 10')  # killed while it wrote
    second = Journal(busy.state, heading(START_S + 40.0))
    assert second.heading.started_s == START_S
    busy.clock.time_s = START_S + 40.0
    drive(busy, second, 30.0)
    second.close()
    run = a_run(specs_of(busy), START_S + 70.0)
    folder = write(run, second.path, tmp_path / "out", reports.write)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["live"]["restarts"] == 1
    assert summary["decision"]["steps"] == 12
    actions = load(folder).actions
    assert actions["decision_id"].is_unique
    assert busy.pool.writes == [
        (int(a), int(b))
        for a, b in zip(actions["from_instances"], actions["to_instances"], strict=True)
    ]


@pytest.mark.parametrize(
    "other", [{"services": ("api", "database")}, {"sample_s": 1.0}, {"controller": "hpa"}]
)
def test_the_journal_of_another_run_is_put_aside(tmp_path: Path, other: dict[str, Any]) -> None:
    Journal(tmp_path, heading()).close()
    journal = Journal(tmp_path, heading(START_S + 5.0, **other))
    assert journal.heading.started_s == START_S + 5.0
    assert (tmp_path / f"journal-{START_S:.0f}.jsonl").exists()
    journal.close()


def test_a_result_that_comes_late_is_in_the_row_of_its_action(busy: Any, tmp_path: Path) -> None:
    journal = Journal(busy.state, heading())
    drive(busy, journal, 30.0)
    row = next(
        row for line in read(journal.path) for row in line.get("rows", ()) if row["decision_id"]
    )
    journal.result(ActionResult(row["decision_id"], Status.COMPLETED, START_S + 29.0))
    journal.close()
    run = a_run(specs_of(busy), START_S + 30.0)
    folder = write(run, journal.path, tmp_path / "out", reports.write)
    (action,) = load(folder).actions.to_dict("records")
    assert (action["outcome"], action["completed_s"]) == ("completed", START_S + 29.0)


def test_a_limit_on_a_figure_that_is_not_there_is_refused_before_the_run(world: Any) -> None:
    limit = {"a": ThresholdConfig(metric="slo.speed", operator="<=", limit=1.0)}
    with pytest.raises(ValueError, match=r'thresholds\.a: "slo\.speed" is not in the summary'):
        check_thresholds(a_run(specs_of(world), START_S, thresholds=limit))


@pytest.mark.parametrize(
    "line",
    ['{"kind": "step"}', '{"kind": "result"}', '{"kind": "event", "event": {"time_s": "x"}}'],
)
def test_a_journal_of_which_no_record_can_be_made_stays(
    world: Any, tmp_path: Path, line: str
) -> None:
    journal = Journal(world.state, heading())
    journal.close()
    with journal.path.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(OutputError, match="which stays"):
        write(a_run(specs_of(world), START_S + 5.0), journal.path, tmp_path / "out", reports.write)
    assert journal.path.exists()
    assert not (tmp_path / "out").exists()


def test_a_run_without_any_step_leaves_a_record_all_the_same(world: Any, tmp_path: Path) -> None:
    world.pool.unreachable = "nobody there"
    journal = Journal(world.state, heading())
    drive(world, journal, 20.0)
    journal.close()
    run = a_run(specs_of(world), START_S + 20.0)
    folder = write(run, journal.path, tmp_path / "out", reports.write)
    record = load(folder)
    assert len(record.timeline) == 0
    assert record.summary.decision.cycles == 0
    assert record.events[0].detail == "nobody there"


def test_samples_that_never_came_are_holes_in_the_timeline(busy: Any, tmp_path: Path) -> None:
    def go_dark() -> None:
        busy.source.stopped_s = START_S + 30.0

    busy.clock.at[START_S + 30.0] = go_dark
    journal = Journal(busy.state, heading())
    drive(busy, journal, 60.0)
    journal.close()
    folder = write(
        a_run(specs_of(busy), START_S + 60.0), journal.path, tmp_path / "out", reports.write
    )
    arrival = load(folder).timeline["arrival_rate"].to_numpy()
    assert np.isfinite(arrival).tolist() == [True] * 6 + [False] * 6
    assert math.isnan(arrival[-1])


PLAYED = PlayedDay(
    events=97, booked=100_122, from_at="2027-06-19T18:30:00+00:00",
    to_at="2027-06-19T23:30:00+00:00", speed=60.0, scale=0.001,
)  # fmt: skip


@pytest.mark.parametrize(
    ("played", "said", "total"),
    [
        (
            PLAYED,
            "Played live: 97 weddings of the 100,122 that june_peak has booked, its time from "
            "2027-06-19 18:30 to 2027-06-19 23:30 UTC, 60 times as fast, at 0.001 of its load.",
            97,
        ),
        (
            PLAYED.model_copy(update={"speed": 1.0, "scale": 1.0, "events": 100_000}),
            "Played live: 100,000 weddings of the 100,122 that june_peak has booked, its time from "
            "2027-06-19 18:30 to 2027-06-19 23:30 UTC. Of its whole day: a day of 100,000",
            100_000,
        ),
        (
            PLAYED.model_copy(update={"events": 0}),
            "Nothing of june_peak was booked for the time that was played, 2027-06-19 18:30 to "
            "2027-06-19 23:30 UTC; schedule.from says which part of its day begins when the run "
            "does.",
            0,
        ),
        (
            None,
            "No schedule was given that says what was booked: the figures are of what came.",
            None,
        ),
    ],
)
def test_a_record_says_what_was_played(
    busy: Any, tmp_path: Path, played: PlayedDay | None, said: str, *, total: int | None
) -> None:
    journal = Journal(busy.state, heading())
    drive(busy, journal, 10.0)
    journal.close()
    run = a_run(
        specs_of(busy), START_S + 10.0,
        scenario="june_peak", description="a day of 100,000", played=played,
    )  # fmt: skip
    summary = read_summary(write(run, journal.path, tmp_path / "out", lambda _: None))
    assert summary.description == said
    assert summary.weddings.total == total
    assert summary.cost.per_wedding_usd == (summary.cost.total_usd / total if total else None)
    assert summary.live is not None
    assert summary.live.played == played
