"""The weddings of one day: what was booked, and what really happens.

Both are drawn together and kept apart.  The engine is shown `schedule` (booked times, booked
guests, without the weddings that nobody entered or that are known to be cancelled); the load of
the twin comes from the realised columns.  Nothing in `schedule` reads a realised column.

Weddings are drawn in random order, each from the same positions of the same random streams, and
the list is cut where the realised peak reaches `simultaneous`.  So a larger population of the
same seed is the smaller one plus more weddings, and comparisons across sizes see the same day.

Columns, not objects: 1.4 million weddings take about 140 MB this way.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.model import Schedule
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import ROLES, PopulationConfig
from scenarios.weddings.drawing import TYPES, WeddingDraw, row_of, shares_of

DAY_S = 86_400

HORIZON_S = DAY_S
"""The schedule reaches this far past the end of the window."""

SPILL_S = 10_800
"""Weddings booked to end at most this long before the window may still run into it."""

MAX_WEDDINGS = 40_000_000
"""Bound on the weddings drawn to reach the peak that is asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """All weddings of a window and its surroundings, column-wise (n weddings).

    Times are whole seconds from `start_s` (epoch seconds, the window's start); they may be
    negative or beyond `duration_s`.  `booked_s` and `actual_s` (n, phases + 1) rise along each
    row, the last column is the end.  `participants_*` (n, roles) count people in the order of
    `roles`; the actual ones are 0 where the wedding does not take place.  `type_id` indexes
    `TYPES`, `zone_id` indexes `zones`.  `in_schedule` is false for weddings that nobody entered,
    `happens` for cancelled ones, and `cancel_known_s` says when a cancellation is entered (inf:
    never).  `zone_share` is the configured share of each zone.
    """

    phases: tuple[str, ...]
    roles: tuple[str, ...]
    start_s: float
    duration_s: int
    zones: tuple[str, ...]
    zone_share: NDArray[np.float64]
    booked_s: NDArray[np.int32]
    actual_s: NDArray[np.int32]
    type_id: NDArray[np.int8]
    zone_id: NDArray[np.int8]
    participants_booked: NDArray[np.int32]
    participants_actual: NDArray[np.int32]
    major: NDArray[np.bool_]
    in_schedule: NDArray[np.bool_]
    happens: NDArray[np.bool_]
    cancel_known_s: NDArray[np.float32]
    _cancelled: NDArray[np.intp] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        entered = np.flatnonzero(self.in_schedule & np.isfinite(self.cancel_known_s))
        order = np.argsort(self.cancel_known_s[entered], kind="stable")
        object.__setattr__(self, "_cancelled", entered[order])

    def __len__(self) -> int:
        return len(self.booked_s)

    @property
    def in_window(self) -> int:
        """Weddings that really take place at some second of the window."""
        touches = (self.actual_s[:, 0] < self.duration_s) & (self.actual_s[:, -1] > 0)
        return int(np.count_nonzero(touches & self.happens))


