"""Faults of what is around the engine in production: as plain data, and drawn for a world.

The faults of `scenarios.faults` happen to the platform and to the messages.  These happen to the
ports of the asyncio shell, and there are none of them in simulated time: an adapter raises, answers
late, hangs, answers with nonsense, or does the thing and fails to say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from engine.config.strict import Strict

Way = Literal["raises", "late", "hangs", "lies", "raises_after", "twice", "lost"]

WAYS: dict[str, tuple[Way, ...]] = {
    "metrics": ("raises", "late", "hangs", "lies"),
    "bookings": ("raises", "late", "hangs", "lies"),
    "observe": ("raises", "late", "hangs", "lies"),
    "apply": ("raises", "raises_after", "late", "hangs", "twice", "lies"),
    "requests": ("raises", "late", "hangs", "lies"),
    "memory": ("raises", "late", "hangs"),
    "store": ("raises", "raises_after", "late", "hangs"),
    "status": ("raises", "late", "hangs"),
    "lease": ("raises", "late", "lost"),
    "notifier": ("raises", "hangs"),
    "notes": ("raises",),
    "clock": ("raises",),
}
"""The ways in which each port may fail."""


class PortFault(Strict):
    """From `at` on for `duration_s` (s), a `share` of the calls of `port` go wrong."""

    port: str
    way: Way
    at: Annotated[float, Field(ge=0.0)]
    duration_s: Annotated[float, Field(gt=0.0)]
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    late_s: Annotated[float, Field(ge=0.0, le=600.0)] = 3.0


class Panic(BaseException):
    """What a foreign library may raise that is no Exception."""


RAISED: tuple[tuple[type[BaseException], tuple[Any, ...]], ...] = (
    (RuntimeError, ("Cannot send a request, as the client has been closed.",)),
    (KeyError, ("load",)),
    (OSError, (28, "No space left on device", "state")),
    (ConnectionResetError, ()),
    (ValueError, ("Expecting value: line 1 column 1 (char 0)",)),
    (AttributeError, ("'NoneType' object has no attribute 'status'",)),
    (AssertionError, ()),
    (MemoryError, ()),
    (TimeoutError, ()),
    (StopAsyncIteration, ()),
    (asyncio.CancelledError, ()),
    (SystemExit, (1,)),
    (Panic, ("called unwrap() on None",)),
)
"""Of each type that an adapter may raise, with words and without.

Made anew each time: one that is raised again and again keeps the frames of all that it ended.
"""


def drawn(rng: np.random.Generator, until_s: float) -> list[dict[str, Any]]:
    """One to four faults of ports as plain data, all over by `until_s`."""
    faults = []
    for _ in range(int(rng.integers(1, 5))):
        port = str(rng.choice(list(WAYS)))
        at_s = int(rng.integers(0, max(int(until_s) - 60, 1)))
        faults.append(
            {
                "port": port,
                "way": str(rng.choice(WAYS[port])),
                "at": at_s,
                "duration_s": int(rng.integers(5, max(int(until_s) - at_s, 6))),
                "share": float(rng.choice([0.1, 0.5, 1.0])),
                "late_s": float(f"{np.exp(rng.uniform(np.log(0.5), np.log(60.0))):.3g}"),
            }
        )
    return faults


def parse(raw: Mapping[str, Any]) -> tuple[PortFault, ...]:
    """The faults in a world's `ports`; raises ValueError for what is none."""
    faults = tuple(PortFault(**item) for item in raw.get("ports", ()))
    for fault in faults:
        if fault.way not in WAYS.get(fault.port, ()):
            raise ValueError(f"ports: {fault.port} does not fail in the way {fault.way}")
    return faults
