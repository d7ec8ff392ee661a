"""The instances of one service: booting -> ready -> draining -> gone.

What is *desired* is one number; `reconcile` brings the instances to it, as an autoscaling group
or a ReplicaSet would.  Each instance has its own boot time, drawn from a heavy-tailed log-normal
distribution, and serves nothing before it is over.  A whole launch is one SimPy process, so a step
by 500 instances costs as many events as they have different seconds in which they get ready.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from enum import IntEnum

import numpy as np
import simpy

from engine.model import ServiceSpec


class Phase(IntEnum):
    """Where an instance is in its life; warming up counts as booting."""

    BOOTING = 0
    READY = 1
    DRAINING = 2
    GONE = 3


class Fleet:
    """All instances that one service ever had, in columns.

    `changed` is called whenever the number of ready instances changes, with that number and how
    many of those ready before have crashed.
    """

    def __init__(
        self,
        env: simpy.Environment,
        spec: ServiceSpec,
        zones: int,
        drain_s: float,
        rng: np.random.Generator,
        changed: Callable[[int, int], None],
    ) -> None:
        self.env = env
        self.spec = spec
        self.desired = 0
        self.ready = 0
        self.booting = 0
        self.draining = 0
        self.boot_factor = 1.0
        self._drain_s = drain_s
        self._rng = rng
        self._changed = changed
        self._open_zones = list(range(zones))
        self._size = 0
        self._phase = np.empty(64, np.int8)
        self._zone = np.empty(64, np.int8)
        self._launched_s = np.empty(64)
        self._ready_s = np.empty(64)
        self._ended_s = np.full(64, math.inf)

    def start_with(self, count: int) -> None:
        """Begin with `count` ready instances, spread over the zones."""
        self.desired = count
        new = self._add(count)
        self._phase[new] = Phase.READY
        self._ready_s[new] = self.env.now
        self.ready = count
        self._changed(self.ready, 0)

    def want(self, count: int) -> None:
        """Set the desired count and bring the instances to it."""
        self.desired = count
        self.reconcile()

    def reconcile(self) -> None:
        """Launch what is missing, or drain what is too many."""
        missing = self.desired - self.ready - self.booting
        if missing > 0:
            self._launch(missing)
        elif missing < 0:
            self._retire(-missing)

    def lose_zone(self, zone: int) -> None:
        """Take a zone away at once, and all its instances with it."""
        if zone in self._open_zones:
            self._open_zones.remove(zone)
        hit = np.nonzero((self._zone[: self._size] == zone) & self._alive())[0]
        phases = self._phase[hit]
        lost = int(np.count_nonzero(phases == Phase.READY))
        self.ready -= lost
        self.booting -= int(np.count_nonzero(phases == Phase.BOOTING))
        self.draining -= int(np.count_nonzero(phases == Phase.DRAINING))
        self._end(hit)
        if lost:
            self._changed(self.ready, lost)

    def restore_zone(self, zone: int) -> None:
        """Let new instances be placed in `zone` again."""
        if zone not in self._open_zones:
            self._open_zones.append(zone)
            self._open_zones.sort()

    def instance_seconds(self, until_s: float) -> float:
        """Billed time of all instances up to `until_s`: from launch to end, boot and drain too."""
        ended = np.minimum(self._ended_s[: self._size], until_s)
        return float(np.maximum(ended - self._launched_s[: self._size], 0.0).sum())

    def history(self) -> dict[str, np.ndarray]:
        """The life of every instance: `zone`, `launched_s`, `ready_s` (inf: never), `ended_s`."""
        size = self._size
        ready_s = self._ready_s[:size].copy()
        ready_s[ready_s >= self._ended_s[:size]] = math.inf
        ready_s[self._phase[:size] == Phase.BOOTING] = math.inf
        return {
            "zone": self._zone[:size].copy(),
            "launched_s": self._launched_s[:size].copy(),
            "ready_s": ready_s,
            "ended_s": self._ended_s[:size].copy(),
        }

    @property
    def billed(self) -> int:
        """Instances that are paid for now."""
        return self.ready + self.booting + self.draining

    def _alive(self) -> np.ndarray:
        return self._phase[: self._size] != Phase.GONE

    def _add(self, count: int) -> np.ndarray:
        """Rows for `count` new instances, in the open zones that have fewest."""
        need = self._size + count
        if need > len(self._phase):
            room = max(need, 2 * len(self._phase)) - len(self._phase)
            self._phase = np.concatenate((self._phase, np.empty(room, np.int8)))
            self._zone = np.concatenate((self._zone, np.empty(room, np.int8)))
            self._launched_s = np.concatenate((self._launched_s, np.empty(room)))
            self._ready_s = np.concatenate((self._ready_s, np.empty(room)))
            self._ended_s = np.concatenate((self._ended_s, np.full(room, math.inf)))
        rows = np.arange(self._size, need)
        held = np.bincount(
            self._zone[: self._size][self._phase[: self._size] <= Phase.READY],
            minlength=max(self._open_zones) + 1,
        )
        self._zone[rows] = _spread(
            count, [int(held[z]) for z in self._open_zones], self._open_zones
        )
        self._phase[rows] = Phase.BOOTING
        self._launched_s[rows] = self.env.now
        self._size = need
        return rows

    def _launch(self, count: int) -> None:
        if not self._open_zones:
            return
        rows = self._add(count)
        boot = self.spec.boot
        draw = boot.median_s * np.exp(boot.sigma * self._rng.standard_normal(count))
        wait_s = np.ceil(draw * self.boot_factor + self.spec.warmup_s)
        self._ready_s[rows] = self.env.now + wait_s
        self.booting += count
        self.env.process(self._boot(rows))

    def _boot(self, rows: np.ndarray) -> Generator[simpy.Event, None, None]:
        """One launch: its instances get ready, each at its own time, unless given up before."""
        order = np.argsort(self._ready_s[rows], kind="stable")
        rows = rows[order]
        times, first = np.unique(self._ready_s[rows], return_index=True)
        bounds = [*first.tolist(), len(rows)]
        for i, at_s in enumerate(times.tolist()):
            yield self.env.timeout(at_s - self.env.now)
            group = rows[bounds[i] : bounds[i + 1]]
            up = group[self._phase[group] == Phase.BOOTING]
            if up.size:
                self._phase[up] = Phase.READY
                self.booting -= int(up.size)
                self.ready += int(up.size)
                self._changed(self.ready, 0)

    def _retire(self, count: int) -> None:
        """Give up the youngest boots first, then drain ready instances, zones kept even."""
        booting = np.nonzero(self._phase[: self._size] == Phase.BOOTING)[0]
        if booting.size:
            latest = booting[np.argsort(self._ready_s[booting], kind="stable")][::-1]
            given_up = latest[:count]
            self._end(given_up)
            self.booting -= int(given_up.size)
            count -= int(given_up.size)
        if count <= 0:
            return
        ready = np.nonzero(self._phase[: self._size] == Phase.READY)[0]
        # Rank within its zone, youngest first to stay: the highest ranks go, so zones stay even.
        rank = np.empty(ready.size, np.int64)
        for zone in np.unique(self._zone[ready]):
            members = np.nonzero(self._zone[ready] == zone)[0]
            rank[members] = np.arange(members.size)
        leaving = ready[np.argsort(rank, kind="stable")][::-1][:count]
        self._phase[leaving] = Phase.DRAINING
        self.ready -= int(leaving.size)
        self.draining += int(leaving.size)
        self._changed(self.ready, 0)
        self.env.process(self._drain(leaving))

    def _drain(self, rows: np.ndarray) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(self._drain_s)
        still = rows[self._phase[rows] == Phase.DRAINING]
        self.draining -= int(still.size)
        self._end(still)

    def _end(self, rows: np.ndarray) -> None:
        self._phase[rows] = Phase.GONE
        self._ended_s[rows] = self.env.now


def _spread(count: int, held: list[int], zones: list[int]) -> np.ndarray:
    """Zones for `count` new instances such that all zones end up as even as they can."""
    level = np.array(held, dtype=np.int64)
    total = int(level.sum()) + count
    share, rest = divmod(total, len(zones))
    goal = np.full(len(zones), share)
    goal[:rest] += 1
    room = np.maximum(goal - level, 0)
    # Where a zone already holds more than its share, the others get that much less.
    while int(room.sum()) > count:
        room[int(np.argmax(room))] -= 1
    return np.repeat(np.array(zones, np.int8), room)
