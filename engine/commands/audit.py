"""`audit verify|show|export`: what people and the engine did, and whether the log is whole."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import shutil
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature

from engine.adapters.audit_place import row_sealer_of
from engine.commands.asking import STATE
from engine.commands.failing import failed
from engine.ports.cabinet import CabinetError
from engine.security.audit import verifier
from engine.security.audit.log import FOLDER, ROWS, VERIFIER, sizes
from engine.security.audit.reading import rows_in
from engine.security.audit.rows import canonical
from engine.security.audit.sealed_rows import RowSealer
from engine.security.audit.verifier import TouchedError
from engine.security.sealing import SealError

LAST = 20
OPENED = "opened.jsonl"
TRIES, AGAIN_S = 3, 0.1
"""A row that is being appended is there a moment before its checkpoint."""


def run(arguments: Sequence[str]) -> int:
    """Check, show or export it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine audit",
        description="The log of what people and the engine did.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="verify|show|export")
    for name, purpose in (
        ("verify", "Was anything changed, dropped, moved or cut off? Exits with 1 if so."),
        ("show", "The last rows, newest last."),
        ("export", "Copy the log and its verifier, for whoever checks it elsewhere."),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        command.add_argument("--state", type=Path, default=STATE, metavar="DIR",
                             help=f"the engine's state folder (default: {STATE})")  # fmt: skip
        if name == "verify":
            command.add_argument("--key", metavar="KEY",
                                 help="NAME+ID+KEY (default: the one that lies beside the log, "
                                      "which whoever can write there can exchange)")  # fmt: skip
            command.add_argument("--kept", type=Path, metavar="FILE",
                                 help="checkpoints that were kept elsewhere: finds what was "
                                      "rolled back")  # fmt: skip
        elif name == "show":
            command.add_argument("--last", type=int, default=LAST, metavar="N",
                                 help=f"how many (default: {LAST})")  # fmt: skip
            command.add_argument("--json", action="store_true", help="the rows as they are")
        else:
            command.add_argument(
                "folder", type=Path, metavar="FOLDER", help="must not be there yet"
            )
            command.add_argument("--opened", action="store_true",
                                 help=f"with the rows in plain besides, in {OPENED}")  # fmt: skip
    given = parser.parse_args(arguments)
    log = given.state / FOLDER
    if not (log / ROWS).is_file():
        return failed(f"{log}: there is no audit log")
    try:
        match given.command:
            case "verify":
                return _verify(log, given.key, given.kept)
            case "show":
                return _show(given.state, max(given.last, 0), as_json=given.json)
            case _:
                return _export(given.state, given.folder, opened=given.opened)
    except (OSError, ValueError, SealError, CabinetError) as error:
        return failed(error)


def _verify(log: Path, key: str | None, kept: Path | None) -> int:
    own = (log / VERIFIER).read_text(encoding="utf-8").strip()
    key = key or own
    try:
        notes = [] if kept is None else kept.read_text(encoding="utf-8").split("\n\n\n")
        others = tuple((note.removesuffix("\n") + "\n", key) for note in notes)
        rows = _whole(log, key, others)
    except (TouchedError, InvalidSignature) as error:
        print(f"touched: {error or 'a signature does not fit'}")
        return 1
    except (ValueError, IndexError, struct.error) as error:
        print(f"touched: it cannot be read as a log ({error})")
        return 1
    print(f"{rows} rows: whole")
    if key == own:
        print(f"with the key that lies beside it, {own}", file=sys.stderr)
    return 0


def _whole(log: Path, key: str, others: tuple[tuple[str, str], ...]) -> int:
    """As the verifier says; once more where somebody was appending meanwhile."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(TouchedError):
            return verifier.verified(log, key, others)
        time.sleep(AGAIN_S)
    return verifier.verified(log, key, others)


def _show(state: Path, last: int, *, as_json: bool) -> int:
    with (state / FOLDER / ROWS).open(encoding="utf-8") as rows:
        for line, row in rows_in(deque(rows, last), _sealer(state)):
            print(line if as_json else harmless(_sentence(row)))
    return 0


def _sealer(state: Path) -> RowSealer | None:
    """What opens rows; without the owner's keys the sealed ones say that they are."""
    try:
        return row_sealer_of(state)
    except (SealError, CabinetError, OSError) as error:
        print(f"rows stay sealed: {error}", file=sys.stderr)
        return None


def harmless(text: str) -> str:
    """Text of people as one line that does nothing to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _sentence(row: dict[str, Any]) -> str:
    at = dt.datetime.fromtimestamp(row["at_ms"] / 1000.0, dt.UTC)
    changed = ", ".join(
        f"{name} {row['before'][name]} → {value}" if name in row["before"] else f"{name} {value}"
        for name, value in row["after"].items()
        if value is not None
    )
    words = (
        f"{at:%Y-%m-%d %H:%M:%S}Z", row["actor"], row["action"], row["target"], row["outcome"],
        f"({changed})" if changed else "", row["why"],
    )  # fmt: skip
    return "  ".join(word for word in words if word)


def _export(state: Path, folder: Path, *, opened: bool) -> int:
    log, sealer = state / FOLDER, row_sealer_of(state) if opened else None
    if folder.exists():
        return failed(f"{folder}: is there already")
    folder.mkdir(parents=True)
    try:
        for name, size in sizes(log).items():
            with (log / name).open("rb") as original, (folder / name).open("wb") as copy:
                shutil.copyfileobj(original, copy)
                copy.truncate(size)  # what came meanwhile is for the next time
        shutil.copy2(log / VERIFIER, folder / VERIFIER)
        shutil.copy2(Path(verifier.__file__), folder / "verifier.py")
        if opened:
            with (folder / ROWS).open(encoding="utf-8") as rows, (folder / OPENED).open("wb") as to:
                for _, row in rows_in(rows, sealer):
                    to.write(canonical(row) + b"\n")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    key = (folder / VERIFIER).read_text(encoding="utf-8").strip()
    print(f"python {folder / 'verifier.py'} {folder} {key}")
    return 0
