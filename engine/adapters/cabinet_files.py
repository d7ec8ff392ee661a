"""A cabinet in a folder: one file a document, readable by its owner alone."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from engine.ports.cabinet import Cabinet, CabinetError
from engine.record.files import remove, replacing
from engine.security import break_glass
from engine.security.sealing import SealedCabinet, Sealer, place_in

FOLDER = "security"
"""Of the cabinet, in the state folder."""

LOCK, PLACE = ".lock", "keys.place"
PLAIN = (PLACE, break_glass.DOCUMENT)
"""What is needed to find the keys, and what has to work when they cannot be had: hashes alone."""

Signature = tuple[int, int, int]


class FileCabinet:
    """Reads a file again only once another one has taken its place."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when something is first put into it."""
        self._folder = folder
        self._read: dict[str, tuple[Signature, str]] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """All documents, in the order of their names; raises OSError."""
        there = self._folder.iterdir() if self._folder.is_dir() else ()
        return sorted(path.name for path in there if not path.name.startswith("."))

    def read(self, name: str) -> str:
        """The document as it is now, "" if there is none; raises OSError, CabinetError."""
        path = self._folder / name
        try:
            stat = path.stat()
        except FileNotFoundError:
            return ""
        signature = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        kept = self._read.get(name)
        if kept is not None and kept[0] == signature:
            return kept[1]
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise CabinetError(f"{path}: is no text") from None
        # A file that took its place meanwhile has another signature, and is read at the next look.
        self._read[name] = (signature, text)
        return text

    def change(self, name: str, edit: Callable[[str], str]) -> None:
        """Put `edit` of the document in its place; raises OSError, and whatever `edit` raises."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock, (self._folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = edit(self.read(name))
            if not text:
                remove(self._folder / name)
                return
            with replacing(self._folder / name) as unfinished:
                handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)


def opened(state: Path) -> Cabinet:
    """The cabinet of an engine's state folder, sealed if its owner has said where his keys are.

    Raises OSError, SealError.
    """
    plain = FileCabinet(state / FOLDER)
    sealer = sealer_of(state)
    return plain if sealer is None else SealedCabinet(plain, sealer, PLAIN)


def sealer_of(state: Path) -> Sealer | None:
    """What seals in an engine's state folder, if anything does; raises OSError, SealError."""
    place = FileCabinet(state / FOLDER).read(PLACE)
    return Sealer(place_in(place).read) if place else None
