"""Users of the machine that has the engine's state: the command line without `--api`.

Whoever owns the state folder can change every file in it, so a table that forbade him anything
would only look like one; what he does is in the audit log under his name all the same, and four
eyes hold for him too.  Everybody else has no role here, and shows a token to the API.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from engine.security.roles import Method, Principal, Role


def principal(state: Path) -> Principal:
    """Who runs this process, as far as the kernel knows: never what the environment says."""
    user = os.getuid()
    try:
        owner = state.stat().st_uid
    except FileNotFoundError:
        owner = user  # and will be, once something is kept there
    roles = frozenset(Role) if user in (owner, 0) else frozenset[Role]()
    return Principal(_name(user), roles, method=Method.LOCAL)


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
