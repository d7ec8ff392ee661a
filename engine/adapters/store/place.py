"""Where the store of a state folder's engine is: in its file, or in a database elsewhere.

An engine on PostgreSQL says so in its folder, without the address, which may hold a password.
Whoever asks that engine on its machine gives the address as the engine has it, in the environment
variable WEDTWIN_STORE; without it he is told so, and nothing is written where nobody would read it.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from engine.adapters.store.database import Database
from engine.adapters.store.sqlite import SqliteFile
from engine.config import secrets
from engine.record.files import remove, write_atomically

VARIABLE = "WEDTWIN_STORE"
FILE = "store.place"
"""In the state folder of an engine whose store is not there."""


def postgres(url: str) -> Database:
    """The PostgreSQL database at an address; raises ValueError for what is none."""
    try:
        from engine.adapters.store.postgres import PostgresDatabase
    except ImportError:
        raise ValueError(
            "psycopg is missing; install it: pip install 'wedtwin[postgres]'"
        ) from None
    return PostgresDatabase(url)


def database_of(state: Path) -> Database:
    """The store of a folder's engine; raises OSError where its address is missing or is none."""
    url = os.environ.get(VARIABLE, "").strip()
    if url:
        secrets.learn(secrets.sealed({"store": url}))
        try:
            return postgres(url)
        except ValueError as error:
            raise OSError(errno.EINVAL, str(error), VARIABLE) from None
    if elsewhere := remembered(state):
        raise OSError(
            errno.ENOTCONN,
            f"its engine has its store in {elsewhere}: give the address in {VARIABLE}, "
            "or ask the engine (--api)",
            str(state),
        )
    return SqliteFile(state)


def remember(state: Path, database: Database) -> None:
    """Have it in the folder where its engine's store is; raises OSError."""
    elsewhere = "" if isinstance(database, SqliteFile) else database.name
    if remembered(state) == elsewhere:
        return
    if elsewhere:
        write_atomically(state / FILE, f"{elsewhere}\n")
    else:
        remove(state / FILE)


def remembered(state: Path) -> str:
    """What a folder's engine has its store in, "" if that is its file; raises OSError."""
    try:
        return (state / FILE).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
