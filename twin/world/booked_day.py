"""A scenario's booked weddings as the schedule of a live run."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from engine.adapters.blocking import BlockingBookings, Booked
from engine.adapters.bookings_compressed import Compressed
from engine.config.run import Seed
from engine.config.strict import ConfigError, Strict, validated
from engine.model import ServiceSpec
from engine.prediction.event_model import EventModel
from engine.record.schema.summary import Noun, PlayedDay
from scenarios.faults.times import resolve_at
from scenarios.streams import Streams
from scenarios.weddings import demand as demands
from scenarios.weddings.config import ROLES, DemandConfig, PopulationConfig
from scenarios.weddings.drawing import TYPES, mean_count, phase_offsets_s
from scenarios.weddings.population import Population, generate, schedule
from twin.world.feed import ScheduleFeed, foreknown_weddings
from twin.world.script import major_ceremonies

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
DAY_S = 86_400


class ScheduleConfig(Strict):
    """Which part of the scenario's day is when, how fast and how much of it."""

    starts_at: Annotated[float, Field(ge=0.0)] | None = None
    from_: float | str | None = Field(default=None, alias="from")
    speed: Annotated[float, Field(ge=1.0, le=3600.0)] = 1.0
    scale: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0

    @model_validator(mode="after")
    def _moved(self) -> ScheduleConfig:
        if self.from_ is None and (self.speed != 1.0 or self.starts_at is not None):
            raise ValueError(
                "schedule.from: is missing; with a speed or a time to start at, say what of the "
                "day begins then, such as schedule.from=peak-9000"
            )
        return self


class RehearsalConfig(Strict):
    """What of the tree the weddings of a rehearsal are made of."""

    seed: Seed
    population: PopulationConfig
    demand: DemandConfig
    schedule: ScheduleConfig = ScheduleConfig()


class UsualConfig(Strict):
    """What of the tree says how a wedding becomes load."""

    population: PopulationConfig
    demand: DemandConfig


@dataclass(frozen=True, slots=True)
class DayClock:
    """The time of the day that is played, beside wall time (both epoch seconds)."""

    anchor_s: float = 0.0
    origin_s: float = 0.0
    speed: float = 1.0

    def of_day(self, wall_s: float) -> float:
        """What time of the day it is."""
        return self.origin_s + (wall_s - self.anchor_s) * self.speed

    def wall(self, day_s: float) -> float:
        """When that time of the day is."""
        return self.anchor_s + (day_s - self.origin_s) / self.speed


class BookedDay(BlockingBookings):
    """The schedule, and what of it there is to carry between two times (scaled).

    `awaited_s`: when the major ones among these are booked to begin (epoch seconds, wall time).
    """

    def __init__(
        self,
        source: Booked,
        population: Population,
        clock: DayClock,
        scale: float,
        *,
        awaited_s: tuple[float, ...],
    ) -> None:
        super().__init__(source)
        self.source = source
        self.awaited_s = awaited_s
        self._population = population
        self._clock = clock
        self._scale = scale

    def played(self, from_s: float, to_s: float) -> PlayedDay:
        """What was booked, as known at the end, to be in progress at some time between the two."""
        begin_s, end_s = self._clock.of_day(from_s), self._clock.of_day(to_s)
        booked = schedule(self._population, end_s).phase_start_s
        there = np.count_nonzero((booked[:, 0] < end_s) & (booked[:, -1] > begin_s))
        return PlayedDay(
            events=round(there * self._scale),
            booked=len(booked),
            from_at=_iso(begin_s),
            to_at=_iso(end_s),
            speed=self._clock.speed,
            scale=self._scale,
        )


