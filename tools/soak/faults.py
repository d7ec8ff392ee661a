"""What goes wrong in a soak: each round, each port once in each of its ways, in a drawn order.

All rounds are alike, so that whatever there is more of after a round than after the one before
stays behind.  At the end of a round nothing is wrong: what has only to be got over is over when
the process is looked at.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twin.hunt.ports import RAISED

Method = Callable[..., Awaitable[Any]]

WAYS: dict[str, tuple[str, ...]] = {
    "metrics": ("raises", "hangs", "late", "lies"),
    "prometheus": ("refuses", "garbage", "cut", "silent", "slow", "huge"),
    "infrastructure": ("raises", "hangs", "late", "lies", "loses"),
    "commands": ("raises", "raises_after", "hangs", "late", "lies"),
    "schedule": ("raises", "hangs", "lies"),
    "bookings": ("refuses", "garbage", "cut", "silent", "slow"),
    "requests": ("raises", "hangs", "lies"),
    "memory": ("raises", "hangs"),
    "store": ("raises", "raises_after", "hangs", "late"),
    "status": ("raises", "hangs"),
    "file": ("locked",),
    "lease": ("raises", "hangs", "lost", "taken"),
    "notifier": ("raises", "hangs"),
    "receivers": ("refuses", "garbage", "cut", "silent", "slow"),
    "audit": ("raises",),
    "record": ("in_the_way",),
}
"""How each port fails; what is asked over HTTP fails on the wire as well."""

LATE_S = 6.0
"""Longer than the shell waits for a look, and not as long as it waits before it gives up."""
CALM_S = 90.0
"""At the end of a round nothing is wrong for at least so long, and for a tenth of it: what hangs is
given up after 40 s."""
PLANTS = ("list", "task", "file")
"""Leaks for tests: a port's trouble leaves something behind."""


@dataclass
class Faults:
    """Which port is in which trouble now; `plants` are leaks on purpose."""

    seed: int
    round_s: float
    plants: tuple[str, ...] = ()
    played: dict[tuple[str, str], int] = field(default_factory=dict)
    """How many calls each fault has spoiled."""
    _now: dict[str, str] = field(default_factory=dict)
    _leaked: list[Any] = field(default_factory=list)

    def way(self, port: str) -> str | None:
        """In which way `port` fails now; that is counted as one call."""
        way = self._now.get(port)
        if way is not None:
            self.played[port, way] = self.played.get((port, way), 0) + 1
            self._leak()
        return way

    async def play(self, acts: dict[tuple[str, str], Callable[[bool], None]]) -> None:
        """All of them in each round, for ever; `acts` are told when theirs begins and ends."""
        rng = np.random.default_rng(self.seed)
        pairs = [(port, way) for port, ways in WAYS.items() for way in ways]
        each_s = (self.round_s - max(0.1 * self.round_s, CALM_S)) / len(pairs)
        loop = asyncio.get_running_loop()
        ends_s = loop.time()
        while True:
            ends_s += self.round_s
            for k in rng.permutation(len(pairs)):
                port, way = pairs[k]
                self._now[port] = way
                act = acts.get((port, way), _nothing)
                act(True)
                await asyncio.sleep(0.75 * each_s)
                act(False)
                del self._now[port]
                await asyncio.sleep(0.25 * each_s)
            await asyncio.sleep(max(ends_s - loop.time(), 0.0))

    def raised(self, rng: np.random.Generator) -> BaseException:
        """One of what an adapter may raise, made anew."""
        kind, words = RAISED[int(rng.integers(len(RAISED)))]
        return kind(*words)

    def spoil(self, port: str, lies: Callable[[], Any] | None = None) -> Callable[[Method], Method]:
        """Lets an asynchronous method of a port fail."""
        rng = np.random.default_rng([self.seed, *port.encode()])

        def around(method: Method) -> Method:
            @functools.wraps(method)
            async def spoiled(*arguments: Any, **named: Any) -> Any:
                way = self.way(port)
                if way == "raises":
                    raise self.raised(rng)
                if way == "hangs":
                    await asyncio.get_running_loop().create_future()
                if way == "late":
                    await asyncio.sleep(LATE_S)
                if way == "lies" and lies is not None:
                    return lies()
                answer = await method(*arguments, **named)
                if way == "raises_after":
                    raise self.raised(rng)
                return answer

            return spoiled

        return around

    def _leak(self) -> None:
        if "list" in self.plants:
            self._leaked.append([object() for _ in range(4)])
        if "task" in self.plants:
            forever = asyncio.get_running_loop().create_future()
            self._leaked.append(asyncio.ensure_future(_waits(forever)))
        if "file" in self.plants:
            self._leaked.append(open("/dev/null", "rb"))  # noqa: SIM115, PTH123


async def _waits(what: asyncio.Future[None]) -> None:
    await what


def _nothing(begins: bool) -> None:
    del begins
