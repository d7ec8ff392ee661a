"""How each command says that it cannot do what it was asked for."""

from __future__ import annotations

import sys

from engine.config import secrets

BAD_INPUT = 2


def failed(error: Exception | str) -> int:
    """Say what went wrong, secrets hidden; returns the exit code."""
    reason = str(error)
    if isinstance(error, OSError) and error.filename is not None:
        reason = f"{error.filename}: {error.strerror}"
    print(f"error: {secrets.redacted(reason)}", file=sys.stderr)
    return BAD_INPUT
