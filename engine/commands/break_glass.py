"""`break-glass seal|use|review|drill`: access in an emergency, whatever else does not work."""

from __future__ import annotations

import argparse
import datetime as dt
import getpass
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from engine.adapters.audit_place import audit_of
from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.commands.asking import STATE, duration, folder
from engine.commands.failing import failed
from engine.commands.permitted import NotAllowedError, permitted
from engine.ports.cabinet import CabinetError
from engine.security import local
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import AuditLog, opened
from engine.security.break_glass import LONGEST_S, BreakGlass, BreakGlassError, SealedAccess
from engine.security.roles import Permission
from engine.security.sealing import SealError
from engine.security.tokens import DAY_S, TokenError

USUAL_S = 180 * DAY_S
DRILL_S = 60.0
"""From the seal to the first accepted action, at the most."""

PURPOSES = {
    "seal": "Seal a code for somebody.  It is printed now and never again: put it in an envelope.",
    "use": "Open a sealed code, read from the terminal or standard input, and get a token for it.",
    "review": "What waits for a review, or with an ID and a verdict: review it, which ends it.",
    "drill": "Seal, open and act in a folder of its own, without a server: how long does it take?",
}


def run(arguments: Sequence[str]) -> int:
    """Do it; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        match given.command:
            case "seal":
                return _seal(given)
            case "use":
                return _use(given)
            case "review":
                return _review(given)
            case _:
                return _drill(given)
    except (NotAllowedError, BreakGlassError, TokenError, CabinetError, OSError) as error:
        return failed(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine break-glass",
        description="Access in an emergency, whatever else does not work.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="seal|use|review|drill")
    for name, purpose in PURPOSES.items():
        command = commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        if name == "drill":
            command.add_argument("--api", default="", metavar="URL",
                                 help="on the engine that runs there: seals, opens and asks it for "
                                      "a floor that it has already, which is taken back (default: "
                                      "in a folder of its own)")  # fmt: skip
            command.add_argument("--ca", type=Path, metavar="FILE",
                                 help="certificates that --api is trusted by")  # fmt: skip
        command.add_argument("--state", type=folder, default=STATE, metavar="DIR",
                             help=f"the engine's state folder (default: {STATE})")  # fmt: skip
        if name == "seal":
            command.add_argument("name", metavar="NAME", help="who opens it; not who seals it")
            command.add_argument("--for", dest="duration", type=duration, default=USUAL_S,
                                 metavar="TIME", help="how long it can be opened (default: 180d, "
                                                      "at most 400d)")  # fmt: skip
            command.add_argument("--why", default="", metavar="TEXT",
                                 help="a reason, for the audit log")  # fmt: skip
        elif name == "use":
            command.add_argument("--reason", required=True, metavar="TEXT",
                                 help="what happens; everybody is told")  # fmt: skip
            command.add_argument("--for", dest="duration", type=duration, default=LONGEST_S,
                                 metavar="TIME",
                                 help="how long (default and at most: 60m)")  # fmt: skip
        else:
            command.add_argument("which", metavar="ID", nargs="?", default="")
            command.add_argument("--verdict", default="", metavar="TEXT",
                                 help="what came of it")  # fmt: skip
    return parser


def _seal(given: argparse.Namespace) -> int:
    access = BreakGlass(FileCabinet(given.state / FOLDER))
    with permitted(
        given.state, Permission.SEAL_BREAK_GLASS, verb="seal break-glass", target=given.name,
        why=given.why, after={"seconds": given.duration},
    ) as who:  # fmt: skip
        code = access.seal(given.name, now_s=time.time(), sealed_by=who.name, for_s=given.duration)
    until = dt.datetime.fromtimestamp(time.time() + given.duration, dt.UTC)
    print(f"for {given.name}, to be opened once, until {until:%Y-%m-%d}", file=sys.stderr)
    print(code)
    return 0


def _use(given: argparse.Namespace) -> int:
    code = getpass.getpass("code: ") if sys.stdin.isatty() else sys.stdin.readline()
    token = exchanged(given.state, code.strip(), given.reason, given.duration)
    print(
        f"for {given.duration / 60.0:.0f} min; everybody is told, and somebody else reviews it",
        file=sys.stderr,
    )
    print(token)
    return 0


def exchanged(state: Path, code: str, reason: str, for_s: float) -> str:
    """The token for a sealed code; that it was asked for is in the audit log before and after.

    Raises BreakGlassError, OSError, CabinetError.
    """
    return BreakGlass(FileCabinet(state / FOLDER)).exchanged(
        code, reason, _audit(state).append, now_s=time.time(), for_s=for_s,
        asked_by={"user": local.principal(state).name},
    )  # fmt: skip


def _audit(state: Path) -> AuditLog:
    """The log; its rows are readable where nobody can be asked for the keys that seal them.

    Who has to get in must not be kept out by a vault that is down as well.
    """
    try:
        return audit_of(state)
    except (SealError, CabinetError) as error:
        print(f"its rows in the audit log are not sealed: {error}", file=sys.stderr)
        return opened(state / AUDIT)


def _review(given: argparse.Namespace) -> int:
    access = BreakGlass(FileCabinet(given.state / FOLDER))
    if not given.which:
        waiting = [each for each in access.book() if each.awaits_review]
        for each in waiting:
            print(_sentence(each))
        return 1 if waiting else 0
    with permitted(
        given.state, Permission.REVIEW_BREAK_GLASS, verb="review break-glass", target=given.which,
        why=given.verdict, after={},
    ) as who:  # fmt: skip
        access.review(given.which, given.verdict, now_s=time.time(), reviewer=who.name)
    print(f"{given.which}: reviewed", file=sys.stderr)
    return 0


def _sentence(access: SealedAccess) -> str:
    at = dt.datetime.fromtimestamp(access.opened_s, dt.UTC)
    until = dt.datetime.fromtimestamp(access.ends_s, dt.UTC)
    return f"{access.id}  {at:%Y-%m-%d %H:%M}–{until:%H:%M} UTC  {access.holder}: {access.reason}"


def _drill(given: argparse.Namespace) -> int:
    from engine.commands.break_glass_drill import drilled, drilled_there
    from engine.runtime import log

    log.set_up()
    if given.api:
        with permitted(
            given.state, Permission.SEAL_BREAK_GLASS, verb="drill break-glass", target=given.api,
            why="a drill", after={},
        ) as who:  # fmt: skip
            steps = drilled_there(given.state, given.api, given.ca, who.name)
    else:
        with tempfile.TemporaryDirectory(prefix="wt-break-glass-") as name:
            steps = drilled(Path(name))
    for step, after_s in steps.items():
        print(f"{after_s:8.3f} s  {step}", file=sys.stderr)
    whole_s = max(steps.values())
    print(f"{whole_s:.3f}")
    return 0 if whole_s <= DRILL_S else 1
