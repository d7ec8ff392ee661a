"""`python -m twin staging demo`: a scenario's day, played for real in minutes, from nothing.

The stack comes up, Locust plays the hours around the peak at a small scale and many times as fast,
the engine scales, and all of it goes down again; what stays is one run record with the engine's
decisions and the load's results side by side.  Engine and Locust carry the stack's token like every
other process, so they end with it, also when this process is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from engine.adapters.pool import processes
from engine.record.schema import summary
from twin.commands.reporters import reporter
from twin.staging import stack
from twin.staging.layout import Layout, Stack, StackError

PATIENCE_S = 120.0
"""So long Locust may take longer than planned, and the engine to end."""


@dataclass(frozen=True, slots=True)
class Play:
    """What is played: `duration_s` scenario seconds from `start` on, `speed` times as fast.

    The first request comes `lead_s` after the start of engine and Locust: Locust works out the day
    meanwhile, and the engine brings the platform to what is booked.  `limits` are what the load has
    to keep, such as "slo.availability >= 0.999", `engine_limits`, by name, what the engine has;
    `platform` are overrides, for both to know, `engine` those of the engine alone.
    """

    scenario: str
    scale: float
    speed: float
    start: str
    duration_s: float
    lead_s: float
    limits: Sequence[str]
    engine_limits: Mapping[str, str]
    seed: int
    output: Path
    platform: Sequence[str]
    engine: Sequence[str] = ()

    @property
    def wall_s(self) -> float:
        """How long it takes."""
        return self.duration_s / self.speed


@dataclass(frozen=True, slots=True)
class Played:
    """The run record, and whether the load's and the engine's thresholds were kept."""

    record: Path
    kept: bool


def play(wish: stack.StackOptions, wanted: Play, say: Callable[[str], None]) -> Played:
    """Bring the stack up, play, take it down.

    Raises StackError when something does not work, KeyboardInterrupt when it is interrupted; the
    stack is down in any case.
    """
    place = Layout(wish.folder)
    say("the stack comes up")
    with stack.held_up(wish, say) as made:
        return _play(place, made, wanted, say)


def _play(place: Layout, made: Stack, wanted: Play, say: Callable[[str], None]) -> Played:
    results = place.folder / "load"
    begins_s = time.time() + wanted.lead_s
    engine_command = _engine(place, wanted, begins_s)
    locust_command = _locust(made, wanted, results, begins_s)
    with (
        _running(engine_command, place, made, "engine") as engine,
        _running(locust_command, place, made, "locust") as locust,
    ):
        _watch(locust, engine, place, wanted, begins_s=begins_s, say=say)
        engine.send_signal(signal.SIGTERM)
        record = _record(engine, place)
    if locust.returncode not in (0, 1):
        raise StackError(f"Locust ended with {locust.returncode}: {_last_words(place, 'locust')}")
    _attach(results, record)
    judged = summary.read(record).thresholds
    kept = engine.returncode == 0 and all(one.outcome != "failed" for one in judged)
    return Played(record, kept and locust.returncode == 0)


def _locust(made: Stack, wanted: Play, results: Path, begins_s: float) -> list[str]:
    users = resources.files("locustfiles") / "wedsync.py"
    overrides = ["platform=staging", *wanted.platform]  # how long its clients wait, and its SLOs
    return [
        sys.executable, "-m", "locust", "-f", str(users), "--headless", "--only-summary",
        "--host", f"http://127.0.0.1:{made.ports['front']}",
        "--scenario", wanted.scenario, "--scale", f"{wanted.scale:g}",
        "--speed", f"{wanted.speed:g}", "--start", wanted.start,
        "--duration", f"{wanted.duration_s:g}", "--begin-at", f"{begins_s:.3f}",
        "--seed", str(wanted.seed), "--record", str(results),
        *(part for override in overrides for part in ("--override", override)),
        *(part for limit in wanted.limits for part in ("--threshold", limit)),
    ]  # fmt: skip


def _engine(place: Layout, wanted: Play, begins_s: float) -> list[str]:
    return [
        sys.executable, "-m", "engine", "run", "infrastructure=haproxy", "metrics=prometheus",
        "engine=staging", f"scenario={wanted.scenario}", f"seed={wanted.seed}",
        f"infrastructure.options.folder={place.folder}",
        f"schedule.from={wanted.start}", f"schedule.starts_at={begins_s:.3f}",
        f"schedule.speed={wanted.speed:g}", f"schedule.scale={wanted.scale:g}",
        f"live.state={place.folder / 'engine'}", f"output={wanted.output}",
        *wanted.platform, *wanted.engine,
        *(f"+live.thresholds.{n}='{limit}'" for n, limit in wanted.engine_limits.items()),
    ]  # fmt: skip


@contextlib.contextmanager
def _running(
    command: Sequence[str], place: Layout, made: Stack, name: str
) -> Iterator[subprocess.Popen[str]]:
    """A process of ours: what it says goes to its log, and it ends with the block."""
    with (place.logs / f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, processes.TOKEN: made.token},
            start_new_session=True,  # Ctrl-C is for us; we end the others in their order
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _watch(
    locust: subprocess.Popen[str],
    engine: subprocess.Popen[str],
    place: Layout,
    wanted: Play,
    *,
    begins_s: float,
    say: Callable[[str], None],
) -> None:
    """Wait for the load's end, and say each second how many instances there are."""
    while locust.poll() is None:
        if engine.poll() is not None:
            raise StackError(f"the engine ended early: {_last_words(place, 'engine')}")
        elapsed_s = time.time() - begins_s
        if elapsed_s > wanted.wall_s + PATIENCE_S:
            raise StackError(f"Locust does not end: {_last_words(place, 'locust')}")
        services = stack.look(place).services
        counted = ", ".join(f"{name} {count.ready}" for name, count in services.items())
        say(f"{min(elapsed_s, wanted.wall_s):4.0f} of {wanted.wall_s:.0f} s: {counted}")
        time.sleep(1.0)


def _record(engine: subprocess.Popen[str], place: Layout) -> Path:
    """The record that the engine leaves: the last line of what it says."""
    said: list[str] = []
    assert engine.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(engine.stdout or ()), daemon=True)
    reader.start()
    try:
        engine.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise StackError(f"the engine does not end; see {place.logs / 'engine.log'}") from None
    reader.join(5.0)
    record = Path(said[-1].strip()) if said else None
    if record is None or not record.is_dir():
        raise StackError(f"the engine left no record: {_last_words(place, 'engine')}")
    return record


def _attach(results: Path, record: Path) -> None:
    """Put the load's results beside the engine's, and make the report of both."""
    if results.is_dir():
        for file in results.iterdir():
            shutil.copy2(file, record / file.name)
    reporter("run")(record)


def _last_words(place: Layout, name: str) -> str:
    return processes.last_words(place.logs / f"{name}.log")
