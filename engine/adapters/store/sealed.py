"""A store whose texts are sealed: what was measured and decided, and what people ask and answer.

What stays readable is what rows are looked up by: kinds, ids, names of services, times.  What was
kept before the store was sealed is read as it is; `engine.adapters.store.resealing` seals it, and
what is under an earlier key.
"""

from __future__ import annotations

from pathlib import Path

from engine.adapters.cabinet_files import opened, sealer_of
from engine.adapters.store.credentials import SqlCredentials
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.letters import PLAIN, Letters
from engine.adapters.store.place import database_of
from engine.adapters.store.sqlite import SqliteFile
from engine.security.sealing import ARMOUR, Sealer
from engine.security.tokens import Tokens


class SealedLetters:
    """`engine.adapters.store.letters.Letters`, of who has the keys."""

    def __init__(self, sealer: Sealer, *, strict: bool = False) -> None:
        """`strict`: what is not sealed cannot be read."""
        self._sealer = sealer
        self._strict = strict

    def closed(self, text: str, context: str) -> str:
        """The text's envelope."""
        return self._sealer.seal_text(text, context)

    def opened(self, text: str, context: str) -> str:
        """The text; raises SealError.  One from before the store was sealed is as it is."""
        if not self._strict and not text.startswith(ARMOUR):
            return text
        return self._sealer.open_text(text, context)


def letters_of(sealer: Sealer | None) -> Letters:
    """How a store writes whose owner has `sealer`."""
    return PLAIN if sealer is None else SealedLetters(sealer)


def credential_letters_of(sealer: Sealer | None) -> Letters:
    """The same for credentials: one in plain beside sealed ones is nobody's."""
    return PLAIN if sealer is None else SealedLetters(sealer, strict=True)


def desk_of(state: Path) -> SqlDesk:
    """Where the engine of a state folder is asked, opened if its owner has his keys at hand.

    Raises OSError, SealError.
    """
    database = database_of(state)
    log = "" if isinstance(database, SqliteFile) else _name_of_log(state)
    return SqlDesk(database, letters_of(sealer_of(state)), log)


def _name_of_log(state: Path) -> str:
    from engine.adapters.audit_place import audit_of  # brings cryptography with it

    return audit_of(state).name


def local_credentials(state: Path) -> SqlCredentials:
    """Credentials of the engine of a folder that has its store there; raises as `desk_of`."""
    return SqlCredentials(SqliteFile(state), credential_letters_of(sealer_of(state)))


def tokens_of(state: Path) -> Tokens:
    """The tokens of the engine of a state folder; raises as `desk_of`."""
    credentials = SqlCredentials(database_of(state), credential_letters_of(sealer_of(state)))
    return Tokens(credentials, opened(state))
