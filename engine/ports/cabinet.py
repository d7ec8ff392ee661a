"""The port to small documents that are read at every request and seldom changed.

Tokens, sealed emergency tokens, keys of weddings: what one process changes, another one goes by at
its next look.  All of it blocks, for as long as the local disk does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class CabinetError(ValueError):
    """A document that cannot be read; the message says where it is."""


class Cabinet(Protocol):
    """Keeps documents by their names."""

    def read(self, name: str) -> str:
        """The document as it is now, "" if there is none; raises OSError, CabinetError."""
        ...

    def change(self, name: str, edit: Callable[[str], str]) -> None:
        """Put `edit` of the document in its place, for good, while nobody else changes it.

        "" leaves no document there.

        Raises OSError, CabinetError, and whatever `edit` raises, and then nothing has changed.
        """
        ...
