"""The port to what is kept of credentials: tokens without their secrets, and who was revoked.

It is a part of the store, so that engines that share a database share them: what one of them is
told, another one goes by at its next look.  All but `is_unchanged` blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Texts = Mapping[str, str]
"""What is kept, by its id."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """All that is kept at one moment; `mark` is another one after each change."""

    mark: str
    texts: Texts


class Credentials(Protocol):
    """Keeps texts by their ids; each method raises OSError where it cannot do what it is for."""

    def glimpse(self, mark: str | None) -> Glimpse | None:
        """What is there now; None if nothing has changed since the glimpse with this `mark`."""
        ...

    def is_unchanged(self) -> bool:
        """Whether nothing has changed since the last glimpse; raises nothing, and blocks nobody.

        False also where that cannot be told at once, as over a network.
        """
        ...

    def change(self, edit: Callable[[Texts], Texts]) -> None:
        """Put `edit` of what is there in its place, for good, while nobody else changes it.

        Raises whatever `edit` raises as well, and then nothing has changed.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
