"""`python -m engine staging demo`: a scenario's day, played for real in minutes, from nothing.

The stack comes up, Locust plays the hours around the peak at a small scale and many times as fast,
the engine scales, and all of it goes down again; what stays is one run record with the engine's
decisions and the load's results side by side.  Engine and Locust carry the stack's token like every
other process, so `staging down` finds them too if this process is killed.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from engine import processes
from engine.staging import stack
from engine.staging.layout import Layout, Stack, StackError

PLAN_S = 120.0
"""So long Locust may take to work out its day, and the engine to end."""


@dataclass(frozen=True, slots=True)
class Play:
    """What is played: `window_s` scenario seconds around the peak, `speed` times as fast."""

    scenario: str
    scale: float
    speed: float
    window_s: float
    seed: int
    output: Path
    platform: Sequence[str]
    """Overrides of the platform, for the engine to know the same."""

    @property
    def wall_s(self) -> float:
        """How long it takes."""
        return self.window_s / self.speed


@dataclass(frozen=True, slots=True)
class Played:
    """The run record, and whether the load's and the engine's thresholds were kept."""

    record: Path
    kept: bool


def play(wish: stack.Wish, wanted: Play, say: Callable[[str], None]) -> Played:
    """Bring the stack up, play, take it down.

    Raises StackError when something does not work, KeyboardInterrupt when it is interrupted; the
    stack is down in any case.
    """
    place = Layout(wish.folder)
    say("the stack comes up")
    made = stack.up(wish)
    try:
        return _play(place, made, wanted, say)
    finally:
        say("the stack goes down")
        stack.take_down(place, keep_logs=False)


def _play(place: Layout, made: Stack, wanted: Play, say: Callable[[str], None]) -> Played:
    results = place.folder / "load"
    say(f"Locust works out {wanted.scenario}")
    with _running(_locust(made, wanted, results), place, made, "locust") as locust:
        _until_announced(locust, place, wanted)
        begins_s = time.time()
        engine_command = _engine(place, wanted, begins_s)
        with _running(engine_command, place, made, "engine") as engine:
            _watch(locust, engine, place, wanted, say)
            engine.send_signal(signal.SIGTERM)
            record = _record(engine, place)
        loaded = locust.wait()
    if loaded not in (0, 1):
        raise StackError(f"Locust ended with {loaded}: {_last_words(place, 'locust')}")
    _attach(results, record)
    kept = loaded == 0 and engine.returncode == 0
    return Played(record, kept)


def _locust(made: Stack, wanted: Play, results: Path) -> list[str]:
    users = resources.files("locustfiles") / "wedsync.py"
    return [
        sys.executable, "-m", "locust", "-f", str(users), "--headless", "--only-summary",
        "--host", f"http://127.0.0.1:{made.ports['front']}",
        "--scenario", wanted.scenario, "--scale", f"{wanted.scale:g}",
        "--speed", f"{wanted.speed:g}", "--window", f"{wanted.window_s:g}",
        "--seed", str(wanted.seed), "--record", str(results),
    ]  # fmt: skip


def _engine(place: Layout, wanted: Play, begins_s: float) -> list[str]:
    return [
        sys.executable, "-m", "engine", "run", "infrastructure=haproxy", "metrics=prometheus",
        "engine=staging", f"scenario={wanted.scenario}", f"seed={wanted.seed}",
        f"infrastructure.options.folder={place.folder}",
        f"schedule.from=peak-{wanted.window_s / 2:g}", f"schedule.starts_at={begins_s:.3f}",
        f"schedule.speed={wanted.speed:g}", f"schedule.scale={wanted.scale:g}",
        f"live.state={place.folder / 'engine'}", f"output={wanted.output}", *wanted.platform,
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
                process.wait(PLAN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _until_announced(locust: subprocess.Popen[str], place: Layout, wanted: Play) -> None:
    """Wait until Locust says what it is going to send: it begins then."""
    announcement = f"{wanted.scenario}, seed "
    end_s = time.monotonic() + PLAN_S
    while not any(line.startswith(announcement) for line in _lines(place, "locust")):
        if locust.poll() is not None:
            raise StackError(f"Locust ended early: {_last_words(place, 'locust')}")
        if time.monotonic() > end_s:
            raise StackError(f"Locust did not begin in {PLAN_S:.0f} s")
        time.sleep(0.1)


def _watch(
    locust: subprocess.Popen[str],
    engine: subprocess.Popen[str],
    place: Layout,
    wanted: Play,
    say: Callable[[str], None],
) -> None:
    """Wait for the load's end, and say each second how many instances there are."""
    began_s = time.monotonic()
    while locust.poll() is None:
        if engine.poll() is not None:
            raise StackError(f"the engine ended early: {_last_words(place, 'engine')}")
        if time.monotonic() - began_s > wanted.wall_s + 2.0 * PLAN_S:
            raise StackError(f"Locust does not end; see {place.logs / 'locust.log'}")
        services = stack.look(place).services
        counted = ", ".join(f"{name} {count.ready}" for name, count in services.items())
        elapsed_s = min(time.monotonic() - began_s, wanted.wall_s)
        say(f"{elapsed_s:3.0f} of {wanted.wall_s:.0f} s: {counted}")
        time.sleep(1.0)


def _record(engine: subprocess.Popen[str], place: Layout) -> Path:
    """The record that the engine leaves: the last line of what it says."""
    said: list[str] = []
    assert engine.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(engine.stdout or ()), daemon=True)
    reader.start()
    try:
        engine.wait(PLAN_S)
    except subprocess.TimeoutExpired:
        raise StackError(f"the engine does not end; see {place.logs / 'engine.log'}") from None
    reader.join(5.0)
    record = Path(said[-1].strip()) if said else None
    if record is None or not record.is_dir():
        raise StackError(f"the engine left no record: {_last_words(place, 'engine')}")
    return record


def _attach(results: Path, record: Path) -> None:
    """Put the load's results beside the engine's, and make the report of both."""
    import reports

    if results.is_dir():
        for file in results.iterdir():
            shutil.copy2(file, record / file.name)
    reports.write(record)


def _lines(place: Layout, name: str) -> list[str]:
    return (place.logs / f"{name}.log").read_text(errors="replace").splitlines()


def _last_words(place: Layout, name: str) -> str:
    return processes.last_words(place.logs / f"{name}.log")
