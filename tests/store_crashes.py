"""Crashes of the store: real ones by SIGKILL, and simulated ones beneath SQLite.

**Killed.** A process writes as fast as it can, from several tasks at once, and says of each row
when it is acknowledged; it is killed at a random moment, the next one goes on in the same file, and
that is looked at.  What is in the page cache outlives a process: this tries the store's own code.
Meanwhile a thread of it carries rows into the audit log, and another process does so too: each row
that is in the store is in the log once, or waits for it.

**Simulated.** What a loss of power does is tried beneath SQLite: a VFS of apsw records each write,
truncation, sync and removal of a run of the store's own writer.  A crash is a moment of that
record.  What was synced by then is there; of what was written since, each piece is there, or lost,
or torn, whatever came before or after it; the same holds for the names in the folder.  The files
are laid out like that, and opened as the product does, by the standard library's SQLite.  A VFS in
Python has no shared memory, so the recorded connection has the file for itself
(`locking_mode=EXCLUSIVE`): the index of the journal, which no crash keeps, is then in its memory.
A row and its row of the audit log are there both or neither.

As a script: `python tests/store_crashes.py kill|simulate COUNT [SEED]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.adapters.store import sqlite, statements
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.sqlite import FILE, SqliteFile
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.security.audit import verifier
from engine.security.audit.courier import Courier
from engine.security.audit.log import ROWS, VERIFIER, AuditLog
from engine.security.audit.noting import staged
from engine.security.audit.rows import AuditEntry

TASKS = 6
LONGEST_S = 0.08
"""A writer is killed within so long."""

FENCE = Fence(1)


def row(number: int) -> HistoryRow:
    """A row as large as a decision, with what the audit log is to have of it."""
    audit = AuditEntry(
        number, "engine", "scale", f"d-{number}", "decided", id=f"{number:016x}"
    )  # fmt: skip
    content = json.dumps("x" * 700)
    return HistoryRow(RowKind.DECISION, f"d-{number}", float(number), content, staged(audit))


# --- killed


def killed(times: int, seed: int, state: Path) -> dict[str, int]:
    """Kill so many writers one after the other; raises AssertionError for what they lost."""
    rng, tally = random.Random(seed), {"kills": times, "rows": 0, "unsure": 0, "longest_ms": 0}
    tally["waited"] = 0
    begins, acknowledged = 0, set[int]()
    for _ in range(times):
        wait = (rng.random() < 0.7, rng.uniform(0.0, LONGEST_S))
        said, sent = _kill_one(begins, *wait, state)
        acknowledged |= said
        began = time.perf_counter()
        there, memory = _there(state)
        opened_ms = round(1000.0 * (time.perf_counter() - began))
        tally["longest_ms"] = max(tally["longest_ms"], opened_ms)
        lost = acknowledged - there
        assert not lost, f"acknowledged, and lost: {sorted(lost)[:5]}"
        assert memory in there or not there, "a memory without its rows"
        tally["waited"] += _in_the_log(state, there)
        begins = max([begins - 1, *there, *sent]) + 1
        tally["unsure"] += len(there - acknowledged)
        acknowledged |= there  # what was not acknowledged and is there has to stay
    tally["rows"] = len(acknowledged)
    return tally


def _kill_one(begins: int, begun: bool, after_s: float, state: Path) -> tuple[set[int], set[int]]:
    """The numbers of the rows that a writer said were kept, and of those that it had asked for.

    It is killed so long after it was started, or after it has `begun` to write.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _write(begins, state, writing)
    os.close(writing)
    text = os.read(reading, 1 << 16) if begun else b""
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    while piece := os.read(reading, 1 << 16):
        text += piece
    os.close(reading)
    os.waitpid(child, 0)
    said: dict[bytes, set[int]] = {b"+": set(), b"?": set()}
    for line in text.splitlines():
        said[line[:1]].add(int(line[1:]))
    return said[b"+"], said[b"?"]


def _write(begins: int, state: Path, writing: int) -> NoReturn:
    """Write until the end."""

    async def task(store: SqlStore, number: int) -> None:
        while True:
            os.write(writing, b"?%d\n" % number)
            # Memory and row are one: whichever memory is there, its row is.
            await store.keep(Kept(str(number), (), (row(number),)), FENCE)
            os.write(writing, b"+%d\n" % number)
            number += TASKS

    async def tasks() -> None:
        file = SqliteFile(state)
        store, courier = SqlStore(file), Courier(SqlDesk(file), AuditLog(state / "audit"))
        threading.Thread(target=_carry, args=(courier,), daemon=True).start()
        await asyncio.gather(*(task(store, begins + k) for k in range(TASKS)))

    try:
        asyncio.run(tasks())
    finally:
        os._exit(1)


