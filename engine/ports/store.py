"""The port to what outlives the engine: requests of people, their answers, memory and status.

Each write carries the fence of the lead under which it is made; a write under an older fence than
the newest that the store has seen raises FencedOffError and changes nothing.  People's requests
come from outside, through the command line or whatever else writes into the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.model import Approval, ManualFloor, ManualScale, Pause
from engine.ports.lease import Fence


@dataclass(frozen=True, slots=True)
class Requests:
    """All that people ask for now, and what is wrong with what they asked for in vain."""

    floors: tuple[ManualFloor, ...] = ()
    pauses: tuple[Pause, ...] = ()
    answers: tuple[Approval, ...] = ()
    complaints: tuple[str, ...] = ()
    scales: tuple[ManualScale, ...] = ()


class Store(Protocol):
    """Keeps it."""

    async def requests(self, now_s: float) -> Requests:
        """All that holds at `now_s` (epoch seconds); answers stay until they are removed."""
        ...

    async def remove_answers(self, answers: Sequence[Approval], fence: Fence) -> None:
        """Remove answers that the engine has taken into its memory; those gone already too."""
        ...

    async def memory(self) -> str:
        """What was last kept, "" if nothing was."""
        ...

    async def keep_memory(self, text: str, fence: Fence) -> None:
        """Keep `text` in place of what was kept before: all of it or nothing, for good."""
        ...

    async def put_memory_aside(self, fence: Fence) -> str:
        """Begin without a memory, as the kept one cannot be read; returns where that is now."""
        ...

    async def show_status(self, text: str, fence: Fence) -> None:
        """Show `text` (JSON) to whoever asks how the engine is."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