def connect(
    specs: Sequence[ServiceSpec],
    begins_s: float,
    *,
    seed: int,
    population: Mapping[str, Any],
    demand: Mapping[str, Any],
    schedule: Mapping[str, Any],
    trace: Mapping[str, Any] | None = None,
) -> BookedDay:
    """The bookings of a live run, of these keys of its tree; raises ConfigError naming them."""
    if trace is not None:
        raise ConfigError(
            "scenario: it plays a recorded trace, which only the twin can; give one with weddings, "
            "such as scenario=june_peak"
        )
    given = {"seed": seed, "population": population, "demand": demand, "schedule": schedule}
    return booked_day(validated(RehearsalConfig, given), tuple(specs), begins_s)


def booked_day(config: RehearsalConfig, specs: tuple[ServiceSpec, ...], now_s: float) -> BookedDay:
    """What the scenario has booked, shown as `config.schedule` says; begins at `now_s`.

    Raises ValueError naming the key that is wrong.
    """
    streams = Streams(config.seed)
    population = generate(config.population, streams)
    names = tuple(spec.name for spec in specs)
    response = demands.response(config.demand, config.population, names)
    feed = ScheduleFeed(foreknown_weddings(population, response), specs)
    wanted = config.schedule
    every = max(round(1.0 / wanted.scale), 1) if wanted.scale < 1.0 else 1
    awaited_s = major_ceremonies(population, config.population, population.in_schedule)[::every]
    if wanted.from_ is None and wanted.scale == 1.0:
        return BookedDay(
            feed, population, DayClock(), wanted.scale, awaited_s=tuple(awaited_s.tolist())
        )
    origin_s = anchor_s = population.start_s
    if wanted.from_ is not None:
        # The realised day tells when its peak is, so that the load can begin at the same moment;
        # nothing else of it comes near the engine.
        plain = demands.realise(population, config.demand, streams)
        at = _seconds(wanted.from_, population.start_s)
        try:
            origin_s = population.start_s + resolve_at(at, plain)
        except ValueError as error:
            raise ValueError(f"schedule.from: {error}") from None
        anchor_s = now_s if wanted.starts_at is None else wanted.starts_at
    clock = DayClock(anchor_s, origin_s, wanted.speed)
    return BookedDay(
        Compressed(
            feed, anchor_s=anchor_s, origin_s=origin_s, speed=wanted.speed, scale=wanted.scale
        ),
        population,
        clock,
        wanted.scale,
        awaited_s=tuple(clock.wall(at_s) for at_s in awaited_s.tolist()),
    )


def usual(
    services: Sequence[str],
    *,
    population: Mapping[str, Any],
    demand: Mapping[str, Any],
) -> EventModel:
    """How a wedding becomes load, as a scenario assumes it: for a feed until there is a history.

    Raises ConfigError naming the keys of the tree.
    """
    given = {"population": population, "demand": demand}
    config = validated(UsualConfig, given)
    offsets_s = phase_offsets_s(config.population)
    kinds = [config.population.types[kind] for kind in TYPES]
    return EventModel(
        noun=Noun().many,
        phases=config.population.phase_names,
        offsets_s=tuple(float(offset_s) for offset_s in offsets_s),
        roles=ROLES,
        usual=(
            2.0,
            sum(kind.share * mean_count(kind.guests) for kind in kinds),
            sum(kind.share * mean_count(kind.vendors) for kind in kinds),
            sum(kind.share * kind.planners for kind in kinds),
        ),
        response=demands.response(config.demand, config.population, tuple(services)),
    )


def _iso(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat(timespec="seconds")


def _seconds(at: float | str, start_s: float) -> float | str:
    """Seconds from the window's start for a time of the day (UTC) or a number; else as it is."""
    if isinstance(at, str):
        clock = _CLOCK.fullmatch(at)
        if clock is not None:
            of_day = 3600 * int(clock[1]) + 60 * int(clock[2])
            return (of_day - start_s % DAY_S) % DAY_S
        try:
            at = float(at)
        except ValueError:
            return at
    if at < 0.0:
        raise ValueError(f"schedule.from: {at:g} is not allowed (at least 0)")
    return at
