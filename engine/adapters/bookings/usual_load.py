"""Nothing is booked, and load has its usual days: what is to come, from weeks of load in a file.

For platforms without a calendar.  `python -m engine import prometheus` writes the file; what is
expected is learned from it as `twin compare` does, so the live engine knows what it knew there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import Field

from engine.adapters import load_history
from engine.config.strict import ConfigError, Strict, validated
from engine.decide.callgraph import with_calls
from engine.model import Calendar, Outlook, Series, ServiceSpec
from engine.prediction.expectation import Expectation, Span, learn

BIN_S = 300.0
RENEWED_S = 3600.0
NO_EVENTS = Calendar(np.zeros(0), np.zeros(0), (), np.zeros(0))


class UsualLoadConfig(Strict):
    """`bookings.options`: the file as in `engine.adapters.load_history`."""

    path: Path
    time_zone: str = "UTC"
    ahead_s: Annotated[float, Field(ge=3600.0, le=604_800.0)] = 172_800.0


class UsualLoad:
    """The same expectation from the start on; its window moves on with the time."""

    def __init__(
        self, specs: Sequence[ServiceSpec], learned: dict[str, Expectation], ahead_s: float
    ) -> None:
        self._specs = tuple(specs)
        self._learned = learned
        self._ahead_s = ahead_s
        self._last: Outlook | None = None

    async def outlook(self, now_s: float) -> Outlook:
        """What the time of the week lets expect, from an hour before `now_s` on."""
        if self._last is None or not 0.0 <= now_s - self._last.issued_s < RENEWED_S:
            self._last = self._made(now_s)
        return self._last

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _made(self, now_s: float) -> Outlook:
        start_s = math.floor((now_s - RENEWED_S) / BIN_S) * BIN_S
        bins = math.ceil((now_s + self._ahead_s - start_s) / BIN_S)
        centres_s = start_s + BIN_S * (np.arange(bins, dtype=np.float64) + 0.5)
        idle = np.zeros(bins)
        entering = np.stack([
            self._learned[spec.name].base(centres_s) if spec.name in self._learned else idle
            for spec in self._specs
        ])  # fmt: skip
        load = with_calls(self._specs, entering)
        return Outlook(
            issued_s=now_s,
            start_s=start_s,
            bin_s=BIN_S,
            services={spec.name: row for row, spec in enumerate(self._specs)},
            load=load,
            major_load=np.zeros_like(load),
            events=idle,
            major_events=idle,
            sigma=max(one.sigma for one in self._learned.values()),
            noun="events",
        )


def connect(specs: Sequence[ServiceSpec], begins_s: float, **options: Any) -> UsualLoad:
    """What the file lets expect; raises ConfigError naming the key that is wrong."""
    del begins_s
    config = validated(UsualLoadConfig, options, "bookings.options")
    try:
        ZoneInfo(config.time_zone)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f'bookings.options.time_zone: "{config.time_zone}" is not an IANA time zone'
        ) from None
    try:
        past = load_history.read(config.path, [spec.name for spec in specs])
    except ConfigError as error:
        raise ConfigError(f"bookings.options.path: {error}") from None
    learned = {}
    for name, row in zip(past.services, past.load, strict=True):
        if np.isfinite(row).any():
            series = Series(name, past.start_s, past.step_s, row)
            learned[name] = learn(series, NO_EVENTS, Span(0.0, 0.0), config.time_zone)
    if not learned:
        raise ConfigError(f"bookings.options.path: {config.path} holds no load")
    return UsualLoad(specs, learned, config.ahead_s)
