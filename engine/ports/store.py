"""The port to what outlives the engine, the half of whoever leads; `engine.ports.desk` is people's.

Whatever a step wants to last is one `Kept`, and one transaction: the memory, the answers that it
has taken in, and rows of what is about to be done and what became of it.  Each write carries the
fence of the lead under which it is made; a write under an older fence than the newest that the
store has seen raises FencedOffError and changes nothing.

Rows of the audit log are *staged* in the same transaction as what they are about, and carried into
the log from there (`Staged`): so neither is ever there without the other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from engine.model import (
    AlertAnswer,
    Approval,
    ManualFloor,
    ManualScale,
    MonitoringSession,
    Occasion,
    Pause,
)
from engine.ports.lease import Fence


@dataclass(frozen=True, slots=True)
class Requests:
    """All that people ask for now, and what is wrong with what they asked for in vain."""

    floors: tuple[ManualFloor, ...] = ()
    pauses: tuple[Pause, ...] = ()
    answers: tuple[Approval, ...] = ()
    complaints: tuple[str, ...] = ()
    scales: tuple[ManualScale, ...] = ()
    alert_answers: tuple[AlertAnswer, ...] = ()
    sessions: tuple[MonitoringSession, ...] = ()
    aside: frozenset[str] = frozenset()
    """Ids of `scales` that are on the disk beside a store that takes nothing."""
    occasions: tuple[Occasion, ...] = ()


class RowKind(StrEnum):
    """What a row of the history is about."""

    DECISION = "decision"
    """An action with its evidence, whether it may be sent or not."""
    INTENT = "intent"
    """A command that is about to be given."""
    RESULT = "result"
    """What became of one."""
    ALERT = "alert"
    """A trouble that began, changed or ended."""
    FINDING = "finding"
    """What the monitor found, when it began and when it ended."""
    NOTICE = "notice"
    """What people are told of an incident."""
    GAP = "gap"
    """A time for which the store took nothing, and what was done meanwhile."""
    SCALE = "scale"
    """A count that a person asked for."""
    OCCASION = "occasion"
    """What came of an occasion that is over, beside what was expected."""
    MEMORY = "memory"
    """A memory that could not be read and was put aside."""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """Something that happened at `time_s` (epoch seconds); `content` is JSON.

    `kind` and `id` are its key: a row that is kept again, as its acknowledgement was lost, is there
    once.
    """

    kind: RowKind
    id: str
    time_s: float
    content: str
    audit: str = field(default="", compare=False)
    """The row of the audit log that goes with it, if one does: staged when the row is first kept,
    and so in the log once.  It is not among what is read back.
    """


@dataclass(frozen=True, slots=True)
class Kept:
    """What is to last, all of it or nothing: `memory` in place of the one before (None: leave it).

    `taken` are the answers that this memory holds; one that was given anew since stays.
    """

    memory: str | None = None
    taken: tuple[Approval, ...] = ()
    rows: tuple[HistoryRow, ...] = ()


class Store(Protocol):
    """Keeps it."""

    async def newest(self) -> Fence:
        """The newest fence that it has seen."""
        ...

    async def requests(self, now_s: float) -> Requests:
        """All that holds at `now_s` (epoch seconds); answers stay until they are taken in."""
        ...

    async def memory(self) -> str:
        """What was last kept, "" if nothing was."""
        ...

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """Keep it for good: on the disk, all of it, when this returns; nothing of it if it raises.

        A call that was cancelled, or whose failure is not the store's own word, may have done it.
        """
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


@dataclass(frozen=True, slots=True)
class StagedRow:
    """A row that waits for the audit log: canonical JSON that has its `id` as well."""

    id: str
    text: str


class Staged(Protocol):
    """Rows of the audit log between the store and the log; each method raises OSError."""

    def staged(self, limit: int = 100) -> list[StagedRow]:
        """The first `limit` that wait for the log of whoever asks, in their order."""
        ...

    def unstage(self, ids: Collection[str]) -> None:
        """Forget those, for good: they are in the log."""
        ...
