"""The shell of an engine that is one of several: it steps the shards that it has, and no others.

Each shard has a shell, a controller and a memory of its own, made when the engine gets it and
thrown away when it is another's; the next owner goes on with the memory that was kept.  All are
stepped at the same beat.  At the end of a cycle one shard may go to another engine.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import structlog

from engine.ports.clock import Clock
from engine.runtime.own_load import OwnLoad, left_out
from engine.runtime.patience import Patience, PortError, words
from engine.runtime.settings import LiveSettings
from engine.runtime.shared import SharedPorts
from engine.runtime.shell import LiveShell
from engine.sharding.shards import Shard

LEASES = "leases"
"""The source of the troubles of the sharing."""

log = structlog.stdlib.get_logger(__name__)

MakeShell = Callable[[Shard], tuple[LiveShell, Callable[[], None]]]
"""A shell for a shard, and what ends whatever runs beside it."""


class ShardedShell:
    """Drives the shells of this engine's shards; `show` shows the status of all."""

    def __init__(
        self,
        shared: SharedPorts,
        make: MakeShell,
        *,
        clock: Clock,
        settings: LiveSettings,
        sample_s: float,
        cycle_s: float,
        show: Callable[[str], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.shells: dict[str, LiveShell] = {}
        """By shard."""
        self.last_step_s = 0.0
        """What the last step took, all shards together."""
        self.load = OwnLoad()
        """How busy this engine is."""
        self._shared = shared
        self._keeper = shared.keeper
        self._make = make
        self._ends: dict[str, Callable[[], None]] = {}
        self._clock = clock
        self._settings = settings
        self._sample_s = sample_s
        self._cycle_s = cycle_s
        self._showing = Patience[None](settings.observe_timeout_s)
        self._show = show
        self._close = close
        self._stop = asyncio.Event()
        self._steps = 0
        self._left_out = 0
        """Steps that were not made before the newest one."""
        self._shards = {shard.name: shard for shard in shared.keeper.layout.shards}

    def stop(self) -> None:
        """Finish the step in progress and end; at any time, also twice."""
        self._stop.set()

    async def run(self) -> None:
        """Step at each full interval until `stop`, or until the duration is over."""
        self._keeper.start()
        until_s = math.inf
        if self._settings.duration_s is not None:
            until_s = self._clock.now_s() + self._settings.duration_s
        stepped = -1
        try:
            while not self._stop.is_set():
                now_s = self._clock.now_s()
                if now_s >= until_s:
                    return
                due = math.floor(now_s / self._sample_s) + 1
                due += due == stepped
                due_s = due * self._sample_s
                await self._clock.wait(min(due_s, until_s) - now_s, self._stop)
                if self._stop.is_set() or self._clock.now_s() < due_s:
                    continue
                self._left_out, stepped = left_out(stepped, due), due
                try:
                    await self.step(due_s)
                except Exception:
                    # What nobody thought of must not leave the platform to itself.
                    log.exception("a step came to nothing")
        finally:
            await self._hand_over()

    async def step(self, due_s: float) -> None:
        """One step of each shard that this engine has, and perhaps the end of a cycle."""
        began_s = time.perf_counter()
        self._shared.begin(due_s)
        epochs = self._keeper.epochs()
        for shard in [name for name in self.shells if name not in epochs]:
            self._forget(shard, "another engine has it, or the lease could not be renewed")
        for shard in epochs:
            if shard not in self.shells:
                self.shells[shard], self._ends[shard] = self._make(self._shards[shard])
                self.shells[shard].load = self.load
                log.info(f"shard {shard}: this engine has it now", epoch=epochs[shard])
        self._shared.together.statuses = []
        await asyncio.gather(*(shell.step(due_s) for shell in self.shells.values()))
        self._steps += bool(self.shells)
        try:
            self._shared.together.flush()
        except Exception as error:
            log.error(f"a step could not be noted: {words(error)}")
        if due_s % self._cycle_s < self._sample_s and (shard := self._keeper.boundary()):
            self._forget(shard, "it goes to another engine")
        self.last_step_s = time.perf_counter() - began_s
        self.load.stepped(
            due_s, self._clock.now_s(), left_out=self._left_out, sample_s=self._sample_s
        )
        await self._tell(due_s)

    async def close(self) -> None:
        """Let go of every port."""
        for shard in list(self.shells):
            self._forget(shard, "the engine ends")
        ports = (self._shared.metrics, self._shared.infrastructure, self._shared.bookings,
                 self._shared.notifier)  # fmt: skip
        for end in (*(port.close for port in ports), self._close):
            try:
                await Patience[None](self._settings.apply_timeout_s).call(end, lambda _: None)
            except PortError as error:
                log.warning(f"a port could not be closed: {error}")

    async def _hand_over(self) -> None:
        """Keep what each shard remembers, then give all of them back: who is next goes on there."""
        now_s = self._clock.now_s()
        ended = await asyncio.gather(
            *(shell.finish(now_s) for shell in self.shells.values()), return_exceptions=True
        )
        for error in ended:
            if isinstance(error, Exception):
                log.error(f"what a shard remembers could not be kept: {words(error)}")
        try:
            self._shared.together.flush()
        except Exception as error:
            log.error(f"the end could not be noted: {words(error)}")
        shards = len(self.shells)
        await asyncio.to_thread(self._keeper.leave, 3.0)
        log.info(f"this engine has handed {shards} shards over", steps=self._steps,
                 samples=self.load.samples)  # fmt: skip

    def _forget(self, shard: str, why: str) -> None:
        if self.shells.pop(shard, None) is None:
            return  # it came after this step had begun
        self._ends.pop(shard)()
        self.load.let_go(self._shards[shard].services)
        log.info(f"shard {shard}: this engine has it no more: {why}")

    async def _tell(self, due_s: float) -> None:
        """The status of all shards, and who has what."""
        status = self._status(due_s)
        try:
            self._shared.notes.status(status)
        except Exception as error:
            log.error(f"a status could not be noted: {words(error)}")
        try:
            await self._showing.call(partial(self._show, json.dumps(status)), lambda _: None)
        except PortError as error:
            log.warning(f"the status could not be shown: {error}")

    def _status(self, due_s: float) -> dict[str, Any]:
        parts = self._shared.together.statuses
        engines: dict[str, list[str]] = {member: [] for member in self._keeper.members()}
        nobody: list[str] = []
        owners = self._keeper.owners()
        for shard in self._shards:
            holder, _ = owners.get(shard, ("", 0))
            (engines.setdefault(holder, []) if holder else nobody).append(shard)
        troubles: dict[str, tuple[str, ...]] = {}
        for part in parts:
            for source, texts in part["troubles"].items():
                troubles[source] = tuple(dict.fromkeys((*troubles.get(source, ()), *texts)))
        sharing = [self._keeper.trouble] if self._keeper.trouble else []
        if nobody:
            sharing.append(f"no engine has {', '.join(nobody)}")
        if sharing:
            troubles[LEASES] = tuple(sharing)
        status: dict[str, Any] = {
            "time_s": due_s,
            "pid": os.getpid(),
            "lead": max((int(part["lead"]) for part in parts), default=0),
            "acts": all(part["acts"] for part in parts),
            "steps": self._steps,
            "skipped": sum(int(part["skipped"]) for part in parts),
            "troubles": troubles,
            "services": _merged(parts, "services"),
            "counted_s": _merged(parts, "counted_s"),
            "floors": _merged(parts, "floors"),
            "awaiting": sorted({one for part in parts for one in part["awaiting"]}),
            "standing": parts[0]["standing"] if parts else {},
            "engine": self._keeper.member,
            "step_s": self.last_step_s,
            "load": self.load.shown(),
            "engines": engines,
            "epochs": {shard: epoch for shard, (_, epoch) in owners.items()},
        }
        if parts and "bookings" in parts[0]:
            status["bookings"] = parts[0]["bookings"]
        monitors = [part["monitor"] for part in parts if "monitor" in part]
        if monitors:
            status["monitor"] = _put_together(monitors)
        return status


def _merged(parts: list[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part[name].items()}


def _put_together(shown: list[Mapping[str, Any]]) -> dict[str, Any]:
    """What several monitors show: lists one after the other, counts added, the first's else."""
    together: dict[str, Any] = dict(shown[0])
    for other in shown[1:]:
        for key, value in other.items():
            before = together.get(key)
            if isinstance(value, list) and isinstance(before, list):
                together[key] = [*before, *(one for one in value if one not in before)]
            elif isinstance(value, Mapping) and isinstance(before, Mapping):
                together[key] = {**before, **value}
            elif isinstance(value, int) and type(before) is int and not isinstance(value, bool):
                together[key] = before + value
    return together
