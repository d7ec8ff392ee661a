"""What happens, in a ring that every client of the event stream reads at its own pace.

Nothing is kept for a client: it has a place in the ring and takes what is newer.  So a thousand
clients cost the engine as much as none, and one that is slow falls behind alone.  Who has fallen
out of the ring, or was away for longer than it reaches, is told so (`reset`) and goes on from what
is newest.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

AT_ONCE = 10
"""So many clients are woken together."""
PAUSE_S, REST = 0.004, 2.0
"""Between them and the next ones: so long at least, and so many times what they took."""
PLATFORM = ""
"""What an event is about that is about no single service."""


class EventKind(StrEnum):
    """All kinds (closed)."""

    SAMPLES = "samples"
    DECISION = "decision"
    RESULT = "result"
    APPROVAL = "approval"
    TROUBLE = "trouble"
    ALERT = "alert"
    FINDING = "finding"
    REQUEST = "request"
    RESET = "reset"


@dataclass(frozen=True, slots=True, eq=False)
class StreamEvent:
    """One event: its number, which only rises, what it is about, and its text.

    `parts` by service where an event is about several: who may see some sees these alone.
    """

    number: int
    kind: EventKind
    service: str
    content: Mapping[str, Any]
    parts: Mapping[str, Any]

    def text(self, epoch: str, services: Collection[str] | None) -> bytes:
        """As it is sent to who may see `services` (None: all); empty if he may not see it."""
        content = dict(self.content)
        if self.parts:
            content["services"] = {
                name: part
                for name, part in self.parts.items()
                if services is None or name in services
            }
            if not content["services"]:
                return b""
        elif services is not None and self.service not in services:
            return b""
        return framed(f"{epoch}-{self.number}", self.kind, content)


def framed(event_id: str, kind: EventKind, content: Mapping[str, Any]) -> bytes:
    """A server-sent event; JSON has no line breaks, so it is one line of it."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return f"id: {event_id}\nevent: {kind.value}\ndata: {text}\n\n".encode()


class EventRing:
    """The newest events.  `publish` may be called from any thread and waits for nobody."""

    def __init__(self, length: int, epoch: str) -> None:
        self.epoch = epoch
        """Of this process: numbers of another one mean nothing."""
        self._events: deque[StreamEvent] = deque(maxlen=length)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._waking: list[asyncio.Future[None]] = []
        """Those whose turn comes."""
        self._once_more = False
        self._whole: dict[int, bytes] = {}
        """Texts for those who may see all, each made once."""
        self._over = False

    @property
    def newest(self) -> int:
        """The number of the newest event, 0 before there is any."""
        with self._lock:
            return self._events[-1].number if self._events else 0

    def publish(
        self,
        kind: EventKind,
        service: str,
        content: Mapping[str, Any],
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an event and wake whoever waits for one."""
        with self._lock:
            event = StreamEvent(next(self._numbers), kind, service, content, parts or {})
            self._events.append(event)
        self._wake_all()

    def serve_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Clients wait in this loop."""
        self._loop = loop

    def end(self) -> None:
        """End all streams."""
        self._over = True
        self._wake_all()

    @property
    def is_over(self) -> bool:
        """Whether streams are to end."""
        return self._over

    def place(self, last_event_id: str) -> int | None:
        """The number after which a client goes on that had `last_event_id` last.

        None if what came after that is not there any more, or it is no id of this process.
        """
        epoch, _, number = last_event_id.rpartition("-")
        if epoch != self.epoch or not (number.isascii() and number.isdigit() and len(number) < 16):
            return None
        after = int(number)
        with self._lock:
            newest = self._events[-1].number if self._events else 0
            oldest = self._events[0].number if self._events else 1
        return after if oldest - 1 <= after <= newest else None

    def after(
        self, number: int, services: Collection[str] | None, most: int = 256
    ) -> tuple[int, bytes] | None:
        """The texts of events after `number`, at most so many, and the number of the last of them.

        None if some of them are gone.
        """
        with self._lock:
            oldest = self._events[0].number if self._events else number + 1
            if number < oldest - 1:
                return None
            begin = number - oldest + 1
            newer = list(itertools.islice(self._events, begin, begin + most))
        if not newer:
            return number, b""
        if services is not None:
            texts = [event.text(self.epoch, services) for event in newer]
        else:
            texts = [self._text(event) for event in newer]
        return newer[-1].number, b"".join(texts)

    async def wait(self, number: int, timeout_s: float, gone: asyncio.Future[None]) -> None:
        """Until there is an event after `number`, all is over, or the client or the time is."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def settle(_: object = None) -> None:
            if not future.done():
                future.set_result(None)

        self._waiting.add(future)
        timer = loop.call_later(timeout_s, settle)
        gone.add_done_callback(settle)
        try:
            # Whatever is published from now on wakes it.
            if not (self._over or gone.done() or self.newest > number):
                await future
        finally:
            timer.cancel()
            gone.remove_done_callback(settle)
            self._waiting.discard(future)

    def _text(self, event: StreamEvent) -> bytes:
        text = self._whole.get(event.number)
        if text is None:
            text = self._whole[event.number] = event.text(self.epoch, None)
            while len(self._whole) > (self._events.maxlen or 0):
                del self._whole[next(iter(self._whole))]
        return text

    def _wake_all(self) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return  # closed this very moment: nobody waits any more

    def _wake(self) -> None:
        """Wake some, and the others a moment later: what else is asked for comes in between."""
        if self._waking:
            self._once_more = True
            return
        self._waking = list(self._waiting)
        self._wake_some()

    def _wake_some(self) -> None:
        some, self._waking = self._waking[:AT_ONCE], self._waking[AT_ONCE:]
        for future in some:
            if not future.done():
                future.set_result(None)
        if self._waking and self._loop is not None:
            self._loop.call_soon(self._woken, self._loop.time())  # after those who were woken
        elif self._once_more:  # who was woken first may wait again for what came meanwhile
            self._once_more = False
            self._wake()

    def _woken(self, began_s: float) -> None:
        """What those took who were woken at `began_s` says how soon the next ones come."""
        if self._loop is not None:
            took_s = self._loop.time() - began_s
            self._loop.call_later(max(PAUSE_S, REST * took_s), self._wake_some)
