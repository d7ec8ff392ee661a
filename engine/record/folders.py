"""Folders of results that are there as a whole or not at all.

Everything goes to a temporary folder beside the final one, which is renamed when the last file is
complete.  What fails on the way (a full disk, a missing permission) leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


class OutputError(OSError):
    """The results cannot be written; the message says where and why."""


def check_writable(folder: Path) -> None:
    """Find out before the work whether its results can be written; raises OutputError if not."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


def write_whole(base: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder in `base` that `fill` has filled, called `name` or, if there is one, `name`-2 ….

    Raises OutputError when that is impossible, and whatever `fill` raises.
    """
    with explained(base):
        base.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=base))
        try:
            fill(temporary)
            temporary.chmod(0o755)
            return _rename(temporary, base, name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say of an OSError what to do about it."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"output: {folder} cannot be written ({reason}); give a folder that can, output=…"
        ) from error


def _rename(temporary: Path, base: Path, name: str) -> Path:
    """Give the folder its name, with a number where another run began in the same second."""
    for number in range(1, 1000):
        folder = base / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            with contextlib.suppress(FileExistsError):
                return temporary.rename(folder)
    raise OutputError(f"output: {base}: no free name for {name}")
