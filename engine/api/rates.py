"""So many requests of each: a bucket of tokens that fills with time."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from engine.config.api import RateLimit

MOST_CALLERS = 4096
"""Buckets that are kept; the one that was used longest ago goes first."""


class Rates:
    """A bucket for each caller; `now_s` is a clock that only goes on."""

    def __init__(self, limit: RateLimit, now_s: Callable[[], float]) -> None:
        self._limit = limit
        self._now_s = now_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, caller: str) -> int:
        """Take one token; 0, or how many seconds to wait before there is one."""
        now_s, limit = self._now_s(), self._limit
        tokens, at_s = self._buckets.pop(caller, (float(limit.burst), now_s))
        tokens = min(tokens + (now_s - at_s) * limit.per_s, float(limit.burst))
        wait_s = 0
        if tokens >= 1.0:
            tokens -= 1.0
        else:
            wait_s = max(math.ceil((1.0 - tokens) / limit.per_s), 1)
        self._buckets[caller] = (tokens, now_s)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait_s
