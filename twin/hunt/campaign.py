"""The hunt itself: many worlds in parallel processes, counted, and the failing ones kept.

Which worlds are run follows from the seed and their number alone; how many, from the limits.  One
in `TWICE_EVERY` is run twice and has to come out the same to the byte.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from twin.hunt import worlds
from twin.hunt.apart import Apart
from twin.hunt.examine import WorldOutcome, examine
from twin.hunt.invariants import Violation
from twin.hunt.shells import LIVE, METRICS, PLATFORM, SIMULATED
from twin.hunt.shrink import shrink
from twin.runs.lifetimes import worker_pool

TWICE_EVERY = 20
"""FoundationDB's simulation re-runs one test in twenty to find what is not deterministic."""

BATCH = 4
"""Worlds that a worker is given at a time."""

NOT_REPEATABLE = "the same again"

MOST_KEPT = 20
"""Failing worlds that are shrunk and kept."""


Task = Future[list[tuple[int, WorldOutcome, bool]]]


@dataclass(frozen=True, slots=True)
class FailingWorld:
    """A failing world: its number, what it violates first, and where it is kept."""

    index: int
    violation: Violation
    path: Path | None = None


@dataclass(slots=True)
class HuntTally:
    """What a hunt has seen so far; `worlds` in which something happened, `times` in all."""

    seed: int
    shell: str = SIMULATED
    adversary: str = PLATFORM
    examined: int = 0
    repeated: int = 0
    failing: int = 0
    failures: list[FailingWorld] = field(default_factory=list)
    worlds: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    apart: dict[str, Apart] = field(default_factory=dict)
    """The furthest that the runs with and without each kind of fault of the metrics came apart, of
    worlds with one such fault."""
    wall_s: float = 0.0
    interrupted: bool = False

    @property
    def rate(self) -> float:
        """Worlds a second, repeated ones not counted."""
        return self.examined / self.wall_s if self.wall_s > 0.0 else 0.0

    def add(self, index: int, outcome: WorldOutcome) -> None:
        """Count one world."""
        self.examined += 1
        self.worlds.update(outcome.covered.keys())
        self.times.update(outcome.covered)
        for kind, apart in outcome.apart.items():
            self.apart[kind] = self.apart.get(kind, apart).or_further(apart)
        if outcome.violations:
            self.failing += 1
            self.failures.append(FailingWorld(index, outcome.violations[0]))


def hunt(
    seed: int,
    *,
    shell: str = SIMULATED,
    adversary: str = PLATFORM,
    most_worlds: int,
    most_s: float,
    workers: int,
    advance: Callable[[HuntTally], None],
) -> HuntTally:
    """Examine worlds 0, 1, … of `seed` until `most_worlds` are done or `most_s` has passed.

    `advance` is told after each batch.  After an interrupt the tally so far is returned, marked as
    `interrupted`.
    """
    tally = HuntTally(seed, shell, adversary)
    try:
        with worker_pool(workers, _warm_up) as pool:
            for ready in [pool.submit(os.getpid) for _ in range(workers)]:
                ready.result()  # loading the kernels is no part of the hunt
            _examine_all(
                pool, tally, most_worlds, most_s, most_running=2 * workers, advance=advance
            )
    except KeyboardInterrupt:
        tally.interrupted = True
    tally.failures.sort(key=lambda failure: failure.index)
    return tally


def _examine_all(
    pool: ProcessPoolExecutor,
    tally: HuntTally,
    most_worlds: int,
    most_s: float,
    *,
    most_running: int,
    advance: Callable[[HuntTally], None],
) -> None:
    began = time.perf_counter()
    swarm = (tally.shell, tally.adversary)
    batches = _batches(most_worlds)
    digests: dict[int, str] = {}
    running: set[Task] = set()
    again: list[int] = []
    while True:
        while len(running) < most_running:
            over = time.perf_counter() - began >= most_s
            if again:
                # Often another process than the first one, with other hash values.
                repeated = [again.pop()]
                running.add(pool.submit(_examine_batch, tally.seed, swarm, repeated, True))
            elif not over and (batch := next(batches, None)) is not None:
                running.add(pool.submit(_examine_batch, tally.seed, swarm, batch, False))
            else:
                break
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for task in done:
            for index, outcome, second in task.result():
                if not second:
                    tally.add(index, outcome)
                    if index % TWICE_EVERY == 0:
                        digests[index] = outcome.digest
                        again.append(index)
                    continue
                tally.repeated += 1
                if outcome.digest != digests.pop(index):
                    difference = Violation(NOT_REPEATABLE, 0.0, "two runs of one world differ")
                    tally.failing += 1
                    tally.failures.append(FailingWorld(index, difference))
        tally.wall_s = time.perf_counter() - began
        advance(tally)


def keep(tally: HuntTally, folder: Path, tell: Callable[[str], None]) -> None:
    """Shrink the failing worlds and write them to `folder` as scenario files.

    Of several that violate the same invariant only the first is kept.
    """
    kept: dict[str, FailingWorld] = {}
    for place, failure in enumerate(tally.failures):
        invariant = failure.violation.invariant
        if invariant in kept or len(kept) == MOST_KEPT:
            continue
        tell(f"world {failure.index}: making it smaller ({invariant})")
        world = _world(tally.seed, (tally.shell, tally.adversary), failure.index)
        if invariant != NOT_REPEATABLE:
            world = shrink(world, invariant)
        path = worlds.write(world, folder, f"violates: {invariant} ({failure.violation.detail})")
        smaller = FailingWorld(failure.index, failure.violation, path)
        kept[invariant] = tally.failures[place] = smaller


def _examine_batch(
    seed: int, swarm: tuple[str, str], batch: Sequence[int], second: bool
) -> list[tuple[int, WorldOutcome, bool]]:
    return [(index, examine(_world(seed, swarm, index)), second) for index in batch]


def _world(seed: int, swarm: tuple[str, str], index: int) -> worlds.World:
    """World number `index` for this shell and adversary."""
    shell, adversary = swarm
    if adversary == METRICS:
        return worlds.generate_metrics(seed, index)
    make = worlds.generate_live if shell == LIVE else worlds.generate
    return make(seed, index)


def _batches(most: int) -> Iterator[range]:
    for first in count(0, BATCH):
        if first >= most:
            return
        yield range(first, min(first + BATCH, most))


def _warm_up() -> None:
    """Load the kernels of both resolutions before the first world."""
    raw = worlds.generate(0, 0)
    for resolution in ("fluid", "request"):
        examine({**raw, "resolution": resolution, "faults": {}})
