"""`record open`: the record of a live run, sealed when it was written, for people and tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from engine.adapters.cabinet_files import sealer_of
from engine.commands.asking import STATE, folder
from engine.commands.failing import failed
from engine.commands.permitted import NotAllowedError, permitted
from engine.ports.cabinet import CabinetError
from engine.record.sealed import open_into
from engine.security.roles import Permission
from engine.security.sealing import SealError


def run(arguments: Sequence[str]) -> int:
    """Do it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine record",
        description="Records of live runs that are sealed.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="open")
    purpose = "Write a sealed record in plain, for reports and whatever else reads records."
    command = commands.add_parser("open", help=purpose, description=purpose, allow_abbrev=False)
    command.add_argument("record", type=Path, metavar="RECORD", help="the folder that is sealed")
    command.add_argument("folder", type=Path, metavar="FOLDER", help="must not be there yet")
    command.add_argument("--state", type=folder, default=STATE, metavar="DIR",
                         help=f"of the engine that sealed it (default: {STATE})")  # fmt: skip
    command.add_argument("--why", default="", metavar="TEXT", help="a reason, for the audit log")
    given = parser.parse_args(arguments)
    try:
        sealer = sealer_of(given.state)
        if sealer is None:
            raise SealError(f"{given.state}: nothing is sealed (python -m engine keys use)")
        with permitted(
            given.state, Permission.LOOK, verb="open record", target=given.record.name,
            why=given.why, after={"folder": str(given.folder)},
        ):  # fmt: skip
            open_into(given.record, given.folder, sealer)
    except (NotAllowedError, CabinetError, ValueError, OSError) as error:
        return failed(error)
    print(given.folder)
    return 0
