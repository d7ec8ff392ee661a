"""What the engine remembers, as its store gives it back; what is taken can be kept again."""

from __future__ import annotations

from collections.abc import Callable

from engine import memory_json
from engine.memory import Memory, Pending, ResponseMemory, Sent, ServiceMemory, Straggler, Watch
from engine.model import Action, Category, Reason, Rollback, WeddingContext
from tools.fuzz.target import FuzzTarget

ACTION = Action(
    decision_id="a-1", service="api", from_instances=10, to_instances=14, reason=Reason.FORECAST,
    category=Category.NEEDS_APPROVAL, confidence=0.7, cost_per_hour=0.4, rollback=Rollback(10),
    weddings=WeddingContext(120.0, 6.0, 940.0), evidence={"rate": 500.0}, trigger_s=980.0,
    decided_s=985.0, explanation="because",
)  # fmt: skip
FULL = ServiceMemory(
    last_out_s=100.0, counts=((500.0, 8), (920.0, 9)), measured_s={"cpu": 995.0}, held_at=13,
    targets=((610.0, 12),), slowdown=1.5, desired=10,
    response=ResponseMemory(
        level=0.1, variance=0.2, surge=0.3, updated_s=990.0, horizon_variance=(0.4, 0.5),
        issued=(((1600.0, 1.0), (1660.0, 2.0)), ()), issued_s=970.0,
    ),
    sent=Sent("s-1", 10, 12, 13, 960.0, 50.0, accepted=True),
    straggler=Straggler(9, 14, 1550.0), watch=Watch("w-1", 4, 5, 400.0, 0.25, 75.0, healthy=True),
    pending=Pending(ACTION, 1700.0, refused=True),
)  # fmt: skip
MEMORY = Memory(
    last_step_s=1000.0, next_cycle_s=1010.0, decisions=7, newest_s={"api": 995.0},
    services={"api": FULL, "database": ServiceMemory()},
)  # fmt: skip
CURRENT = memory_json.to_json(MEMORY)


class LostMemoryError(Exception):
    """A memory that was taken and cannot be kept."""


def _read() -> Callable[[bytes], object]:
    def read(given: bytes) -> object:
        memory = memory_json.from_json(given.decode("utf-8"))
        try:
            return memory_json.to_json(memory)
        except ValueError as error:
            raise LostMemoryError(str(error)) from error

    return read


TARGET = FuzzTarget(
    "memory",
    (CURRENT.encode(), memory_json.to_json(Memory()).encode()),
    _read,
    (ValueError,),
)
