"""The port to whatever measures the services: one round of questions a sample, windows back.

What an adapter hands out keeps the rules that the twin's telemetry keeps: samples are those that
were really taken, at the time at which they were taken; they may be late, have holes or not come at
all; and nothing is ever filled in for what is missing.  A source in trouble is no error: it hands
out what it has, older by the minute, and says what the trouble is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.config.load import build
from engine.model import SAMPLE_DTYPE, SAMPLE_FIELDS, InstanceFigures, ServiceSpec

WINDOW = 60
"""Samples in the window that a controller is shown: five minutes of 5 s."""


INSTANCES_S = 15.0
"""Single instances are asked for so often."""
MOST_INSTANCES = 1000
"""Of a service; what is beyond is left out of what is known of single ones."""

NO_SAMPLES: NDArray[np.void] = np.zeros(0, SAMPLE_DTYPE)
"""A window without any."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of each service's samples now, and what went wrong in asking.

    `windows` has for each service a structured array of `SAMPLE_DTYPE`, newest last, perhaps empty.
    `silent` has those among the troubles that say that nothing at all comes of a service, by its
    name: of one that has no instance nothing should.
    """

    windows: Mapping[str, NDArray[np.void]]
    troubles: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    instances: Mapping[str, InstanceFigures] = field(default_factory=dict)
    """The newest figures of single instances, by service, where they are measured."""


class MetricsSource(Protocol):
    """Hands out samples."""

    async def read(self, now_s: float) -> Reading:
        """The newest samples as known at `now_s`; never raises for trouble of the source."""
        ...

    async def totals(self, begin_s: float, end_s: float) -> Mapping[str, Mapping[str, float]]:
        """Figures of all that time, by service and name, for the record; empty where unknown."""
        ...

    async def first_served(self, begin_s: float, end_s: float) -> Mapping[str, Sequence[float]]:
        """When each instance of that time served its first request, by service, if known."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class SampleWindow:
    """The newest samples of one service, in the order of their times, each time once.

    Newest are those that came last: after the clock was set back an hour the samples of the present
    have earlier times than those before it, and count all the same.
    """

    def __init__(self, length: int = WINDOW) -> None:
        self._length = length
        self._rows: dict[float, tuple[float, ...]] = {}
        self._array = _as_array([])

    def add(self, row: Sequence[float]) -> None:
        """Take a sample in, in the order of `SAMPLE_FIELDS`.

        Of two with the same time the one with fewer holes counts, the first if they are alike.
        """
        time_s = float(row[0])
        before = self._rows.get(time_s)
        if not math.isfinite(time_s) or (before is not None and _holes(before) <= _holes(row)):
            return
        self._rows[time_s] = tuple(row)  # keeps its place if there was one, else it is the last
        while len(self._rows) > self._length:
            del self._rows[next(iter(self._rows))]
        self._renew()

    def forget_after(self, now_s: float) -> None:
        """Let go of samples later than `now_s`: of a time that the clock was set back from.

        Otherwise they would take the places of those that are still to come.
        """
        ahead = [time_s for time_s in self._rows if time_s > now_s]
        for time_s in ahead:
            del self._rows[time_s]
        if ahead:
            self._renew()

    def _renew(self) -> None:
        # A new array each time: a window that was handed out earlier does not change.
        self._array = _as_array([self._rows[time_s] for time_s in sorted(self._rows)])

    @property
    def newest_s(self) -> float:
        """Time of the newest sample, -inf without any."""
        return max(self._rows, default=-math.inf)

    @property
    def array(self) -> NDArray[np.void]:
        """The samples, newest last; not to be changed."""
        return self._array


def checked(
    windows: object, services: Sequence[str]
) -> tuple[dict[str, NDArray[np.void]], tuple[str, ...]]:
    """The windows of `services` (names) that can be used, and what is wrong with the others.

    A source may hand out anything; what is used holds samples in the order of their times.
    """
    if not isinstance(windows, Mapping):
        return {}, (f"its windows are a {type(windows).__name__}",)
    usable: dict[str, NDArray[np.void]] = {}
    complaints: list[str] = []
    for name in services:
        window = windows.get(name)
        if window is None:
            complaints.append(f"it says nothing of {name}")
        elif not isinstance(window, np.ndarray) or window.dtype != SAMPLE_DTYPE:
            complaints.append(f"{name}: its window holds no samples")
        elif window.ndim != 1 or not bool(np.all(np.diff(window["time_s"]) >= 0.0)):
            complaints.append(f"{name}: its samples are not in the order of their times")
        else:
            usable[name] = window
    return usable, tuple(complaints)


def connect(
    factory: str,
    specs: Sequence[ServiceSpec],
    sample_s: float,
    options: Mapping[str, Any],
) -> MetricsSource:
    """The source that `factory` (`module:callable`) makes; samples are `sample_s` apart.

    Raises ValueError naming the configuration's key that is wrong.
    """
    source: MetricsSource = build(
        factory,
        specs,
        sample_s,
        key="metrics.factory",
        options=options,
        options_key="metrics",
        methods=("read", "totals", "first_served", "close"),
    )
    return source


def _holes(row: Sequence[float]) -> int:
    return sum(1 for value in row if not math.isfinite(value))


def _as_array(rows: list[tuple[float, ...]]) -> NDArray[np.void]:
    table = np.array(rows, dtype=np.float64).reshape(-1, len(SAMPLE_FIELDS))
    array: NDArray[np.void] = table.view(SAMPLE_DTYPE)[:, 0]
    array.setflags(write=False)
    return array