def _carry(courier: Courier) -> NoReturn:
    """As fast as it can, and logins in between, which do not come by way of the store."""
    while True:
        courier.carry()
        courier.audit.append(AuditEntry(0, "pat", "login", "engine", "accepted"))


def _in_the_log(state: Path, there: set[int]) -> int:
    """Carry what waits, and look at whether the log has each row once; how many rows waited."""
    file = SqliteFile(state)
    try:
        waited = Courier(SqlDesk(file), AuditLog(state / "audit")).carry()
    finally:
        file.close()
    if not (state / "audit" / ROWS).exists():
        assert not there, "there is no audit log"
        return waited
    lines = (state / "audit" / ROWS).read_text(encoding="utf-8").splitlines()
    ids = [row["id"] for line in lines if "id" in (row := json.loads(line))]
    numbers = [int(name, 16) for name in ids]
    assert len(numbers) == len(set(numbers)), "a row is in the audit log twice"
    assert set(numbers) == there, "the audit log and the store have different rows"
    key = (state / "audit" / VERIFIER).read_text(encoding="utf-8")
    assert verifier.verified(state / "audit", key) == len(lines)
    return waited


def _there(state: Path) -> tuple[set[int], int]:
    """The numbers of all rows, and the one that the memory has; looks at whether all is whole."""
    file = SqliteFile(state)
    try:
        rows = file.read(lambda at: at.execute("SELECT id FROM history"))
        text = file.read(statements.memory)
        whole = file.read(lambda at: at.execute("PRAGMA quick_check"))
    finally:
        file.close()
    numbers = [int(name.removeprefix("d-")) for (name,) in rows]
    assert len(numbers) == len(set(numbers)), "a row is there twice"
    assert whole == [("ok",)], f"the file is damaged: {whole}"
    return set(numbers), int(text or -1)


