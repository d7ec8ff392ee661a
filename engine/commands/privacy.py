"""`privacy export|erase|retain|page`: what is held on one wedding, and how it goes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.adapters import cabinet_files
from engine.adapters.audit_place import row_sealer_of
from engine.commands.asking import STATE, folder
from engine.commands.failing import failed
from engine.commands.permitted import NotAllowedError, permitted
from engine.ports.cabinet import CabinetError
from engine.record.files import write_atomically
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import ROWS
from engine.security.audit.reading import rows_in
from engine.security.roles import Permission
from engine.security.sealing import SealError
from engine.security.weddings import Held, WeddingError, WeddingRegister, page

PURPOSES = {
    "export": "All that is held on one wedding, as JSON; who looks and what for is written down.",
    "erase": "Destroy the key of a wedding: nobody can read what was held on it any more.",
    "retain": "Drop what has been held for long enough, as the running engine does each hour.",
    "page": "The records of processing, as Markdown.",
}
SHORTEST = 10


def run(arguments: Sequence[str]) -> int:
    """Do it; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        weddings = WeddingRegister(cabinet_files.opened(given.state))
        match given.command:
            case "export":
                _export(weddings, given)
            case "erase":
                _erase(weddings, given)
            case "retain":
                print(f"{weddings.retain(time.time())} entries are gone", file=sys.stderr)
            case _:
                _page(weddings, given.out)
    except (NotAllowedError, WeddingError, CabinetError, SealError, OSError, ValueError) as error:
        return failed(error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine privacy",
        description="What is held on one wedding, and how it goes.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="export|erase|retain|page"
    )
    for name, purpose in PURPOSES.items():
        command = commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        command.add_argument("--state", type=folder, default=STATE, metavar="DIR",
                             help=f"the engine's state folder (default: {STATE})")  # fmt: skip
        if name in ("export", "erase"):
            command.add_argument("wedding", metavar="WEDDING", help="its id, never a name")
            command.add_argument("--purpose", required=True, metavar="TEXT", type=_purpose,
                                 help="what for; it is in the audit log")  # fmt: skip
        elif name == "page":
            command.add_argument("--out", type=Path, metavar="FILE", help="instead of printing it")
    return parser


def _export(weddings: WeddingRegister, given: argparse.Namespace) -> None:
    name = weddings.pseudonym(given.wedding)
    with permitted(
        given.state, Permission.READ_WEDDING, verb="export wedding", target=name,
        why=given.purpose, after={},
    ):  # fmt: skip
        held = [
            {"kind": entry.kind, "at_s": entry.at_s, "until_s": entry.until_s,
             "purpose": entry.purpose, "fields": dict(entry.fields)}
            for entry in weddings.held(given.wedding)
        ]  # fmt: skip
        rows = [_row(weddings, given.wedding, row) for row in _rows(given.state, name)]
    print(json.dumps({"wedding": name, "held": held, "audit": rows}, indent=1))


def _erase(weddings: WeddingRegister, given: argparse.Namespace) -> None:
    name = weddings.pseudonym(given.wedding)
    with permitted(
        given.state, Permission.ERASE_WEDDING, verb="erase wedding", target=name,
        why=given.purpose, after={},
    ):  # fmt: skip
        weddings.erase(given.wedding, time.time())
    print(f"{name}: its key is destroyed", file=sys.stderr)


def _page(weddings: WeddingRegister, out: Path | None) -> None:
    text = page(weddings.counts())
    if out is None:
        print(text, end="")
    else:
        write_atomically(out, text)
        print(out)


def _rows(state: Path, name: str) -> list[dict[str, Any]]:
    """Rows of the audit log that speak of a wedding."""
    with (state / AUDIT / ROWS).open(encoding="utf-8") as lines:
        return [
            row
            for _, row in rows_in(lines, row_sealer_of(state))
            if name in (row["target"], row["after"].get("wedding"))
        ]


def _row(weddings: WeddingRegister, wedding: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row with what it holds sealed, opened as long as its key is there."""
    sealed = row["after"].get("sealed")
    if sealed is None:
        return row
    try:
        fields = dict(weddings.opened(wedding, Held(row["after"]["held"]), sealed))
    except WeddingError:
        return row
    kept = {key: value for key, value in row["after"].items() if key != "sealed"}
    return row | {"after": kept | fields}


def _purpose(text: str) -> str:
    words = " ".join(text.split())
    if len(words) < SHORTEST or not words.isprintable():
        raise argparse.ArgumentTypeError(f"at least {SHORTEST} characters that say what for")
    return words
