"""What a live run leaves behind while it runs: one JSON line a step, result and event.

The record is made of it at the end.  It is written line by line, so an engine that is killed loses
nothing: the next one goes on in the same journal, and there is one record of both.  It is synced to
the disk when it is closed, before a record is made of it, and it is removed only when that record
is on the disk itself: at no moment would a loss of power lose both.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from engine.config.secrets import redacted
from engine.model import ActionResult, Observation, Plan
from engine.ports.metrics import Reading
from engine.record.decisions import rows_of
from engine.record.files import sync

JOURNAL = "journal.jsonl"
VERSION = 1
RESUMED_WITHIN_S = 900.0
"""A journal that nobody has written to for longer is of a run that is over."""


@dataclass(frozen=True, slots=True)
class JournalHeading:
    """The first line: what the lines after it are about."""

    started_s: float
    services: tuple[str, ...]
    sample_s: float
    controller: str


class LineSealer(Protocol):
    """Turns lines into what nobody else can read, and back; see `engine.security.sealing`."""

    def seal_text(self, text: str, context: str) -> str:
        """The line sealed: one line of its own."""
        ...

    def open_text(self, text: str, context: str) -> str:
        """The line again; raises ValueError."""
        ...


class Journal:
    """Writes the lines; `heading` is that of the run in progress, perhaps begun by another."""

    def __init__(
        self, state: Path, heading: JournalHeading, sealer: LineSealer | None = None
    ) -> None:
        """Go on with the journal in `state`, or begin one; with a `sealer` its lines are sealed.

        Raises OSError.
        """
        self.path = state / JOURNAL
        self._sealer = sealer
        state.mkdir(parents=True, exist_ok=True)
        self.lost = 0
        """Lines that could not be written."""
        self._seen: dict[str, float] = {}
        left, last_s = _heading(self.path, sealer), _changed_s(self.path)
        resumed_s = heading.started_s
        begun = in_progress(state, heading, sealer)
        if left is not None and begun is None:
            self._put_aside(left)  # another run, which nobody closed
        self.heading = begun or heading
        self._file: IO[str] = self.path.open("a" if begun else "w", encoding="utf-8")
        sync(state)
        if begun is None:
            self._write(
                {
                    "kind": "run",
                    "version": VERSION,
                    "started_s": heading.started_s,
                    "services": heading.services,
                    "sample_s": heading.sample_s,
                    "controller": heading.controller,
                }
            )
        else:
            self._file.write("\n")  # after what was being written when the one before was killed
            self.event(
                resumed_s, "engine_restarted", "engine", "goes on with the run",
                detail=f"{resumed_s - last_s:.0f} s after its last note",
            )  # fmt: skip

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        reading: Reading,
    ) -> None:
        """Note a step, its decisions, and the samples that were not seen before."""
        now_s, outlook = observation.now_s, observation.outlook
        bin_ = int((now_s - outlook.start_s) / outlook.bin_s)
        inside = 0 <= bin_ < len(outlook.events)
        self._write(
            {
                "kind": "step",
                "due_s": now_s,
                "time_s": time_s,
                "cycle": plan.cycle,
                "compute_s": compute_s,
                "counts": {
                    s.spec.name: (s.desired, s.ready, s.booting, s.draining)
                    for s in observation.services
                },
                **_warm(observation),
                "floors": dict(plan.floors),
                "weddings": float(outlook.events[bin_]) if inside else None,
                "samples": {name: self._new(name, reading) for name in reading.windows},
                "forecasts": [
                    (f.service, f.horizon_s, f.q10, f.q50, f.q90) for f in plan.forecasts
                ],
                "rows": list(rows_of(time_s, observation, plan)),
            }
        )

    def result(self, result: ActionResult) -> None:
        """Note what became of an action."""
        self._write(
            {
                "kind": "result",
                "decision_id": result.decision_id,
                "status": result.status.value,
                "time_s": result.time_s,
                "detail": result.detail,
            }
        )

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Note something that is no decision."""
        event = {"time_s": time_s, "kind": kind, "name": name, "what": what, "detail": detail}
        self._write({"kind": "event", "event": event})

    def put_aside(self) -> Path:
        """Give the file another name, after it was closed; returns its path."""
        return self._put_aside(self.heading)

    def _put_aside(self, heading: JournalHeading) -> Path:
        name = f"journal-{heading.started_s:.0f}"
        for number in range(1, 1000):
            path = self.path.with_name(f"{name}.jsonl" if number == 1 else f"{name}-{number}.jsonl")
            if not path.exists():
                break
        self.path.replace(path)
        sync(path.parent)
        return path

    def close(self) -> None:
        """Close the file, all of it on the disk; the journal can still be gone on with.

        A line that comes later (an answer of the infrastructure to what was asked before) is taken
        all the same.  Raises OSError.
        """
        if not self._file.closed:
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def _new(self, service: str, reading: Reading) -> list[list[float]]:
        window = reading.windows[service]
        after_s = self._seen.get(service, float("-inf"))
        rows = window[window["time_s"] > after_s]
        if len(rows):
            self._seen[service] = float(rows["time_s"][-1])
        return [list(row) for row in rows.tolist()]

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(redacted(line))
        if self._sealer is not None:
            text = self._sealer.seal_text(text, JOURNAL)
        text += "\n"
        try:
            if self._file.closed:
                self._late(text)
            else:
                self._file.write(text)
                self._file.flush()
        except OSError:
            self.lost += 1  # a full disk must not stop the scaling

    def _late(self, text: str) -> None:
        """Add to the closed file; where it is gone, its record is written and counts."""
        with contextlib.suppress(FileNotFoundError), self.path.open("r+", encoding="utf-8") as file:
            file.seek(0, os.SEEK_END)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def read(path: Path, sealer: LineSealer | None = None) -> Iterator[dict[str, Any]]:
    """The lines, in order; without what was cut off by a kill.  Raises OSError.

    With a `sealer`, lines from before it was there are read too; what it cannot open is no line.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for text in lines:
            line = _opened(text, sealer)
            if line is not None:
                yield line


def newest(path: Path, most: int, sealer: LineSealer | None = None) -> Iterator[dict[str, Any]]:
    """The same of the last `most` bytes alone, from the first line on that begins there."""
    with path.open("rb") as lines:
        begin = lines.seek(0, os.SEEK_END) - most
        lines.seek(max(begin - 1, 0))
        if begin > 0:
            lines.readline()
        for raw in lines:
            line = _opened(raw.decode("utf-8", "replace"), sealer)
            if line is not None:
                yield line


def _opened(text: str, sealer: LineSealer | None) -> dict[str, Any] | None:
    try:
        if sealer is not None and not text.startswith("{"):
            text = sealer.open_text(text.rstrip("\n"), JOURNAL)
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None


def in_progress(
    state: Path, heading: JournalHeading, sealer: LineSealer | None = None
) -> JournalHeading | None:
    """The run in `state` that one of `heading` would go on with.

    None without any, after too long, or with another platform or controller: another run then.
    """
    path = state / JOURNAL
    begun = _heading(path, sealer)
    if begun is None or heading.started_s - _changed_s(path) > RESUMED_WITHIN_S:
        return None
    same = (begun.services, begun.sample_s, begun.controller) == (
        heading.services, heading.sample_s, heading.controller,
    )  # fmt: skip
    return begun if same else None


def _heading(path: Path, sealer: LineSealer | None) -> JournalHeading | None:
    try:
        first = next(read(path, sealer), None)
        if first is None or first.get("kind") != "run" or first.get("version") != VERSION:
            return None
        return JournalHeading(
            float(first["started_s"]),
            _names(first["services"]),
            float(first["sample_s"]),
            str(first["controller"]),
        )
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")


def _names(names: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(name) for name in names)


def _warm(observation: Observation) -> dict[str, dict[str, tuple[int, int]]]:
    """What is held warm, asked for and there, by service; nothing where none can be."""
    warm = {s.spec.name: (s.warm_desired, s.warm) for s in observation.services if s.spec.warm}
    return {"warm": warm} if warm else {}
