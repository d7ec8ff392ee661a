"""A store whose texts are sealed: what was measured and decided, and what people ask and answer.

What stays readable is what rows are looked up by: kinds, ids, names of services, times.  What was
kept before the store was sealed is read as it is; `engine.adapters.store.resealing` seals it, and
what is under an earlier key.
"""

from __future__ import annotations

from pathlib import Path

from engine.adapters.cabinet_files import sealer_of
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.letters import PLAIN, Letters
from engine.adapters.store.sqlite import SqliteFile
from engine.security.sealing import ARMOUR, Sealer


class SealedLetters:
    """`engine.adapters.store.letters.Letters`, of who has the keys."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def closed(self, text: str, context: str) -> str:
        """The text's envelope."""
        return self._sealer.seal_text(text, context)

    def opened(self, text: str, context: str) -> str:
        """The text; raises SealError.  One from before the store was sealed is as it is."""
        return self._sealer.open_text(text, context) if text.startswith(ARMOUR) else text


def letters_of(sealer: Sealer | None) -> Letters:
    """How a store writes whose owner has `sealer`."""
    return PLAIN if sealer is None else SealedLetters(sealer)


def desk_of(state: Path) -> SqlDesk:
    """Where the engine of a state folder is asked, opened if its owner has his keys at hand.

    Raises OSError, SealError.
    """
    return SqlDesk(SqliteFile(state), letters_of(sealer_of(state)))
