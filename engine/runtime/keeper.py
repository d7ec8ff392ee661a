"""Keeps this engine's shards: drives the lease protocol in a thread, whatever the steps take.

A step of many services holds the event loop for longer than a renewal may be late, so the rounds
are not made there.  The clock is one that nobody sets, and that goes on while a machine sleeps
where the system has such a one.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from engine.ports.lease import NO_FENCE, Fence, NotLeadingError
from engine.runtime.patience import words
from engine.sharding.protocol import LeaseProtocol, Round, RoundAnswer
from engine.sharding.shards import ShardLayout

LONGEST_WAIT_S = 0.5
"""Between two looks whether a round is due: a shard may be given back meanwhile."""

log = structlog.stdlib.get_logger(__name__)


class LeaseTableAccess(Protocol):
    """The port to the lease table."""

    def serve(self, asked: Round) -> RoundAnswer:
        """The answer to a round; raises OSError, and the round may have counted all the same."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def monotonic_s() -> float:
    """Seconds of a clock that nobody sets."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def member_name() -> str:
    """A name that no other process has, nor this one after a restart."""
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


class ShardKeeper:
    """What this engine may act for now."""

    def __init__(
        self,
        table: LeaseTableAccess,
        layout: ShardLayout,
        member: str,
        clock_s: Callable[[], float] = monotonic_s,
        *,
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        self.layout = layout
        self.member = member
        self.trouble = ""
        """Why the lease table does not answer."""
        self._protocol = LeaseProtocol()
        self._table = table
        self._clock_s = clock_s
        self._longest_wait_s = longest_wait_s
        self._lock = threading.Lock()
        self._state = self._protocol.begin(member, layout, clock_s())
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
        self._ended = False

    def start(self) -> None:
        """Begin to take part."""
        self._thread.start()

    def epochs(self) -> dict[str, Fence]:
        """The shards that this engine may act for now, each with its epoch."""
        with self._lock:
            now_s = self._clock_s()
            held = ((s, self._protocol.may_act(self._state, s, now_s)) for s in self._state.held)
            return {shard: Fence(epoch) for shard, epoch in held if epoch}

    def epoch(self, shard: str) -> Fence:
        """The epoch under which this engine may act for `shard` now; NO_FENCE if it may not."""
        with self._lock:
            return Fence(self._protocol.may_act(self._state, shard, self._clock_s()))

    def boundary(self) -> str:
        """A cycle is over: the shard that goes to another engine, "" if none does."""
        with self._lock:
            before = self._state
            self._state = self._protocol.boundary(before, self._clock_s())
            gone = [shard for shard in before.held if shard not in self._state.held]
        self._news.set()
        return gone[0] if gone else ""

    def raise_above(self, shard: str, epoch: Fence) -> None:
        """The infrastructure has heard of `epoch`: have the shard under a higher one."""
        with self._lock:
            self._state = self._protocol.raise_above(self._state, shard, epoch, self._clock_s())
        self._news.set()

    def owners(self) -> Mapping[str, tuple[str, int]]:
        """Who has each shard, and under which epoch, as the table said last."""
        with self._lock:
            view = self._state.view
            age_s = self._clock_s() - view.came_s
        return {
            shard: (row.holder if row.left_s > age_s else "", row.epoch)
            for shard, row in view.rows.items()
        }

    def members(self) -> tuple[str, ...]:
        """Who lives, as the table said last."""
        with self._lock:
            return self._state.view.members

    def leave(self, wait_s: float) -> None:
        """Act no more, and give everything back; waits a little for that to be done."""
        with self._lock:
            self._state = self._protocol.leave(self._state, self._clock_s())
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    def _keep(self) -> None:
        while not self._ended:
            with self._lock:
                now_s = self._clock_s()
                self._state, asked = self._protocol.asks(self._state, now_s)
                due_s = self._state.due_s
            if asked is None:
                self._news.wait(min(max(due_s - now_s, 0.0), self._longest_wait_s))
                self._news.clear()
                continue
            self._ask(asked)
            self._ended = asked.leaves
        self._table.close()

    def _ask(self, asked: Round) -> None:
        try:
            answer = self._table.serve(asked)
        except Exception as error:  # also what a driver raises that nobody thought of
            text = words(error)
            if text != self.trouble:
                log.warning(f"the lease table does not answer: {text}")
            self.trouble = text
            with self._lock:
                self._state = self._protocol.failed(self._state, asked.number, self._clock_s())
            return
        self.trouble = ""
        with self._lock:
            self._state = self._protocol.answered(self._state, answer, self._clock_s())


class ShardLease:
    """`engine.ports.lease.Lease` of one shard."""

    def __init__(self, keeper: ShardKeeper, shard: str) -> None:
        self._keeper = keeper
        self._shard = shard

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        """The epoch; raises NotLeadingError while another engine has the shard."""
        del now_s  # of several hosts' clocks the database's is the one that counts
        epoch = self._keeper.epoch(self._shard)
        if epoch and epoch <= above:
            self._keeper.raise_above(self._shard, above)
            epoch = NO_FENCE
        if not epoch:
            holder, _ = self._keeper.owners().get(self._shard, ("", 0))
            raise NotLeadingError(f"{holder or 'nobody'} has {self._shard}", holder)
        return epoch

    async def release(self) -> None:
        """Nothing: the keeper gives all shards back together."""
