"""`token create|list|revoke`: what people and machines show to the API."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from engine.adapters.store.place import VARIABLE
from engine.adapters.store.sealed import tokens_of
from engine.commands.asking import STATE, duration, folder
from engine.commands.failing import failed
from engine.commands.permitted import NotAllowedError, permitted
from engine.ports.cabinet import CabinetError
from engine.security.roles import Permission, Role
from engine.security.sealing import SealError
from engine.security.token_texts import Token
from engine.security.tokens import DAY_S, TokenError, Tokens

USUAL_S = 90 * DAY_S


def run(arguments: Sequence[str]) -> int:
    """Make, list or revoke tokens; returns the exit code."""
    given = _parser().parse_args(arguments)
    try:
        with closing(tokens_of(given.state)) as tokens:
            match given.command:
                case "create":
                    return _create(tokens, given)
                case "list":
                    return _list(tokens, as_json=given.json)
                case _:
                    return _revoke(tokens, given)
    except (NotAllowedError, TokenError, CabinetError, SealError, OSError) as error:
        return failed(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m engine token",
        description="What people and machines show to the API.  Of engines that share a database "
        f"all know it; that one's address is read from {VARIABLE}.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="create|list|revoke")
    for name, purpose in (
        ("create", "Make a token.  It is printed now and never again; its hash is kept."),
        ("list", "All tokens, without their secrets."),
        ("revoke", "A token, or all of a person, stop at the next request."),
    ):
        command = commands.add_parser(name, help=purpose, description=purpose, allow_abbrev=False)
        command.add_argument("--state", type=folder, default=STATE, metavar="DIR",
                             help=f"the engine's state folder (default: {STATE})")  # fmt: skip
        if name == "list":
            command.add_argument("--json", action="store_true", help="as JSON, an object a line")
            continue
        command.add_argument("--why", default="", metavar="TEXT",
                             help="a reason, for the audit log")  # fmt: skip
        if name == "create":
            command.add_argument("name", metavar="NAME", help="whose it is; one name a person")
            command.add_argument("--role", dest="roles", action="append", required=True,
                                 choices=[role.value for role in Role], metavar="ROLE",
                                 help=f"{', '.join(Role)}; may be given several times")  # fmt: skip
            command.add_argument("--service", dest="services", action="append", metavar="SERVICE",
                                 help="only this one; may be given several times")  # fmt: skip
            command.add_argument("--for", dest="duration", type=duration, default=USUAL_S,
                                 metavar="TIME", help="how long: 12h, 30d (default: 90d, "
                                                      "at most 400d)")  # fmt: skip
        else:
            command.add_argument("which", metavar="ID|NAME", help="one token, or all of a name")
            command.add_argument("--issued-elsewhere", action="store_true",
                                 help="also take no token any more that an identity provider "
                                      "issued to NAME until now")  # fmt: skip
    return parser


def _create(tokens: Tokens, given: argparse.Namespace) -> int:
    now_s = time.time()
    after = {"roles": " ".join(given.roles), "services": " ".join(given.services or ["all"]),
             "seconds": given.duration}  # fmt: skip
    with permitted(
        given.state, Permission.ISSUE_TOKENS,
        verb="create token", target=given.name, why=given.why, after=after,
    ) as who:  # fmt: skip
        shown, token = tokens.create(
            given.name, map(Role, given.roles), given.services,
            now_s=now_s, for_s=given.duration, made_by=who.name,
        )  # fmt: skip
    print(f"{token.id}: {_sentence(token, now_s)}", file=sys.stderr)
    print(shown)
    return 0


def _list(tokens: Tokens, *, as_json: bool) -> int:
    now_s = time.time()
    for token in tokens.book().tokens:
        if as_json:
            print(json.dumps({
                "id": token.id, "name": token.name, "roles": token.roles,
                "services": token.services, "created_s": token.created_s,
                "expires_s": token.expires_s, "made_by": token.made_by,
                "revoked_s": None if math.isinf(token.revoked_s) else token.revoked_s,
            }))  # fmt: skip
        else:
            print(f"{token.id}  {_sentence(token, now_s)}")
    return 0


def _revoke(tokens: Tokens, given: argparse.Namespace) -> int:
    now_s = time.time()
    with permitted(
        given.state, Permission.ISSUE_TOKENS, verb="revoke token", target=given.which,
        why=given.why, after={"issued_elsewhere": given.issued_elsewhere},
    ):  # fmt: skip
        if given.issued_elsewhere:
            tokens.refuse_earlier(given.which, now_s)
            print(f"{given.which}: what was issued elsewhere until now is refused", file=sys.stderr)
        try:
            revoked = tokens.revoke(given.which, now_s)
        except TokenError:
            if not given.issued_elsewhere:
                raise
            revoked = ()
    for token in revoked:
        print(f"{token.id} of {token.name}: revoked", file=sys.stderr)
    return 0


def _sentence(token: Token, now_s: float) -> str:
    until = f"until {dt.datetime.fromtimestamp(token.ends_s, dt.UTC):%Y-%m-%d %H:%M} UTC"
    over = (
        "" if token.ends_s > now_s else ("revoked, " if token.revoked_s <= now_s else "expired, ")
    )
    services = "all services" if token.services is None else ", ".join(token.services)
    return f"{token.name}: {', '.join(token.roles)}; {services}; {over}{until}"
