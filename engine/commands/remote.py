"""The same requests to an engine elsewhere: `--api URL`, with a token that is never typed.

The token is in the environment variable WEDTWIN_TOKEN or in a file (`--token-file`): what is on a
command line is in the history and in everybody's list of processes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from engine.client import ApiProblemError, ApiUnreachableError, EngineClient
from engine.commands.failing import failed
from engine.config import secrets

VARIABLE = "WEDTWIN_TOKEN"


def done(given: argparse.Namespace, ask: Callable[[EngineClient], object], said: str) -> int:
    """Ask the engine at `given.api`, then print what is `said` of it; returns the exit code."""
    try:
        with EngineClient(given.api, _token(given.token_file), ca=given.ca) as engine:
            ask(engine)
    except ApiProblemError as error:
        return failed(error)
    except (ApiUnreachableError, ValueError, OSError) as error:
        return failed(f"--api: {error}")
    if said:
        print(said, file=sys.stderr)
    return 0


def _token(file: Path | None) -> str:
    """The token; raises ValueError where there is none, OSError."""
    token = os.environ.get(VARIABLE, "") if file is None else file.read_text(encoding="utf-8")
    if not token.strip():
        raise ValueError(f"a token is missing ({VARIABLE} in the environment, or --token-file)")
    secrets.learn(secrets.sealed({"token": token.strip()}))
    return token.strip()
