"""The run records of the output folder, newest first, each with its headline figures."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.api.recorded_hour import NotRecordedError, hour
from engine.record.schema.paths import figures_of, headlines
from engine.record.schema.summary import FILE, SEALED
from engine.record.sealed import FileSealer, read_summary

SHOWN = 50
MOST_KEPT = 500
"""Records whose figures are remembered."""
PART = re.compile(r"[\w-][\w.-]{0,199}")
"""A folder's name in the id of a record: it leads to no other place."""


@dataclass(frozen=True, slots=True)
class RecordFigures:
    """One record: where it is below the output folder, what it was of, and its figures by path."""

    id: str
    scenario: str
    controller: str
    world: str
    seed: int
    started_at: str
    partial: bool
    figures: Mapping[str, float | None]


class Records:
    """Reads them; each once."""

    def __init__(self, folder: Path, sealer: FileSealer | None = None) -> None:
        """Below `folder`, as `SCENARIO/RUN`; sealed ones are opened with `sealer`."""
        self._folder = folder
        self._sealer = sealer
        self._read: dict[tuple[str, int], RecordFigures] = {}
        self._lock = threading.Lock()
        self.reading = asyncio.Lock()
        """Held while one is replayed: so many rows are read for one question at a time."""

    def newest(self) -> tuple[list[RecordFigures], int]:
        """The newest `SHOWN`, and how many of as many cannot be read; raises OSError."""
        written: list[tuple[int, str, Path]] = []
        for name in (FILE, SEALED):
            for path in self._folder.glob(f"*/*/{name}"):
                if not path.parent.name.startswith("."):  # those are not finished
                    with contextlib.suppress(FileNotFoundError):
                        written.append((path.stat().st_mtime_ns, str(path.parent), path.parent))
        newest = heapq.nlargest(SHOWN, written)
        records = []
        for at, _, folder in newest:
            with contextlib.suppress(ValueError, OSError):
                records.append(self._of(folder, at))
        return records, len(newest) - len(records)

    def hour(
        self, id_: str, at_s: float, service: str,
        visible: Callable[[Sequence[str]], Sequence[str]],
    ) -> dict[str, Any]:  # fmt: skip
        """A moment and its hour, of the record `id_`; see `engine.api.recorded_hour.hour`.

        Raises NotRecordedError, also where there is no such record.
        """
        folder = self._folder / id_
        if not (
            id_.count("/") == 1
            and all(PART.fullmatch(part) for part in id_.split("/"))
            and any((folder / name).is_file() for name in (FILE, SEALED))
        ):
            raise NotRecordedError("is not there")
        return {"id": id_, **hour(folder, self._sealer, at_s, service, visible=visible)}

    def _of(self, folder: Path, written_ns: int) -> RecordFigures:
        key = (str(folder), written_ns)
        with self._lock:
            there = self._read.get(key)
        if there is not None:
            return there
        summary = read_summary(folder, self._sealer)
        values = figures_of(summary)
        made = RecordFigures(
            id=folder.relative_to(self._folder).as_posix(),
            scenario=summary.scenario,
            controller=summary.controller,
            world=summary.world,
            seed=summary.seed,
            started_at=summary.started_at,
            partial=summary.partial,
            figures={
                path: None if values.get(path) is None else float(values[path] or 0)
                for path in headlines(summary.services, summary.prediction)
            },
        )
        with self._lock:
            if len(self._read) >= MOST_KEPT:
                self._read.clear()
            self._read[key] = made
        return made