# --- simulated


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that SQLite did to a file, or a row that was acknowledged (`number`)."""

    what: str
    name: str = ""
    offset: int = 0
    content: bytes = b""
    number: int = -1


@dataclass(slots=True)
class Simulated:
    """A file as it is after a crash: bytes that are safe, and pieces that may or may not be."""

    safe: bytearray = field(default_factory=bytearray)
    unsynced: list[Event] = field(default_factory=list)

    def settle(self) -> None:
        """All of it is on the disk."""
        for event in self.unsynced:
            _apply(self.safe, event)
        self.unsynced = []

    def crashed(self, rng: random.Random) -> bytes:
        """What the disk has of it."""
        content, pieces = bytearray(self.safe), list(self.unsynced)
        share = rng.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        if rng.random() < 0.5:
            rng.shuffle(pieces)
        for event in pieces:
            if rng.random() >= share:
                continue
            if event.what == "write" and rng.random() < 0.3:
                event = _torn(event, rng)
            _apply(content, event)
        return bytes(content)


def _apply(content: bytearray, event: Event) -> None:
    if event.what == "truncate":
        del content[event.offset :]
        return
    end = event.offset + len(event.content)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[event.offset : end] = event.content


def _torn(event: Event, rng: random.Random) -> Event:
    """A part of a write: its beginning, its end, or the one without the other in the middle."""
    begin, end = sorted(rng.randrange(len(event.content) + 1) for _ in range(2))
    if rng.random() < 0.5:
        begin = 0
    return Event("write", event.name, event.offset + begin, event.content[begin:end])


def recorded(seed: int, writes: int = 60) -> list[Event]:
    """What the store's writer does to its files in one run, with what it acknowledged."""
    import apsw

    events: list[Event] = []

    class RecordedFile(apsw.VFSFile):
        def __init__(self, name: Any, flags: list[int]) -> None:
            path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
            self.name = path.name
            # SQLite's unix VFS syncs the folder with the first sync of a journal that it has made.
            journals = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
            self.syncs_folder = bool(flags[0] & journals) and not path.exists()
            super().__init__("", name, flags)

        def xWrite(self, data: bytes, offset: int) -> None:
            events.append(Event("write", self.name, offset, bytes(data)))
            super().xWrite(data, offset)

        def xTruncate(self, size: int) -> None:
            events.append(Event("truncate", self.name, size))
            super().xTruncate(size)

        def xSync(self, flags: int) -> None:
            super().xSync(flags)
            events.append(Event("sync", self.name))
            if self.syncs_folder:
                events.append(Event("folder"))
                self.syncs_folder = False

    class RecordingVfs(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("recording", "")

        def xOpen(self, name: Any, flags: list[int]) -> RecordedFile:
            return RecordedFile(name, flags)

        def xDelete(self, path: str, syncs: bool) -> None:
            super().xDelete(path, syncs)
            events.append(Event("delete", Path(path).name))
            if syncs:
                events.append(Event("folder"))

    rng, vfs = random.Random(seed), RecordingVfs()
    with tempfile.TemporaryDirectory(dir=_memory()) as folder, _connecting(apsw, "recording"):
        file = SqliteFile(Path(folder))
        number = 0
        while number < writes:
            together = [
                (k, file.write(_keeping(k, rng.randrange(10, 20_000))))
                for k in range(number, number + rng.choice((1, 1, 3, 8)))
            ]
            for k, done in together:
                done.result()
                events.append(Event("acknowledged", number=k))
            number += len(together)
        file.close()
    vfs.unregister()
    return events


def _keeping(number: int, size: int) -> Any:
    # A row and a memory that has its number: one is not there without the other.
    kept = Kept(f"{number} {'m' * size}", (), (row(number),))
    return lambda to: statements.keep(to, kept, FENCE)


@contextmanager
def _connecting(apsw: Any, vfs: str) -> Iterator[None]:
    """Let the store's writer open its file through `vfs`, with a journal that is soon full."""

    def connect(path: Path, **_: Any) -> Any:
        connection = apsw.Connection(str(path), vfs=vfs)
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA wal_autocheckpoint=30")
        return connection

    plain = sqlite.sqlite3.connect
    sqlite.sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield
    finally:
        sqlite.sqlite3.connect = plain


def crashed(events: Sequence[Event], rng: random.Random, state: Path) -> set[int]:
    """Lay the files out as a crash at a random moment leaves them; what was acknowledged then."""
    files: dict[str, Simulated] = {}
    unnamed, removed = set[str](), dict[str, Simulated]()  # since the folder was synced
    acknowledged: set[int] = set()
    for event in events[: rng.randrange(len(events) + 1)]:
        match event.what:
            case "acknowledged":
                acknowledged.add(event.number)
            case "sync":
                files[event.name].settle()
            case "delete":
                removed[event.name] = files.pop(event.name, Simulated())
            case "folder":
                unnamed, removed = set(), {}
            case _:
                if event.name not in files:
                    unnamed.add(event.name)
                    files[event.name] = Simulated()
                files[event.name].unsynced.append(event)
    gone = {name for name in unnamed if rng.random() < 0.3}
    back = {name: file for name, file in removed.items() if rng.random() < 0.3}
    for name, file in {**back, **files}.items():
        if name not in gone:
            (state / name).write_bytes(file.crashed(rng))
    return acknowledged


def simulated(times: int, seed: int, runs: int = 10) -> dict[str, int]:
    """So many crashes of several runs; raises AssertionError for what they lost."""
    tally = {"crashes": times, "rows": 0, "unsure": 0, "longest_ms": 0}
    for run in range(runs):
        events, rng = recorded(seed + run), random.Random(f"{seed} {run}")
        for _ in range(times * (run + 1) // runs - times * run // runs):
            state = Path(tempfile.mkdtemp(dir=_memory()))
            try:
                acknowledged = crashed(events, rng, state)
                began = time.perf_counter()
                there, memory = _after_a_crash(state)
                took_ms = round(1000.0 * (time.perf_counter() - began))
                lost = acknowledged - there
                assert not lost, f"acknowledged, and lost: {sorted(lost)[:5]}"
                assert memory == max(there, default=-1), "a memory without its rows"
                tally["rows"] += len(acknowledged)
                tally["unsure"] += len(there - acknowledged)
                tally["longest_ms"] = max(tally["longest_ms"], took_ms)
            finally:
                shutil.rmtree(state)
    return tally


def _after_a_crash(state: Path) -> tuple[set[int], int]:
    """As `_there`; the store is opened as the product opens it, and goes on."""
    file = SqliteFile(state)
    try:
        file.write(lambda to: statements.check_fence(to, FENCE)).result()
        rows = file.read(lambda at: at.execute("SELECT id FROM history"))
        waiting = file.read(lambda at: at.execute("SELECT id FROM staged"))
        text = file.read(statements.memory)
    finally:
        file.close()
    audited = sorted(int(name, 16) for (name,) in waiting)
    assert audited == sorted(int(name[2:]) for (name,) in rows), "a row without that of the log"
    connection = sqlite3.connect(state / FILE)
    try:
        whole = connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()
    assert whole == [("ok",)], f"the file is damaged: {whole}"
    numbers = [int(name.removeprefix("d-")) for (name,) in rows]
    assert len(numbers) == len(set(numbers)), "a row is there twice"
    return set(numbers), int(text.partition(" ")[0] or -1)


def _memory() -> str | None:
    """A folder that is no disk: what a disk would do is played."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main() -> None:
    """Do what the command line says, and print what came of it as JSON."""
    what, times, *rest = sys.argv[1:]
    seed = int(rest[0]) if rest else 1
    if what == "kill":
        with tempfile.TemporaryDirectory() as folder:
            tally = killed(int(times), seed, Path(folder))
    else:
        tally = simulated(int(times), seed)
    print(json.dumps(tally))


if __name__ == "__main__":
    main()
