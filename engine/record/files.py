"""Files that are there as a whole or not at all, also when the process or the machine dies.

Whoever writes a file that somebody else reads (a memory, a request, an artefact, a result) does it
here: beside its name first, on the disk next, and then renamed.  A rename that is on the disk
before the bytes it names would, after a loss of power, be a file of nothing; so the file is synced
before it is renamed, and the folder, which holds the name, after it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Put `content` into `path`: whoever reads it, at any moment, finds the old or the new one.

    If it is to be `durable`, it is on the disk when this returns.  Text is written as UTF-8.
    Raises OSError.
    """
    with replacing(path, durable=durable) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends without an error.

    For what writes its file itself, such as a table.  Raises OSError.
    """
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:12]}")
    try:
        yield unfinished
        if durable:
            sync(unfinished)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    if durable:
        sync(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there, so that it does not come back.  Raises OSError."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Let a file, or what a folder lists, be on the disk when this returns.  Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
