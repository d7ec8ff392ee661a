"""What goes wrong in a world of engines that share a lease table, drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class LeaseFaultKind(StrEnum):
    """What happens to an engine, to the way between it and the table, or to the table."""

    KILLED = "killed"
    """The engine is gone; one of another name comes some seconds later."""
    PAUSED = "paused"
    """The engine stands still, and an action that it has just checked goes out afterwards."""
    SUSPENDED = "suspended"
    """As paused, and its monotonic clock stands still too."""
    LEAVES = "leaves"
    """It ends as it should."""
    CUT = "cut"
    """Nothing passes between the engine and the table."""
    QUESTIONS_LOST = "questions lost"
    ANSWERS_LOST = "answers lost"
    TABLE_GONE = "table gone"
    SLOW = "slow"
    """The table takes seconds."""
    TWICE = "twice"
    """Rounds and answers come twice, the second time late."""
    LOSSY = "lossy"
    TABLE_CLOCK = "table clock"
    """The table's clock is set, forwards or back."""
    WALL_CLOCK = "wall clock"
    """The engine's time of day is set, by minutes."""


OF_ONE = frozenset(
    {
        LeaseFaultKind.KILLED, LeaseFaultKind.PAUSED, LeaseFaultKind.SUSPENDED,
        LeaseFaultKind.LEAVES, LeaseFaultKind.CUT, LeaseFaultKind.QUESTIONS_LOST,
        LeaseFaultKind.ANSWERS_LOST, LeaseFaultKind.WALL_CLOCK,
    }
)  # fmt: skip
"""Those that befall one engine; the others befall all."""
BEYOND_THE_DEADLINE = frozenset({LeaseFaultKind.SUSPENDED, LeaseFaultKind.TABLE_CLOCK})
"""Those under which no deadline can keep two engines apart: there the fence alone does."""
_KINDS = tuple(LeaseFaultKind)


@dataclass(frozen=True, slots=True)
class LeaseFault:
    """`size` is seconds of delay, a share of messages, or a step of a clock."""

    kind: LeaseFaultKind
    engine: int
    begins_s: float
    lasts_s: float
    size: float


@dataclass(frozen=True, slots=True)
class LeaseWorld:
    """A world: its engines and shards, how fast they are, and what goes wrong."""

    seed: int
    engines: int
    costs: tuple[int, ...]
    """Of the shards: their services."""
    step_s: float
    cycle_s: float
    delay_s: float
    """Of a message, on average."""
    rates: tuple[float, ...]
    """How fast each engine's monotonic clock goes."""
    joins_s: tuple[float, ...]
    faults: tuple[LeaseFault, ...]

    @property
    def deadline_holds(self) -> bool:
        """Whether no fault makes clocks useless."""
        return not any(fault.kind in BEYOND_THE_DEADLINE for fault in self.faults)


LASTS_S = 42.0
"""Of a world, simulated."""
FIRST_FAULT_S, LAST_FAULT_S = 5.0, 22.0


def drawn(seed: int) -> LeaseWorld:
    """The world of a seed."""
    draw = np.random.Generator(np.random.Philox(seed))
    engines = int(draw.integers(3, 8))
    shards = int(draw.integers(1, 7))
    costs = tuple(map(int, draw.integers(1, 6, shards)))
    count = int(draw.integers(1, 6))
    faults = []
    for _ in range(count):
        kind = _KINDS[int(draw.integers(len(_KINDS)))]
        begins_s = float(draw.uniform(FIRST_FAULT_S, LAST_FAULT_S))
        lasts_s = float(draw.uniform(0.5, 12.0))
        share = float(draw.random())
        match kind:
            case LeaseFaultKind.SLOW:
                size = 0.2 + 3.8 * share
            case LeaseFaultKind.TWICE | LeaseFaultKind.LOSSY:
                size = 0.1 + 0.4 * share
            case LeaseFaultKind.TABLE_CLOCK:
                size = 4.0 * share - 2.0
            case LeaseFaultKind.WALL_CLOCK:
                size = 600.0 * share - 300.0
            case _:
                size = 0.0
        faults.append(LeaseFault(kind, int(draw.integers(engines)), begins_s, lasts_s, size))
    return LeaseWorld(
        seed, engines, costs, float(draw.uniform(0.7, 2.5)), float(draw.uniform(3.0, 15.0)),
        float(10.0 ** draw.uniform(-3.0, -0.3)),
        tuple(map(float, draw.uniform(0.97, 1.03, engines))),
        tuple(map(float, draw.uniform(0.0, 3.0, engines))), tuple(faults),
    )  # fmt: skip
