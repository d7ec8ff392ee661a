"""The instances of one service: booting -> ready -> draining -> gone.

What is *desired* is one number; `reconcile` brings the instances to it, as an autoscaling group
or a ReplicaSet would.  Each instance has its own boot time, drawn from a heavy-tailed log-normal
distribution, and serves nothing before it is over.  Where some are held warm (`WarmPool`), a launch
takes those first, in a share of the boot time.  A whole launch is one SimPy process, so a step
by 500 instances costs as many events as they have different seconds in which they get ready.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import simpy
from numpy.typing import NDArray

from engine.model import FloatArray, ServiceSpec
from scenarios.faults.parts import LaunchFault
from twin.world.carried import Carried
from twin.world.warm_pool import WarmPool

RETRY_S = 30.0
"""After so long an instance that could not be launched is asked for again."""

BACKOFF_S, LONGEST_BACKOFF_S = 10.0, 300.0
"""First and longest wait before a crashed instance starts again (a kubelet's defaults)."""


class InstancePhase(IntEnum):
    """Where an instance is in its life; warming up counts as booting."""

    BOOTING = 0
    READY = 1
    DRAINING = 2
    GONE = 3


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """A launch about to begin, for faults to change in place.

    Arrays of shape (instances,): `wait_s` until ready, infinite for a boot that hangs;
    `given_up_s` after which such a one is replaced; `crashes` still to come, each `up_s` after
    getting ready.
    """

    wait_s: FloatArray
    given_up_s: FloatArray
    crashes: NDArray[np.int64]
    up_s: FloatArray


class Fleet:
    """All instances that one service ever had, in columns.

    `changed` is called whenever the number of ready instances changes, with that number and how
    many of those ready before have crashed.  `warm_rng` is for a service that can be held warm.
    """

    def __init__(
        self,
        env: simpy.Environment,
        spec: ServiceSpec,
        zones: int,
        drain_s: float,
        *,
        rng: np.random.Generator,
        changed: Callable[[int, int], None],
        warm_rng: np.random.Generator | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.env = env
        self.spec = spec
        self.warm: WarmPool | None = None
        if spec.warm is not None and warm_rng is not None:
            self.warm = WarmPool(env, spec, warm_rng, self._place_warm)
        self.carried = carried
        """The ceremonies on the instances; None where nobody can tell."""
        self.desired = 0
        self.ready = 0
        self.booting = 0
        self.draining = 0
        self.boot_factor = 1.0
        self.launch_faults: list[LaunchFault] = []
        self.shortages: list[Callable[[int], int]] = []
        """Each is asked how many of so many instances the provider has."""
        self._closed: Counter[int] = Counter()
        self._retrying = False
        self._drain_s = drain_s
        self._rng = rng
        self._changed = changed if carried is None else self._followed(carried, changed)
        self._zones = zones
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
        self._phase[new] = InstancePhase.READY
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
        if self.warm is not None:
            self.warm.boot_factor = self.boot_factor
            self.warm.reconcile()

    def lose_zone(self, zone: int) -> int:
        """Take a zone away at once, and all its instances with it; returns how many these are."""
        self.close_zone(zone)
        hit = np.nonzero((self._zone[: self._size] == zone) & self._alive())[0]
        phases = self._phase[hit]
        lost = int(np.count_nonzero(phases == InstancePhase.READY))
        self.ready -= lost
        self.booting -= int(np.count_nonzero(phases == InstancePhase.BOOTING))
        self.draining -= int(np.count_nonzero(phases == InstancePhase.DRAINING))
        self._end(hit)
        if self.warm is not None:
            self.warm.lose_zone(zone)
        if lost:
            self._changed(self.ready, lost)
        return int(hit.size)

    def close_zone(self, zone: int) -> None:
        """Let no new instance be placed in `zone`; may be called several times."""
        self._closed[zone] += 1

    def restore_zone(self, zone: int) -> None:
        """Take back one `close_zone` or `lose_zone`."""
        self._closed[zone] -= 1

    def ready_share(self, zone: int) -> float:
        """Share of the ready instances that are in `zone`, 0 without any."""
        ready = self._phase[: self._size] == InstancePhase.READY
        there = int(np.count_nonzero(ready & (self._zone[: self._size] == zone)))
        return there / self.ready if self.ready else 0.0

    def ready_rows(self) -> NDArray[np.intp]:
        """The ready instances, by their place in `history`, the oldest first."""
        rows: NDArray[np.intp] = np.flatnonzero(self._phase[: self._size] == InstancePhase.READY)
        return rows

    def zones_of(self, rows: NDArray[np.intp]) -> NDArray[np.int8]:
        """The zone of each of the instances `rows`."""
        return self._zone[rows].copy()

    def reclaim(
        self, share: float, zones: Sequence[int], notice_s: float, rng: np.random.Generator
    ) -> int:
        """The provider takes back about `share` of what boots or serves in `zones` (empty: all).

        What serves drains for `notice_s` and is gone then; without notice it crashes.  Returns how
        many instances are taken.
        """
        size = self._size
        hit = (rng.random(size) < share) & (self._phase[:size] <= InstancePhase.READY)
        if zones:
            hit &= np.isin(self._zone[:size], list(zones))
        rows = np.nonzero(hit)[0]
        booting = rows[self._phase[rows] == InstancePhase.BOOTING]
        serving = rows[self._phase[rows] == InstancePhase.READY]
        self._end(booting)
        self.booting -= int(booting.size)
        self.ready -= int(serving.size)
        if not serving.size:
            return int(rows.size)
        if notice_s > 0.0:
            self._phase[serving] = InstancePhase.DRAINING
            self.draining += int(serving.size)
            self._changed(self.ready, 0)
            self.env.process(self._drain(serving, notice_s, stepped=False))
        else:
            self._end(serving)
            self._changed(self.ready, int(serving.size))
        return int(rows.size)

    def instance_seconds(self, until_s: float) -> float:
        """Billed time of all instances up to `until_s`: from launch to end, boot and drain too."""
        ended = np.minimum(self._ended_s[: self._size], until_s)
        return float(np.maximum(ended - self._launched_s[: self._size], 0.0).sum())

    def history(self) -> dict[str, np.ndarray]:
        """The life of every instance: `zone`, `launched_s`, `ready_s` (inf: never), `ended_s`."""
        size = self._size
        ready_s = self._ready_s[:size].copy()
        ready_s[ready_s >= self._ended_s[:size]] = math.inf
        ready_s[self._phase[:size] == InstancePhase.BOOTING] = math.inf
        return {
            "zone": self._zone[:size].copy(),
            "launched_s": self._launched_s[:size].copy(),
            "ready_s": ready_s,
            "ended_s": self._ended_s[:size].copy(),
        }

    def phases(self) -> NDArray[np.int8]:
        """The phase of every instance, in the order of `history`."""
        return self._phase[: self._size].copy()

    def boots_to_come(self, count: int) -> FloatArray:
        """How long (s) each of the next `count` launches would take as things are, shape (count,).

        Nothing is drawn: the launches themselves will find the same.
        """
        return np.ceil(self._boot_times(copy.deepcopy(self._rng), count))

    def ready_times(self) -> FloatArray:
        """When the instances that boot now will be ready, rising; infinite if it hangs."""
        booting = self._phase[: self._size] == InstancePhase.BOOTING
        return np.sort(self._ready_s[: self._size][booting])

    @property
    def billed(self) -> int:
        """Instances that are paid for now."""
        return self.ready + self.booting + self.draining

    def _alive(self) -> np.ndarray:
        return self._phase[: self._size] != InstancePhase.GONE

    def _add(self, count: int, warm: Sequence[int] = ()) -> np.ndarray:
        """Rows for `count` new instances, in the open zones that have fewest.

        The first are those of the `warm` ones, each in its zone.
        """
        need = self._size + count
        if need > len(self._phase):
            room = max(need, 2 * len(self._phase)) - len(self._phase)
            self._phase = np.concatenate((self._phase, np.empty(room, np.int8)))
            self._zone = np.concatenate((self._zone, np.empty(room, np.int8)))
            self._launched_s = np.concatenate((self._launched_s, np.empty(room)))
            self._ready_s = np.concatenate((self._ready_s, np.empty(room)))
            self._ended_s = np.concatenate((self._ended_s, np.full(room, math.inf)))
        rows = np.arange(self._size, need)
        self._zone[rows[: len(warm)]] = warm
        held = self._held() + np.bincount(np.array(warm, np.int64), minlength=self._zones)
        zones = self._open_zones()
        self._zone[rows[len(warm) :]] = _spread(
            count - len(warm), [int(held[z]) for z in zones], zones
        )
        self._phase[rows] = InstancePhase.BOOTING
        self._launched_s[rows] = self.env.now
        self._size = need
        return rows

    def _held(self) -> NDArray[np.intp]:
        """Instances that boot or serve, by zone."""
        there = self._phase[: self._size] <= InstancePhase.READY
        return np.bincount(self._zone[: self._size][there], minlength=self._zones)

    def _place_warm(self, count: int, there: Counter[int]) -> Sequence[int]:
        """The zones of so many new warm ones, as far as the provider has any."""
        zones = self._open_zones()
        for available in self.shortages:
            count = min(count, available(count))
        if not zones or count <= 0:
            return ()
        return [int(zone) for zone in _spread(count, [there[z] for z in zones], zones)]

    def _take_warm(self, count: int) -> list[int]:
        """The zones of what the launch of `count` takes of the warm ones."""
        if self.warm is None:
            return []
        held = self._held()
        return self.warm.take(count, {zone: int(held[zone]) for zone in self._open_zones()})

    def _open_zones(self) -> list[int]:
        return [zone for zone in range(self._zones) if self._closed[zone] <= 0]

    def _launch(self, missing: int) -> None:
        count = missing if self._open_zones() else 0
        for available in self.shortages:
            count = min(count, available(count))
        if count < missing and not self._retrying:
            self._retrying = True
            self.env.process(self._ask_again())
        if count == 0:
            return
        warm = self._take_warm(count)
        rows = self._add(count, warm)
        launch = Launch(
            self._boot_times(self._rng, count, len(warm)),
            np.full(count, math.inf), np.zeros(count, np.int64), np.zeros(count),
        )  # fmt: skip
        for change in self.launch_faults:
            change(launch)
        self._ready_s[rows] = self.env.now + np.ceil(launch.wait_s)
        self.booting += count
        self.env.process(self._boot(rows))
        for given_up_s in np.unique(launch.given_up_s[np.isinf(launch.wait_s)]).tolist():
            hung = rows[np.isinf(launch.wait_s) & (launch.given_up_s == given_up_s)]
            self.env.process(self._give_up(hung, given_up_s))
        for k in np.nonzero((launch.crashes > 0) & np.isfinite(launch.wait_s))[0].tolist():
            loop = self._crash_loop(int(rows[k]), int(launch.crashes[k]), float(launch.up_s[k]))
            self.env.process(loop)

    def _boot_times(self, rng: np.random.Generator, count: int, warm: int = 0) -> FloatArray:
        """Of so many launches, the first of which are of warm ones."""
        boot = self.spec.boot
        draw = boot.median_s * np.exp(boot.sigma * rng.standard_normal(count))
        if self.spec.warm is not None:
            draw[:warm] *= self.spec.warm.boot_share
        times: FloatArray = draw * self.boot_factor + self.spec.warmup_s
        return times

    def _ask_again(self) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(RETRY_S)
        self._retrying = False
        self.reconcile()

    def _give_up(self, rows: np.ndarray, after_s: float) -> Generator[simpy.Event, None, None]:
        """What hangs in its boot is replaced."""
        yield self.env.timeout(after_s)
        hung = rows[self._phase[rows] == InstancePhase.BOOTING]
        self.booting -= int(hung.size)
        self._end(hung)
        self.reconcile()

    def _crash_loop(
        self, row: int, crashes: int, up_s: float
    ) -> Generator[simpy.Event, None, None]:
        """One instance that crashes `up_s` after each start, `crashes` times."""
        for crash in range(crashes):
            # Past the very second of getting ready, so that it is ready by then.
            yield self.env.timeout(float(self._ready_s[row]) - self.env.now + max(up_s, 1.0))
            if self._phase[row] != InstancePhase.READY:
                return
            self._phase[row] = InstancePhase.BOOTING
            self.ready -= 1
            self.booting += 1
            self._left(np.array([row]))
            self._changed(self.ready, 1)
            wait_s = min(BACKOFF_S * 2.0**crash, LONGEST_BACKOFF_S) + self.spec.warmup_s
            self._ready_s[row] = self.env.now + math.ceil(wait_s)
            self.env.process(self._boot(np.array([row])))

    def _boot(self, rows: np.ndarray) -> Generator[simpy.Event, None, None]:
        """One launch: its instances get ready, each at its own time, unless given up before."""
        rows = rows[np.isfinite(self._ready_s[rows])]
        rows = rows[np.argsort(self._ready_s[rows], kind="stable")]
        times, first = np.unique(self._ready_s[rows], return_index=True)
        bounds = [*first.tolist(), len(rows)]
        for i, at_s in enumerate(times.tolist()):
            yield self.env.timeout(at_s - self.env.now)
            group = rows[bounds[i] : bounds[i + 1]]
            up = group[self._phase[group] == InstancePhase.BOOTING]
            if up.size:
                self._phase[up] = InstancePhase.READY
                self.booting -= int(up.size)
                self.ready += int(up.size)
                self._changed(self.ready, 0)

    def _retire(self, count: int) -> None:
        """Give up the youngest boots first, then drain ready instances, zones kept even."""
        booting = np.nonzero(self._phase[: self._size] == InstancePhase.BOOTING)[0]
        if booting.size:
            latest = booting[np.argsort(self._ready_s[booting], kind="stable")][::-1]
            given_up = latest[:count]
            self._end(given_up)
            self.booting -= int(given_up.size)
            count -= int(given_up.size)
        if count <= 0:
            return
        ready = np.nonzero(self._phase[: self._size] == InstancePhase.READY)[0]
        # Rank within its zone, youngest first to stay: the highest ranks go, so zones stay even.
        rank = np.empty(ready.size, np.int64)
        for zone in np.unique(self._zone[ready]):
            members = np.nonzero(self._zone[ready] == zone)[0]
            rank[members] = np.arange(members.size)
        order = np.argsort(rank, kind="stable")[::-1]
        if self.carried is not None:
            self.carried.advance(self.env.now)
            late = self.carried.taken_late(ready[order], self.env.now)
            order = order[np.argsort(late, kind="stable")]
        leaving = ready[order[:count]]
        self._phase[leaving] = InstancePhase.DRAINING
        self.ready -= int(leaving.size)
        self.draining += int(leaving.size)
        self._changed(self.ready, 0)
        if self.carried is None:
            self.env.process(self._drain(leaving, self._drain_s))
            return
        for after_s, rows in self.carried.drains(leaving, self.env.now):
            self.env.process(self._drain(rows, after_s))

    def _drain(
        self, rows: np.ndarray, after_s: float, *, stepped: bool = True
    ) -> Generator[simpy.Event, None, None]:
        """What drains is gone `after_s` from now; `stepped`: it was taken away, and not lost."""
        yield self.env.timeout(after_s)
        still = rows[self._phase[rows] == InstancePhase.DRAINING]
        self.draining -= int(still.size)
        self._end(still, stepped=stepped)

    def _end(self, rows: np.ndarray, *, stepped: bool = False) -> None:
        self._phase[rows] = InstancePhase.GONE
        self._ended_s[rows] = self.env.now
        self._left(rows, stepped=stepped)

    def _left(self, rows: np.ndarray, *, stepped: bool = False) -> None:
        """What the instances `rows` carried goes on elsewhere."""
        if self.carried is not None and self.carried.carries(rows).any():
            self.carried.leave(rows, self.env.now, self.ready_rows(), stepped=stepped)

    def _followed(
        self, carried: Carried, changed: Callable[[int, int], None]
    ) -> Callable[[int, int], None]:
        """`changed`, after which what begins does so on the instances that are ready then."""

        def follow(ready: int, crashed: int) -> None:
            carried.follow(self.env.now, self.ready_rows())
            changed(ready, crashed)

        return follow


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
