"""The book of a pool of worker processes: what is asked for, and each instance that there is.

It is a file, so that it outlives whoever works on it: an engine that is killed at any moment is
followed by one that finds every instance and every decision that was carried out.  Each change is
made under a lock on the file beside it and written as a whole.  An instance is entered before its
process is started, so no process can be lost between the two.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from engine.adapters.pool.processes import Process
from engine.record.files import write_atomically

VERSION = 3
READABLE = (2, VERSION)
"""A file of version 2 lacks what people did by hand, which is then as if nobody had."""
REMEMBERED = 200
"""Decisions of a service that are remembered: hours of them at one a cycle."""


class WorkerPhase(StrEnum):
    """Where an instance is in its life; what is warming up counts as booting."""

    BOOTING = "booting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"


@dataclass(slots=True)
class Instance:
    """One worker: `since_s` is when its phase began, `process` None before it was started.

    `down_s` is since when HAProxy has found it ill, 0 while it is well; `sidelined_s` since when
    somebody has kept requests from it by hand, 0 while nobody does; `by_hand` is what they did, in
    HAProxy's words.  While it is `adding`, what HAProxy has of it may be half of what we wanted.
    """

    id: str
    service: str
    zone: str
    port: int
    phase: WorkerPhase
    launched_s: float
    since_s: float
    down_s: float = 0.0
    process: Process | None = None
    sidelined_s: float = 0.0
    by_hand: str = ""
    adding: bool = False

    @property
    def server(self) -> str:
        """Its name in HAProxy."""
        return f"{self.service}/{self.id}"


@dataclass(slots=True)
class Wanted:
    """What is asked for of one service; `numbered` instances were named so far.

    `failures` boots in a row have failed; the next is not tried before `retry_s`.
    """

    desired: int
    decisions: list[str] = field(default_factory=list)
    numbered: int = 0
    failures: int = 0
    retry_s: float = 0.0

    def remember(self, decision_id: str) -> None:
        """This decision is carried out."""
        self.decisions.append(decision_id)
        del self.decisions[:-REMEMBERED]


@dataclass(slots=True)
class Book:
    """All services and instances; only the process with the newest `keeper` looks after them.

    `fence` is the newest that a command came under: those under an older one are refused.
    """

    services: dict[str, Wanted]
    keeper: int = 0
    fence: int = 0
    closed: bool = False
    instances: list[Instance] = field(default_factory=list)

    def serving(self, service: str) -> int:
        """Ready instances of a service that are well and get requests."""
        return sum(not i.down_s for i in self.in_service(service, WorkerPhase.READY))

    def in_service(self, service: str, *phases: WorkerPhase) -> list[Instance]:
        """Instances in one of these phases that nobody has sidelined, oldest first."""
        return [i for i in self.of(service, *phases) if not i.sidelined_s]

    def of(self, service: str, *phases: WorkerPhase) -> list[Instance]:
        """Instances of a service in one of these phases, oldest first."""
        return [i for i in self.instances if i.service == service and i.phase in phases]


class PoolFile:
    """The book in its file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_suffix(".lock")

    def create(self, services: dict[str, int]) -> None:
        """Begin a book with so many instances of each service asked for."""
        self._write(Book({name: Wanted(count) for name, count in services.items()}))

    @contextmanager
    def change(self) -> Iterator[Book]:
        """The book, locked; what was changed in it is written at the end.

        Raises FileNotFoundError when the book is gone, ValueError for one that cannot be read.
        """
        with self._locked():
            book = _read(self._path.read_text(encoding="utf-8"))
            yield book
            if _text(book) != self._path.read_text(encoding="utf-8"):
                self._write(book)

    def keep(self, book: Book) -> None:
        """Write the book now, in the middle of a change."""
        self._write(book)

    def read(self) -> Book:
        """The book as it is; raises as `change` does."""
        return _read(self._path.read_text(encoding="utf-8"))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._path.exists():
            raise FileNotFoundError(self._path)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, book: Book) -> None:
        write_atomically(self._path, _text(book))


def _text(book: Book) -> str:
    return json.dumps({"version": VERSION, **asdict(book)}, indent=1) + "\n"


def _read(text: str) -> Book:
    raw = json.loads(text)
    if raw.get("version") not in READABLE:
        raise ValueError(f"the pool's file has version {raw.get('version')}, this is {VERSION}")
    instances = []
    for entry in raw["instances"]:
        process = entry.pop("process")
        phase = WorkerPhase(entry.pop("phase"))
        instances.append(
            Instance(**entry, phase=phase, process=Process(**process) if process else None)
        )
    return Book(
        services={name: Wanted(**wanted) for name, wanted in raw["services"].items()},
        keeper=raw["keeper"],
        fence=raw["fence"],
        closed=raw["closed"],
        instances=instances,
    )
