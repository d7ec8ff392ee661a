"""The engine in wall time over the real stack, with parts of it killed and broken."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from engine.adapters.pool.book import PoolFile, WorkerPhase
from engine.adapters.pool.runtime_api import RuntimeApi
from engine.adapters.store.sqlite import local_desk
from engine.model import ManualFloor
from reports.run.reading import load
from tests import warm
from tests.integration.staging.conftest import Staging

pytestmark = [pytest.mark.slow, pytest.mark.load]

COOLDOWN_S = 5.0
SAMPLE_S = 1.0
FAST = (
    f"engine.sample_s={SAMPLE_S:g}", "engine.cycle_s=3",
    f"engine.limits.cooldown_out_s={COOLDOWN_S:g}", f"engine.limits.cooldown_in_s={COOLDOWN_S:g}",
    "population.simultaneous=100", "demand.background.users=1", "schedule.from=0",
    "schedule.scale=0.001", "schedule.speed=1",
)  # fmt: skip


@dataclass
class Engine:
    """One `python -m engine run` over the stack, in folders of the test."""

    staging: Staging
    folder: Path
    overrides: tuple[str, ...] = ()
    process: warm.Command | None = None
    stopping: ExitStack = field(default_factory=ExitStack)
    said: list[str] = field(default_factory=list)
    rivals: list[Engine] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def start(self, *overrides: str) -> None:
        boots = [
            f"platform.services.{name}.{key}"
            for name in ("api", "database", "file-storage", "real-time", "ai-services")
            for key in ("boot.median_s=1.2", "boot.p95_s=1.6", "warmup_s=0.2")
        ]
        self.process = self.stopping.enter_context(
            warm.started(
                "engine", "run", "engine=staging", *FAST, *boots,
                f"infrastructure.options.folder={self.staging.folder}",
                f"live.state={self.state}", f"output={self.folder / 'out'}",
                *self.overrides, *overrides,
            )
        )  # fmt: skip

    def rival(self) -> Engine:
        """Another one with the same state folder."""
        self.rivals.append(Engine(self.staging, self.folder))
        return self.rivals[-1]

    def status(self) -> dict[str, Any]:
        try:
            with closing(local_desk(self.state)) as desk:
                text = desk.status()
        except FileNotFoundError:
            text = ""
        status: dict[str, Any] = json.loads(text or '{"steps": 0, "lead": 0}')
        return status

    def journal(self) -> str:
        return (self.state / "journal.jsonl").read_text()[-2000:]

    def until_steps(self, count: int = 2) -> None:
        """Wait until this process has made so many steps."""
        assert self.process is not None
        pid = self.process.pid

        def made() -> bool:
            try:
                leader = json.loads((self.state / "leader").read_text())
            except (FileNotFoundError, ValueError):
                return False
            status = self.status()
            return bool(
                leader.get("pid") == pid
                and status["lead"] == leader["lead"]
                and status["steps"] >= count
            )

        wait_until(made, self._explain)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, Path]:
        """Ask it to stop; returns its exit code and its record."""
        assert self.process is not None
        self.process.send_signal(number)
        out, said = self.process.communicate(timeout=600)
        self.said.append(said)
        assert "Traceback" not in said, said
        return self.process.returncode, Path(out.splitlines()[-1])

    def _explain(self) -> str:
        assert self.process is not None
        if self.process.poll() is not None:
            return self.process.communicate()[1][-2000:]
        return str(self.status())


def wait_until(
    true: Callable[[], bool], why: Callable[[], str] = lambda: "", patience_s: float = 300.0
) -> None:
    until_s = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < until_s, why()
        time.sleep(0.05)


@pytest.fixture
def engine_of(staging: Staging, tmp_path: Path) -> Iterator[Engine]:
    """An engine that is not started yet; whatever it is doing in the end, it is stopped."""
    engine_process = Engine(staging, tmp_path)
    yield engine_process
    for engine in (engine_process, *engine_process.rivals):
        engine.stopping.close()


@contextmanager
def watched(staging: Staging, service: str) -> Iterator[list[tuple[float, int]]]:
    """Each count that is asked for, as the pool's book has it, and for how long nobody had looked.

    A busy machine looks late, and counts may have come and gone by then.
    """
    seen: list[tuple[float, int]] = []
    book, over = PoolFile(staging.place.pool), threading.Event()

    def look() -> None:
        before_s = time.monotonic()
        while not over.wait(0.02):
            begins_s = time.monotonic()
            desired = book.read().services[service].desired
            if not seen or seen[-1][1] != desired:
                seen.append((time.monotonic() - before_s, desired))
            before_s = begins_s

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def whole(records: Path) -> list[Path]:
    """The folders of records that are written, in the order of time."""
    return sorted(path for path in records.iterdir() if not path.name.startswith("."))


def floor(engine: Engine, service: str, count: int) -> None:
    engine.state.mkdir(exist_ok=True)
    with closing(local_desk(engine.state)) as desk:
        desk.ask(ManualFloor(service, count, time.time() + 7200.0, "test"))


def test_killed_at_any_moment_it_never_acts_twice(engine_of: Engine, staging: Staging) -> None:
    chance = random.Random(20270619)
    floor(engine_of, "file-storage", 6)
    with watched(staging, "file-storage") as counts:
        for _ in range(4):
            engine_of.start()
            engine_of.until_steps(1)
            time.sleep(chance.uniform(0.0, 2.5))
            engine_of.kill()
        engine_of.start()
        engine_of.until_steps(1)
        wait_until(lambda: counts[-1][1] == 6, lambda: str(counts), patience_s=300.0)
        code, folder = engine_of.end()
    assert code == 0
    # A step is at most a doubling, and the next one comes after the rest, whoever was killed.
    for (_, before), (unseen_s, after) in pairwise(counts):
        steps = 1 + int(unseen_s / (COOLDOWN_S - SAMPLE_S))
        assert after <= 2**steps * before, counts
    record = load(folder)
    asked = record.actions[record.actions["service"] == "file-storage"]
    outs = asked[asked["to_instances"] > asked["from_instances"]]
    assert len(outs) >= 2, (outs, counts)
    # Measured where it was decided: a busy machine may be late to act, and late to look.  Each may
    # also be decided up to a sample later than when its step was due, and what is due rests.
    rests = [b - a for a, b in pairwise(outs["time_s"].sort_values())]
    assert min(rests) > COOLDOWN_S - SAMPLE_S, outs
    assert record.summary.live is not None
    assert record.summary.live.restarts == 4
    actions = record.actions
    assert actions["decision_id"].is_unique
    local_desk(engine_of.state).withdraw("floor", "file-storage")


def completed_emergencies(engine: Engine, service: str) -> set[str]:
    """The emergencies of a service that the journal says are completed."""
    text = (engine.state / "journal.jsonl").read_text()
    # What is being written is no whole line yet.
    notes = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line]
    urgent = {
        row["decision_id"]
        for note in notes
        if note["kind"] == "step"
        for row in note["rows"]
        if row["service"] == service and row["category"] == "emergency"
    }
    return urgent & {
        note["decision_id"]
        for note in notes
        if note["kind"] == "result" and note["status"] == "completed"
    }


def test_a_surge_is_an_emergency_and_each_stage_of_it_is_measured(
    engine_of: Engine, staging: Staging, wrk: str
) -> None:
    engine_of.start(
        "+live.thresholds.emergency='decision.emergency_s.max <= 3600'",
        # No other step takes it from the emergency.
        "engine.cycle_s=600", "monitor.early_step.enabled=false",
    )  # fmt: skip
    engine_of.until_steps()
    book = PoolFile(staging.place.pool)
    ready = book.read().services["api"].desired
    before = {one.id for one in book.read().of("api", *WorkerPhase)}

    def new_ones_serve() -> bool:
        """Whether Prometheus has seen that, which the engine asks it for in the end."""
        first = requests.get(
            f"{staging.prometheus}/api/v1/query",
            params={"query": 'wedtwin_first_served_seconds{service="api"} > 0'}, timeout=60,
        ).json()["data"]["result"]  # fmt: skip
        return bool({one["metric"]["instance"] for one in first} - before)

    command = [wrk, "-t1", "-c150", "-d3600s", "--timeout", "10s", f"{staging.front}/weddings/7"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as surge:
        try:
            wait_until(
                lambda: len(book.read().of("api", WorkerPhase.READY)) > ready, engine_of.journal
            )
            wait_until(new_ones_serve, engine_of.journal)
            wait_until(lambda: bool(completed_emergencies(engine_of, "api")), engine_of.journal)
        finally:
            surge.terminate()
    code, folder = engine_of.end()
    assert code == 0
    record = load(folder)
    actions = record.actions[record.actions["service"] == "api"]
    urgent = actions[actions["category"] == "emergency"]
    assert len(urgent) >= 1
    assert urgent["to_instances"].max() > ready
    assert (urgent["outcome"] == "completed").any()
    summary = json.loads((folder / "summary.json").read_text())
    stages = summary["decision"]["stages"]
    assert stages["accepted_to_served_s"]["count"] >= 1
    assert stages["accepted_to_served_s"]["p50"] > 0.0
    assert summary["decision"]["emergency_s"]["max"] > 0.0
    assert [item["passed"] for item in summary["thresholds"]] == [True]
    assert summary["requests"]["total"] > 100
    assert summary["services"]["api"]["p95_s"] > summary["services"]["api"]["p50_s"] > 0.0
    assert pd.read_parquet(folder / "decisions.parquet")["served_s"].notna().any()


def test_what_breaks_around_it_is_noted_and_lived_through(
    engine_of: Engine, staging: Staging
) -> None:
    stack = staging.stack
    engine_of.start()
    engine_of.until_steps()
    prometheus = stack.processes["prometheus"].pid
    admin = staging.place.admin_socket
    try:
        os.kill(prometheus, signal.SIGSTOP)  # slow: it answers nothing
        wait_until(lambda: "metrics" in engine_of.status().get("troubles", {}))
        steps = engine_of.status()["steps"]
        wait_until(lambda: engine_of.status()["steps"] > steps + 1)
    finally:
        os.kill(prometheus, signal.SIGCONT)
    wait_until(lambda: "metrics" not in engine_of.status()["troubles"])
    moved = admin.with_name("moved")
    admin.rename(moved)
    try:
        floor(engine_of, "real-time", 2)
        wait_until(lambda: '"status": "failed"' in (engine_of.state / "journal.jsonl").read_text())
    finally:
        moved.rename(admin)
    book = PoolFile(staging.place.pool)
    wait_until(lambda: book.read().services["real-time"].desired == 2)
    victim = next(i for i in book.read().instances if i.service == "real-time")
    assert victim.process is not None
    os.kill(victim.process.pid, signal.SIGKILL)
    wait_until(lambda: engine_of.status()["services"]["real-time"]["ready"] == 2, patience_s=300.0)
    code, folder = engine_of.end()
    assert code == 0
    kinds = [(event.kind, event.name) for event in load(folder).events]
    assert ("trouble_started", "metrics") in kinds
    assert ("trouble_ended", "metrics") in kinds
    local_desk(engine_of.state).withdraw("floor", "real-time")


def test_what_is_not_as_it_should_be_is_in_log_events_status_and_report(
    engine_of: Engine, staging: Staging
) -> None:
    """A label that was renamed, and a server that somebody took out by hand."""

    def troubles(source: str) -> str:
        return "; ".join(engine_of.status().get("troubles", {}).get(source, ()))

    engine_of.start("+metrics.names.real-time=real-time-v1")
    engine_of.until_steps()
    server = PoolFile(staging.place.pool).read().of("api", WorkerPhase.READY)[0].server
    api = RuntimeApi(staging.place.admin_socket)
    assert api.ask(f"set server {server} state maint") == ""
    try:
        wait_until(lambda: server in troubles("infrastructure"), engine_of.journal)

        def counts() -> tuple[int, int]:  # others may still leave that were too many before
            of = engine_of.status()["services"]["api"]
            return of["desired"] - of["ready"], of["draining"]

        wait_until(lambda: counts() == (1, 1), lambda: str(counts()))
        wait_until(lambda: "real-time" in troubles("metrics"), engine_of.journal)
        said = warm.run("engine", "status", "--state", str(engine_of.state)).stdout
        assert f"trouble: infrastructure: {server} was changed by hand in HAProxy (MAINT)" in said
        assert "trouble: metrics: real-time: no series for any figure" in said
        assert api.servers()[server].status == "MAINT"
    finally:
        api.ask(f"set server {server} state ready")
    wait_until(lambda: not troubles("infrastructure"), engine_of.journal)
    code, folder = engine_of.end()
    assert code == 0
    events = load(folder).events
    kinds = [(event.kind, event.name) for event in events]
    assert ("trouble_started", "infrastructure") in kinds
    assert ("trouble_ended", "infrastructure") in kinds
    assert ("trouble_started", "metrics") in kinds
    report = (folder / "report.html").read_text()
    for words in (server, "real-time: no series for any figure"):
        assert any(words in event.detail for event in events)
        assert any(words in line for line in engine_of.said)
        assert words in report


def test_a_second_engine_is_refused_and_an_interruption_leaves_a_record(
    engine_of: Engine, staging: Staging
) -> None:
    engine_of.start("live.duration_s=7200", "engine.mode=recommend_only")
    engine_of.until_steps()
    assert engine_of.process is not None
    before = PoolFile(staging.place.pool).read().services["ai-services"].desired
    floor(engine_of, "ai-services", before + 2)
    second = engine_of.rival()
    second.start()
    assert second.process is not None
    out, said = second.process.communicate(timeout=600)
    third = engine_of.rival()
    third.start("live.wait_for_lead=true", "live.record_every_s=5")
    assert (second.process.returncode, out) == (2, "")
    assert f"the engine with pid {engine_of.process.pid}" in said
    journal = engine_of.state / "journal.jsonl"
    wait_until(lambda: '"dry_run"' in journal.read_text())
    code, folder = engine_of.end(signal.SIGINT)
    assert code == 130
    record = load(folder)
    assert record.summary.partial
    assert set(record.actions["outcome"]) == {"dry_run"}
    assert PoolFile(staging.place.pool).read().services["ai-services"].desired == before
    # It leads now, and closes a record each five seconds; a busy machine may not get to do
    # anything in five seconds.
    records = folder.parent
    looked_at: dict[Path, bool] = {}  # reading one takes longer than the pause between two looks

    def rows(closed: Path) -> bool:
        if closed not in looked_at:
            looked_at[closed] = len(load(closed).timeline) > 0
        return looked_at[closed]

    wait_until(lambda: sum(map(rows, whole(records))) >= 3)
    code, last = third.end()
    assert code == 0
    assert whole(records)[-1] == last
    assert list(engine_of.state.glob("journal*")) == []
