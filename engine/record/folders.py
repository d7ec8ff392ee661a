"""Folders of results that are there as a whole or not at all.

Everything goes to a temporary folder beside the final one, which is renamed when the last file is
complete and on the disk.  What fails on the way (a full disk, a missing permission) leaves nothing
behind.  A report is made of the results and can be made again, so results whose report fails stand
all the same.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.record.files import sync

Render = Callable[[Path], None]
"""Adds what people read to a folder of results."""

TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
"""What a rename says where another folder or file has the name (rename(2); POSIX allows two)."""

log = logging.getLogger(__name__)


class OutputError(OSError):
    """The results cannot be written; the message says where and why."""


def check_writable(folder: Path, key: str = "output") -> None:
    """Find out before the work whether its results can be written; raises OutputError if not.

    `key` is what the folder is given by.
    """
    with explained(folder, key):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def write_whole(
    base: Path, name: str, fill: Callable[[Path], None], render: Render | None = None,
    *, finish: Callable[[Path], None] | None = None,
) -> Path:  # fmt: skip
    """A folder in `base` that `fill` has filled, called `name` or, if there is one, `name`-2 ….

    `render` adds reports; when it fails the log says why, and the folder is without them.  `finish`
    has the last word on all files.  Raises OutputError when the folder cannot be written, and
    whatever `fill` and `finish` raise.
    """
    with explained(base):
        base.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=base))
        try:
            fill(temporary)
            interrupt = None if render is None else _rendered(temporary, render)
            if finish is not None:
                finish(temporary)
            temporary.chmod(0o755)
            sync_whole(temporary)
            folder = _rename(temporary, base, name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        sync(base)
        sync(base.parent)
    if interrupt is not None:
        raise interrupt
    return folder


def sync_whole(folder: Path) -> None:
    """Let all files below `folder`, and the folders themselves, be on the disk; raises OSError."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


@contextlib.contextmanager
def explained(folder: Path, key: str = "output") -> Iterator[None]:
    """Say of an OSError what to do about it; `key` is what the folder is given by."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"{key}: {folder} cannot be written ({reason}); give a folder that can, {key}=…"
        ) from error


def _rendered(folder: Path, render: Render) -> BaseException | None:
    """Add the reports, all or none; returns an interrupt that came meanwhile."""
    before = set(folder.iterdir())
    try:
        render(folder)
    except BaseException as error:
        for path in set(folder.iterdir()) - before:
            path.unlink()
        if not isinstance(error, Exception):
            return error
        log.error(
            "the report cannot be made: %s: %s; the record stands without it "
            "(again: python -m reports FOLDER)", type(error).__name__, error,
        )  # fmt: skip
    return None


def _rename(temporary: Path, base: Path, name: str) -> Path:
    """Give the folder its name, with a number where another run has it, or takes it meanwhile."""
    for number in range(1, 1000):
        folder = base / (name if number == 1 else f"{name}-{number}")
        if os.path.lexists(folder):
            continue
        try:
            return temporary.rename(folder)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
    raise OutputError(f"output: {base}: no free name for {name}")
