"""A cabinet in a folder: one file a document, readable by its owner alone."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

from engine.ports.cabinet import CabinetError
from engine.record.files import replacing

LOCK = ".lock"

Signature = tuple[int, int, int]


class FileCabinet:
    """Reads a file again only once another one has taken its place."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made when something is first put into it."""
        self._folder = folder
        self._read: dict[str, tuple[Signature, str]] = {}
        self._lock = threading.Lock()

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
            with replacing(self._folder / name) as unfinished:
                handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
