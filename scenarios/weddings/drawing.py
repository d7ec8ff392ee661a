"""What is drawn of any wedding, of one day's as of years of them: type, people, times, notice.

The booked values and what becomes of them come from the same draws and are kept apart.  Which
weddings there are (a window cut where its peak is reached, or so many on each date) is the
caller's; what one of them is like is drawn here alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engine.model import WeddingType
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import ROLES, Count, PopulationConfig

TYPES = tuple(WeddingType)
"""The meaning of `type_id`."""

SHORTEST_SHARE = 0.25
"""No phase is cut to less than this share of its booked length."""


class WeddingDraw:
    """Draws weddings of `config`, each purpose from the generator that `stream` gives for it.

    A purpose is asked for once, and its generator goes on from one draw to the next.
    """

    def __init__(self, config: PopulationConfig, stream: StreamOf) -> None:
        self._config = config
        self._stream = stream
        self._generators: dict[str, np.random.Generator] = {}
        self._type_table = table_of(config.types[kind].share for kind in TYPES)
        self._offsets_s = phase_offsets_s(config)

    def uniform(self, purpose: str, count: int) -> NDArray[np.float32]:
        """Numbers in [0, 1), shape (count,)."""
        return self._generator(purpose).random(count, dtype=np.float32)

    def normal(self, purpose: str, shape: int | tuple[int, int]) -> NDArray[np.float32]:
        """Standard normal scores."""
        return self._generator(purpose).standard_normal(shape, dtype=np.float32)

    def pick(self, purpose: str, shares: Iterable[float], count: int) -> NDArray[np.intp]:
        """Positions among `shares` (of any sum), each as often as its share says."""
        return row_of(table_of(shares), self.uniform(purpose, count))

    def type_id(self, count: int) -> NDArray[np.int8]:
        """Types of `count` weddings, as positions in `TYPES`."""
        return row_of(self._type_table, self.uniform("type", count)).astype(np.int8)

    def times(self, ceremony_s: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Booked and actual times (n, phases + 1) for booked ceremonies (n,), whole seconds."""
        count, phases = len(ceremony_s), len(self._offsets_s) - 1
        late = self._config.actual.late_start
        floor_s = -60.0 * late.early_at_most_min
        mu, sigma = log_normal(60 * late.mean_min - floor_s, 60 * late.sd_min)
        booked_s = np.empty((count, phases + 1), dtype=np.int32)
        actual_s = np.empty((count, phases + 1), dtype=np.int32)
        draws = kernels.Draws(
            ceremony_s,
            self._offsets_s,
            self.normal("late", count),
            self.normal("length", (count, phases)),
        )
        overrun_sd_s = 60.0 * self._config.actual.overrun_sd_min
        punctuality = kernels.Punctuality(floor_s, mu, sigma, overrun_sd_s, SHORTEST_SHARE)
        kernels.phase_times(draws, punctuality, booked_s, actual_s)
        return booked_s, actual_s

    def people(
        self, type_id: NDArray[np.int8], stay_away: NDArray[np.float64] | float = 0.0
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """People booked and those who come (n, roles); only guests stay away.

        `stay_away` is a further share of the guests, besides the usual one.
        """
        booked = self._booked(type_id)
        guest = ROLES.index("guest")
        turnout = self._config.actual.turnout
        share = np.clip(
            turnout.mean + turnout.sd * self.normal("turnout", len(type_id)) - stay_away, 0.0, 1.0
        )
        come = booked.copy()
        come[:, guest] = np.rint(booked[:, guest] * share)
        return booked, come

    def notice_s(self, count: int) -> NDArray[np.float64]:
        """How long before the first phase a cancellation is entered (count,), seconds."""
        notice = self._config.actual.notice
        mu, sigma = log_normal(3600 * notice.mean_h, 3600 * notice.sd_h)
        notice_s: NDArray[np.float64] = np.exp(
            mu + sigma * self.normal("notice", count).astype(np.float64)
        )
        return notice_s

    def _booked(self, type_id: NDArray[np.int8]) -> NDArray[np.int32]:
        count = len(type_id)
        guests_u, vendors_u = self.uniform("guests", count), self.uniform("vendors", count)
        booked = np.empty((count, len(ROLES)), dtype=np.int32)
        couple, guest, vendor, planner = (ROLES.index(role) for role in ROLES)
        booked[:, couple] = 2
        for index, kind in enumerate(TYPES):
            type_config = self._config.types[kind]
            rows = np.flatnonzero(type_id == index)
            booked[rows, planner] = type_config.planners
            for role, people, u in (
                (guest, type_config.guests, guests_u),
                (vendor, type_config.vendors, vendors_u),
            ):
                table = count_table(people).astype(np.float32)
                booked[rows, role] = people.min + row_of(table, u[rows])
        return booked

    def _generator(self, purpose: str) -> np.random.Generator:
        if purpose not in self._generators:
            self._generators[purpose] = self._stream(purpose)
        return self._generators[purpose]


def phase_offsets_s(config: PopulationConfig) -> NDArray[np.int32]:
    """When each phase begins and the last one ends (phases + 1,), seconds from the ceremony."""
    offsets = [60 * phase.start_min for phase in config.phases] + [60 * config.end_min]
    return np.array(offsets, dtype=np.int32)


def shares_of(shares: Iterable[float]) -> NDArray[np.float64]:
    """The shares with a sum of one."""
    values = np.array(list(shares), dtype=np.float64)
    return values / values.sum()


def table_of(shares: Iterable[float]) -> NDArray[np.float32]:
    """The cumulative table of `shares`, for `row_of`."""
    return np.cumsum(shares_of(shares)).astype(np.float32)


def count_table(count: Count) -> NDArray[np.float64]:
    """Cumulative probability of `count.min`, `count.min` + 1, ... `count.max` people.

    The log-normal with the given mean and standard deviation, rounded to whole people and cut:
    P(g) is its mass between g - 1/2 and g + 1/2, divided by that between the ends.
    """
    variance = math.log1p((count.sd / count.mean) ** 2)
    normal = NormalDist(math.log(count.mean) - variance / 2.0, math.sqrt(variance))
    edges = np.array(
        [normal.cdf(math.log(g - 0.5)) if g >= 1 else 0.0 for g in range(count.min, count.max + 2)]
    )
    return (edges[1:] - edges[0]) / (edges[-1] - edges[0])


def mean_count(count: Count) -> float:
    """Mean number of people of `count` after rounding and cutting."""
    mass = np.diff(count_table(count), prepend=0.0)
    return float(mass @ np.arange(count.min, count.max + 1))


def row_of(table: NDArray[np.float32], u: NDArray[np.float32]) -> NDArray[np.intp]:
    """Row of a cumulative table for uniform numbers in [0, 1)."""
    return np.minimum(np.searchsorted(table, u, side="right"), len(table) - 1)


def log_normal(mean: float, sd: float) -> tuple[float, float]:
    """(mu, sigma) of the log-normal distribution with this mean and standard deviation."""
    variance = math.log1p((sd / mean) ** 2)
    return math.log(mean) - variance / 2.0, math.sqrt(variance)