def generate(config: PopulationConfig, streams: StreamOf) -> Population:
    """Draw the weddings, as many as it takes for `simultaneous` of them to be in progress at once.

    In progress means between the realised start of the first phase and the realised end, of those
    that take place, at a whole second of the window; the result has the fewest leading weddings
    of the random list that reach the figure, so its peak is exactly `config.simultaneous`.

    `streams` is asked once for each purpose ("population.late", ...).  Raises ValueError where
    the window is so quiet that more than `MAX_WEDDINGS` would be needed.
    """
    cells = _booking_cells(config)
    at_peak = cells.peak_share(config) * (1.0 - config.actual.cancelled_share)
    if at_peak * MAX_WEDDINGS < config.simultaneous:
        raise ValueError(
            f"population.simultaneous: {config.simultaneous:,} weddings cannot be in progress in "
            f"the {config.duration_s} s from {config.start_utc // 60:02d}:"
            f"{config.start_utc % 60:02d} UTC on {config.date}: at most {at_peak:.2%} of the "
            f"weddings around that day are then; choose a busier start_utc, a longer duration_s, "
            f"or at most {int(at_peak * MAX_WEDDINGS):,}"
        )
    draw = _Draw(config, cells, streams)
    expected = config.simultaneous / at_peak
    drawn = draw.next(math.ceil(1.01 * expected + 4.0 * math.sqrt(expected)) + 16)
    while True:
        actual, happens = drawn["actual_s"], drawn["happens"]
        events = kernels.Events(actual[:, 0], actual[:, -1], happens)
        count = kernels.prefix_reaching(events, config.duration_s, config.simultaneous)
        if count:
            break
        if len(actual) > 2 * MAX_WEDDINGS:
            raise ValueError(
                f"population.simultaneous: {config.simultaneous:,} not reached with "
                f"{len(actual):,} weddings; choose a busier start_utc or a longer duration_s"
            )
        more = draw.next(max(64, len(actual) // 20))
        drawn = {name: np.concatenate([drawn[name], more[name]]) for name in drawn}
    columns = {name: column[:count] for name, column in drawn.items()}
    for column in columns.values():
        column.flags.writeable = False
    return Population(
        phases=config.phase_names,
        roles=ROLES,
        start_s=config.start_s,
        duration_s=config.duration_s,
        zones=tuple(config.time_zones),
        zone_share=shares_of(config.time_zones.values()),
        **columns,
    )


def schedule(population: Population, known_at_s: float) -> Schedule:
    """The booked weddings as known at `known_at_s` (epoch seconds).

    Without those that nobody entered, and without those whose cancellation had been entered by
    then.  Times, participants and `major` are the booked ones.
    """
    known_s = np.float64(known_at_s - population.start_s)  # compared in double precision
    rows = np.flatnonzero(population.in_schedule & (population.cancel_known_s > known_s))
    return _booked(population, rows)


def cancellations(population: Population, after_s: float, until_s: float) -> Schedule:
    """The entered weddings whose cancellation becomes known in (after_s, until_s], epoch seconds.

    `schedule(until_s)` is `schedule(after_s)` without these, so an outlook can subtract them
    instead of being built anew.  Costs O(log cancellations) where there is none.
    """
    order = population._cancelled
    entered_s = population.cancel_known_s[order].astype(np.float64) + population.start_s
    first, last = np.searchsorted(entered_s, [after_s, until_s], side="right")
    return _booked(population, order[first:last])


def _booked(population: Population, rows: NDArray[np.intp]) -> Schedule:
    return Schedule(
        phases=population.phases,
        roles=population.roles,
        phase_start_s=population.booked_s[rows].astype(np.float64) + population.start_s,
        participants=population.participants_booked[rows].astype(np.float64),
        major=population.major[rows],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _BookingCells:
    """Every combination of day, zone and ceremony time that touches the window or its horizon.

    `ceremony_s` (cells,) seconds from the window's start, `zone_id` (cells,), `weight` (cells,)
    sums to 1.  Local times become UTC here, once per combination, so that daylight-saving changes
    cost nothing later.
    """

    ceremony_s: NDArray[np.int32]
    zone_id: NDArray[np.int8]
    weight: NDArray[np.float64]

    def peak_share(self, config: PopulationConfig) -> float:
        """Largest share of all these weddings that are booked to be in progress at one minute."""
        minutes = config.duration_s // 60
        change = np.zeros(minutes + 1)
        first = self.ceremony_s // 60 + config.phases[0].start_min
        last = self.ceremony_s // 60 + config.end_min
        touches = (first < minutes) & (last > 0)
        np.add.at(change, np.clip(first[touches], 0, minutes), self.weight[touches])
        np.add.at(change, np.clip(last[touches], 0, minutes), -self.weight[touches])
        return max(float(np.cumsum(change)[:-1].max()), 0.0)


def _booking_cells(config: PopulationConfig) -> _BookingCells:
    first_s, last_s = 60 * config.phases[0].start_min, 60 * config.end_min
    horizon_s = config.duration_s + HORIZON_S
    days = range(-4, horizon_s // DAY_S + 5)  # phases reach up to two days from the ceremony
    ceremony_s, zone_id, weight = [], [], []
    zones = [(ZoneInfo(name), share) for name, share in config.time_zones.items()]
    for day in days:
        date = config.date + dt.timedelta(days=day)
        on_day = day_weight(config, date)
        for index, (zone, in_zone) in enumerate(zones):
            for minute, at_minute in config.ceremony_start.items():
                local = dt.datetime.combine(date, dt.time(minute // 60, minute % 60), tzinfo=zone)
                at = round(local.timestamp() - config.start_s)
                if at + last_s > -SPILL_S and at + first_s < horizon_s:
                    ceremony_s.append(at)
                    zone_id.append(index)
                    weight.append(on_day * in_zone * at_minute)
    total = math.fsum(weight)
    if total <= 0.0:
        raise ValueError(
            f"population.date: no wedding falls around {config.date}, the weights of its weekday, "
            "month and ceremony times are 0"
        )
    return _BookingCells(
        ceremony_s=np.array(ceremony_s, dtype=np.int32),
        zone_id=np.array(zone_id, dtype=np.int8),
        weight=np.array(weight) / total,
    )


def day_weight(config: PopulationConfig, date: dt.date) -> float:
    """Weddings on `date` relative to those on other dates: share of the month, of the week."""
    following = (date.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    days_in_month = (following - date.replace(day=1)).days
    month = config.month_weights[date.month - 1] / days_in_month
    return month * config.weekday_weights[date.weekday()]


class _Draw:
    """Draws weddings block by block; the blocks joined are what one large block would have been."""

    def __init__(self, config: PopulationConfig, cells: _BookingCells, streams: StreamOf) -> None:
        self._draw = WeddingDraw(config, lambda purpose: streams(f"population.{purpose}"))
        self._config = config
        self._cells = cells
        self._cell_table = np.cumsum(cells.weight).astype(np.float32)
        self._major = np.array([config.types[kind].major for kind in TYPES])

    def next(self, count: int) -> dict[str, NDArray[Any]]:
        """The next `count` weddings: the columns of `Population`, by name."""
        actual, draw = self._config.actual, self._draw
        cell = row_of(self._cell_table, draw.uniform("cell", count))
        type_id = draw.type_id(count)
        booked_s, actual_s = draw.times(self._cells.ceremony_s[cell])
        booked, come = draw.people(type_id)

        cancelled = draw.uniform("cancelled", count) < np.float32(actual.cancelled_share)
        known_s = np.full(count, np.inf, dtype=np.float32)
        notice_s = draw.notice_s(count)
        known_s[cancelled] = np.floor(booked_s[cancelled, 0] - notice_s[cancelled])
        come[cancelled] = 0

        entered = draw.uniform("entered", count) >= np.float32(actual.unbooked_share)
        return {
            "booked_s": booked_s,
            "actual_s": actual_s,
            "type_id": type_id,
            "zone_id": self._cells.zone_id[cell],
            "participants_booked": booked,
            "participants_actual": come,
            "major": self._major[type_id],
            "in_schedule": entered,
            "happens": ~cancelled,
            "cancel_known_s": known_s,
        }
