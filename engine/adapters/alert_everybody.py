"""Several notifiers as one: each is told at the same time, and none waits for another's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.ports.notifier import Alert, Notifier

MOST = 1000
"""Alerts of which it is remembered who has them, while somebody has not."""


class Everybody:
    """`engine.ports.notifier.Notifier` of all of them."""

    def __init__(self, notifiers: Sequence[Notifier]) -> None:
        self._notifiers = tuple(notifiers)
        self._reached: dict[Alert, set[int]] = {}

    async def notify(self, alert: Alert) -> None:
        """Tell all; raises OSError if somebody was not, who alone is told the next time."""
        reached = self._reached.setdefault(alert, set())
        left = [k for k in range(len(self._notifiers)) if k not in reached]
        answers = await asyncio.gather(
            *(self._notifiers[k].notify(alert) for k in left), return_exceptions=True
        )
        failed: list[str] = []
        for k, answer in zip(left, answers, strict=True):
            if answer is None:
                reached.add(k)
            elif isinstance(answer, Exception):
                failed.append(str(answer) or type(answer).__name__)
            else:
                raise answer
        if failed:
            while len(self._reached) > MOST:
                del self._reached[next(iter(self._reached))]
            raise OSError(0, "; ".join(failed))
        self._reached.pop(alert, None)

    async def close(self) -> None:
        """Let go of all; raises what the last one raised that failed."""
        answers = await asyncio.gather(
            *(one.close() for one in self._notifiers), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
