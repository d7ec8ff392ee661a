"""Many worlds: what is wrong in any of them, and whether planted faults are seen."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from twin.leases.faults import LeaseWorld, drawn
from twin.leases.linearizable import is_linearizable
from twin.leases.plants import PLANTS
from twin.leases.world import LeaseOutcome, LeasePlant, LeaseSimulation
from twin.runs.workers import spread

CHUNK = 250
"""Worlds that one process plays in a row."""


@dataclass(slots=True)
class LeaseTally:
    """What came of the worlds; `cpu_s` is processor time."""

    worlds: int = 0
    histories: int = 0
    """So many worlds' histories were checked for linearizability."""
    rounds: int = 0
    actions: int = 0
    refused: int = 0
    moves: int = 0
    longest_unowned_s: float = 0.0
    cpu_s: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    """How often each kind of fault was in a world."""
    violations: Counter[str] = field(default_factory=Counter)
    """In how many worlds each was."""
    examples: dict[str, int] = field(default_factory=dict)
    """A seed of each."""

    def add(self, other: LeaseTally) -> None:
        """The worlds of another one besides."""
        self.worlds += other.worlds
        self.histories += other.histories
        self.rounds += other.rounds
        self.actions += other.actions
        self.refused += other.refused
        self.moves += other.moves
        self.longest_unowned_s = max(self.longest_unowned_s, other.longest_unowned_s)
        self.cpu_s += other.cpu_s
        self.kinds += other.kinds
        self.violations += other.violations
        for violation, seed in other.examples.items():
            self.examples[violation] = min(seed, self.examples.get(violation, seed))


def played(
    seed: int, plant: LeasePlant | None = None, *, history: bool = True
) -> tuple[LeaseOutcome, set[str]]:
    """A world's outcome, and what of it must not be."""
    return _played(drawn(seed), plant, history=history)


def _played(
    world: LeaseWorld, plant: LeasePlant | None, *, history: bool
) -> tuple[LeaseOutcome, set[str]]:
    simulation = LeaseSimulation(world, plant)
    outcome = simulation.run()
    wrong = {text.partition(": ")[2] for text in outcome.violations}
    if history and not is_linearizable(outcome.calls, simulation.shards):
        wrong.add("a history is not linearizable")
    return outcome, wrong


def tallied(task: tuple[int, int, int]) -> LeaseTally:
    """Worlds from a seed on; of each so many the history of one is checked."""
    first, count, apart = task
    tally, begun_s = LeaseTally(), time.process_time()
    gc.disable()  # what a few hundred worlds leave behind is little, and looking for it is much
    for seed in range(first, first + count):
        history = apart > 0 and seed % apart == 0
        world = drawn(seed)
        outcome, wrong = _played(world, None, history=history)
        tally.worlds += 1
        tally.histories += history
        tally.rounds += len(outcome.calls)
        tally.actions += outcome.actions
        tally.refused += outcome.refused
        tally.moves += outcome.moves
        tally.longest_unowned_s = max(tally.longest_unowned_s, outcome.longest_unowned_s)
        tally.kinds.update({fault.kind.value for fault in world.faults})
        for violation in wrong:
            tally.violations[violation] += 1
            tally.examples.setdefault(violation, seed)
    gc.enable()
    tally.cpu_s = time.process_time() - begun_s
    return tally


def campaign(
    first: int,
    worlds: int,
    apart: int,
    workers: int | None = None,
    *,
    advance: Callable[[float], None] = lambda _: None,
) -> LeaseTally:
    """Play so many worlds from a seed on; `advance` is called with how many are done."""
    tasks = [
        (seed, min(CHUNK, first + worlds - seed), apart)
        for seed in range(first, first + worlds, CHUNK)
    ]
    tally = LeaseTally()
    if len(tasks) == 1:
        tally.add(tallied(tasks[0]))
        return tally
    for _, part in spread(tallied, tasks, workers):
        tally.add(part)
        advance(float(tally.worlds))
    return tally


def seen_at(plant: str, most: int, first: int = 0) -> tuple[int, str] | None:
    """The first of `most` worlds that shows a planted fault, and what it shows."""
    for seed in range(first, first + most):
        _, wrong = played(seed, PLANTS[plant]())
        if wrong:
            return seed, min(wrong)
    return None
