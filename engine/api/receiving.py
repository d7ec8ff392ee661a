"""Samples on their way in: so many bodies at one time, taken in one by one.

Who sends is known before a byte of his body is read.  A body is taken in by one thread, which holds
the interpreter for a small part of the time only; others wait in memory, and no more than so many
of them, so that memory is bounded whatever the senders do.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from engine.api.rates import Rates
from engine.config.api import RateLimit
from engine.ingest.plain import WireVersion

if TYPE_CHECKING:
    from engine.ingest.ranges import SeriesRanges
    from engine.ingest.receiver import WrittenCounts
    from engine.ingest.settings import ReceivedConfig

_MIB = 1024 * 1024


class SampleSink(Protocol):
    """Takes bodies in; see `engine.ingest.receiver`, which needs what not every engine has."""

    @property
    def config(self) -> ReceivedConfig:
        """Its limits."""
        ...

    def write(self, body: bytes, version: WireVersion, now_s: float) -> WrittenCounts:
        """Take a body in that came at `now_s` (epoch s); raises WireError, BombError."""
        ...


@runtime_checkable
class KeptSamples(Protocol):
    """What keeps samples; see `engine.ingest.sources`."""

    async def kept(
        self, service: str, figure: str, from_ms: int, to_ms: int, *, step_ms: int,
        skip: int = 0, most: int = 1_000_000,
    ) -> SeriesRanges:  # fmt: skip
        """Those of a range of whole steps; raises KeyError, OSError, ValueError."""
        ...


class Receiving:
    """The receiver, as the API uses it."""

    def __init__(self, receiver: SampleSink) -> None:
        config = receiver.config
        self._receiver = receiver
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="receiving")
        self.room = asyncio.Semaphore(config.at_once)
        """One for each body that is in memory."""
        self.most = int(config.body_mib * _MIB)
        """Bytes of a body."""
        self.requests = Rates(RateLimit(per_s=config.per_s, burst=config.burst), time.monotonic)

    async def write(self, body: bytes, version: WireVersion, now_s: float) -> WrittenCounts:
        """Take a body in; raises WireError, BombError."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._receiver.write, body, version, now_s)
