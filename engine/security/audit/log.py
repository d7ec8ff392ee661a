"""The audit log in a folder: rows, signed checkpoints, and how far the tree has grown.

    rows.jsonl    a row a line (`engine.security.audit.rows`)
    checkpoints   signed notes one after another, a blank line more between them
    head.json     the tree after the rows of the last checkpoint, so that nobody reads all to go on
    key.pem       the signing key, if none was given, else key.place says where it is
    verifier.key  what others check with
    name          of the log, by which a store that several share tells its rows from others'

Several processes may append, one at a time.  A row counts once `append` has returned: it is on the
disk, and under a checkpoint.  What a process that was killed had half written is cut off again.

A row with an id comes by way of a store, where it waits until the log has it.  The head remembers
the ids of those that may come again, so that each is in the log once.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging.handlers
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.ports.store import StagedRow
from engine.record.files import replacing, sync, write_atomically
from engine.security.audit import notes
from engine.security.audit.merkle import Frontier
from engine.security.audit.notes import Checkpoint, NoteError, Signer
from engine.security.audit.rows import AuditEntry
from engine.security.audit.sealed_rows import RowSealer
from engine.security.keys import KeyFileError, private_key

FOLDER = "audit"
"""Of the log, in the state folder."""

ROWS, CHECKPOINTS, HEAD = "rows.jsonl", "checkpoints", "head.json"
KEY, PLACE, VERIFIER, LOCK = "key.pem", "key.place", "verifier.key", ".lock"
NAME = "name"
ORIGIN = "wedtwin/audit"
SYSLOG = "syslog"
BETWEEN = "\n\n"

MOST_REMEMBERED = 4096
"""Ids of rows that may come again: those whose store could not say yet that it has let them go."""

WHOLE_NOTE = re.compile(rb"[^\n]+\n\d+\n[^\n]+\n\n[^\n]+\n")
"""As far as its lines go; what has fewer was half written."""

log = structlog.stdlib.get_logger(__name__)


class AuditError(ValueError):
    """A log that cannot be gone on with; the message names the file."""


class AuditKeyError(AuditError):
    """A signing key that cannot be used; the message names the file."""


class AuditLog:
    """Appends to one log; made anew by each process."""

    def __init__(
        self,
        folder: Path,
        *,
        key: Path | None = None,
        copies: Sequence[str] = (),
        sealer: RowSealer | None = None,
    ) -> None:
        """`key` is a PEM file with an Ed25519 key, `copies` where checkpoints are told as well.

        A copy is a file, best on another machine's disk, or "syslog".  With a `sealer` rows are
        sealed from now on.  Raises AuditError, OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._copies = tuple(copies)
        self._sealer = sealer
        self._ids: dict[str, None] = {}
        """Of rows that may come again, the newest last."""
        self._bytes = self._inode = 0
        self._tree = Frontier()
        with _locked(folder):
            self._signer = Signer(ORIGIN, _key(folder, key))
            verifier = self._signer.verifier.text + "\n"
            if not (folder / VERIFIER).exists():
                write_atomically(folder / VERIFIER, verifier)
            elif (folder / VERIFIER).read_text(encoding="utf-8") != verifier:
                raise AuditKeyError(f"{folder / VERIFIER}: is of another key; a log has one key")
            self.name = _name(folder)
            self._begin()

    @property
    def size(self) -> int:
        """How many rows there were when it was last looked."""
        return self._tree.size

    def append(self, *entries: AuditEntry) -> None:
        """Add rows, for good, and sign the tree; all of them or none.

        Raises OSError, AuditError where rows that were signed are gone, and ValueError for a row
        that has no text.
        """
        self._append([(entry.id, entry.text()) for entry in entries])

    def take(self, staged: Sequence[StagedRow]) -> None:
        """Add those of the rows that are not there yet; as `append`."""
        self._append([(row.id, row.text.encode()) for row in staged])

    def forget(self, ids: Collection[str]) -> None:
        """Their store has let them go: they will not come again."""
        for name in ids:
            self._ids.pop(name, None)

    def _append(self, given: Sequence[tuple[str, bytes]]) -> None:
        with _locked(self._folder):
            self._catch_up()
            new = [(name, row) for name, row in given if name not in self._ids]
            if not new:
                return
            seal = self._sealer.sealed if self._sealer is not None else _as_it_is
            rows = [seal(row, name) for name, row in new]
            grown = Frontier(self._tree.size, self._tree.roots)
            for row in rows:
                grown.append(row)
            note = self._signed(grown)
            written = b"".join(row + b"\n" for row in rows)
            with _undone(self._folder / ROWS), _undone(self._folder / CHECKPOINTS):
                _add(self._folder / ROWS, written)
                _add_note(self._folder / CHECKPOINTS, note)
            self._tree, self._bytes = grown, self._bytes + len(written)
            for name, _ in new:
                self._remember(name)
            self._keep_head()
            self._tell(note)

    def _remember(self, name: str) -> None:
        if name:
            self._ids[name] = None
            if len(self._ids) > MOST_REMEMBERED:
                del self._ids[next(iter(self._ids))]

    def _begin(self) -> None:
        """Read the head, and the rows since."""
        self._bytes, self._tree, self._ids = 0, Frontier(), {}
        self._inode = self._folder.stat().st_ino
        try:
            head = json.loads((self._folder / HEAD).read_text(encoding="utf-8"))
            roots = [bytes.fromhex(root) for root in head["roots"]]
            self._tree, self._bytes = Frontier(head["size"], roots), int(head["bytes"])
            self._ids = dict.fromkeys(map(str, head.get("ids", ())))
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise AuditError(f"{self._folder / HEAD}: cannot be read ({error})") from None
        covered = self._covered(self._folder / CHECKPOINTS)
        if covered < self._tree.size:
            raise AuditError(f"{self._folder / CHECKPOINTS}: checkpoints that were signed are gone")
        self._catch_up()
        if covered < self._tree.size:  # who wrote the rows was killed before it could sign
            _add_note(self._folder / CHECKPOINTS, self._signed(self._tree))

    def _signed(self, tree: Frontier) -> str:
        return notes.signed(Checkpoint(ORIGIN, tree.size, tree.root()), self._signer)

    def _covered(self, path: Path) -> int:
        """How many rows the last checkpoint covers; one that was half written is cut off."""
        written = path.read_bytes() if path.exists() else b""
        last = written.rfind((BETWEEN + "\n").encode())
        tail = written[last + 3 if last >= 0 else 0 :]
        if written and not WHOLE_NOTE.fullmatch(tail):
            os.truncate(path, max(last + 1, 0))
            return self._covered(path)
        try:
            return notes.opened(tail.decode(), self._signer.verifier).size if written else 0
        except (NoteError, UnicodeDecodeError) as error:
            raise AuditError(f"{path}: {error}") from None

    def _catch_up(self) -> None:
        """Take in what others have appended since; cut off what one of them wrote by half."""
        if self._folder.stat().st_ino != self._inode:  # somebody has put the log aside
            self._begin()
        path = self._folder / ROWS
        size = path.stat().st_size if path.exists() else 0
        if size < self._bytes:
            raise AuditError(f"{path}: rows that were signed are gone")
        if size == self._bytes:
            return
        with path.open("r+b") as rows:
            rows.seek(self._bytes)
            for line in rows:
                if not line.endswith(b"\n"):
                    rows.truncate(self._bytes)
                    break
                self._tree.append(line[:-1])
                self._bytes += len(line)
                self._remember(_id_of(line))

    def _keep_head(self) -> None:
        """Keep how far it is; the rows since are read anew by who does not find the newest."""
        head = {
            "bytes": self._bytes,
            "ids": list(self._ids),
            "roots": [root.hex() for root in self._tree.roots],
            "size": self._tree.size,
        }
        with contextlib.suppress(OSError):
            write_atomically(self._folder / HEAD, json.dumps(head))

    def _tell(self, note: str) -> None:
        """Tell the copies; one that cannot be told has this checkpoint within the next."""
        for copy in self._copies:
            try:
                if copy == SYSLOG:
                    _say(note)
                else:
                    _add_note(Path(copy), note)
            except OSError as error:
                reason = error.strerror or error
                log.warning(f"audit: {copy} was not told of {self._tree.size} rows ({reason})")


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the files of a log at one moment, at which nobody was appending; raises OSError."""
    with _locked(folder):
        return {name: (folder / name).stat().st_size for name in (ROWS, CHECKPOINTS)}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _as_it_is(row: bytes, _: str) -> bytes:
    return row


def _id_of(line: bytes) -> str:
    """The id of a row, "" for one that has none."""
    if b'"id":"' not in line:
        return ""
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        return str(json.loads(line).get("id", ""))
    return ""


def opened(
    folder: Path,
    *,
    key: Path | None = None,
    copies: Sequence[str] = (),
    sealer: RowSealer | None = None,
) -> AuditLog:
    """The log to go on with; a new one where the old one cannot be gone on with.

    An engine must not stand still for a damaged log, and nobody must lose it: it is put aside, and
    the first row of the new one says where and why.  Raises AuditKeyError, OSError.
    """
    try:
        return AuditLog(folder, key=key, copies=copies, sealer=sealer)
    except AuditKeyError:
        raise
    except AuditError as error:
        aside = next(
            path
            for number in itertools.count(1)
            if not (path := folder.with_name(f"{folder.name}.damaged-{number}")).exists()
        )
        folder.rename(aside)
        folder.mkdir()
        # Who holds the verifier key keeps on trusting, and what is staged for it still comes.
        for name in (KEY, PLACE, NAME):
            if (aside / name).exists():
                shutil.copy2(aside / name, folder / name)
        log.error(f"audit: {error}; it is kept as {aside.name}, and a new one begins")
        fresh = AuditLog(folder, key=key, copies=copies, sealer=sealer)
        fresh.append(
            AuditEntry(
                at_ms=round(1000.0 * time.time()), actor="engine", action="begin", target="audit",
                outcome="accepted", why=f"{error}; the log before is {aside.name}",
            )
        )  # fmt: skip
        return fresh


def _name(folder: Path) -> str:
    path = folder / NAME
    if not path.exists():
        write_atomically(path, secrets.token_hex(8))
    return path.read_text(encoding="utf-8").strip()


def _key(folder: Path, given: Path | None) -> Ed25519PrivateKey:
    """The signing key: the one given, the one given before, or one of the log's own.

    Whoever asks something of an engine signs with its key and does not know its configuration.
    """
    place = folder / PLACE
    if given is not None:
        if not place.exists() or place.read_text(encoding="utf-8") != str(given.absolute()):
            write_atomically(place, str(given.absolute()))
    elif place.exists():
        given = Path(place.read_text(encoding="utf-8"))
    path = given or folder / KEY
    if given is None and not path.exists():
        if (folder / VERIFIER).exists():
            raise AuditError(f"{path}: is missing")
        made = Ed25519PrivateKey.generate()
        text = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # Whole or not at all: with half a key no engine starts any more.
        with replacing(path) as unfinished:
            handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(text)
        return made
    try:
        return private_key(path)
    except KeyFileError as error:
        raise AuditKeyError(str(error)) from None


@contextlib.contextmanager
def _undone(path: Path) -> Iterator[None]:
    """Leave a file as it was, if the block fails."""
    size = path.stat().st_size if path.exists() else 0
    try:
        yield
    except OSError:
        if path.exists():
            with contextlib.suppress(OSError):
                os.truncate(path, size)
        raise


def _add(path: Path, text: bytes) -> None:
    """Text at the end of a file, on the disk when it returns."""
    new = not path.exists()
    with path.open("ab") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


def _add_note(path: Path, note: str) -> None:
    there = path.exists() and path.stat().st_size > 0
    _add(path, ((BETWEEN if there else "") + note).encode())


def _say(note: str) -> None:
    """To the system's log, on one line."""
    handler = logging.handlers.SysLogHandler("/dev/log")
    try:
        line = note.replace("\n", "|")
        handler.emit(logging.LogRecord(ORIGIN, logging.INFO, "", 0, f"{ORIGIN}: {line}", (), None))
    finally:
        handler.close()
