"""A scenario's booked weddings as the schedule of a live run."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.adapters.blocking import Booked
from engine.adapters.bookings_compressed import Compressed
from engine.config.live import LiveConfig
from engine.model import ServiceSpec
from scenarios.faults.kinds import resolve_at
from scenarios.streams import Streams
from scenarios.weddings import demand as demands
from scenarios.weddings.population import generate, schedule
from twin.world.feed import ScheduleFeed, known_weddings
from twin.world.script import major_ceremonies

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class BookedDay:
    """The schedule, and how many weddings of it there are to carry (scaled).

    `awaited_s`: when the major ones among these are booked to begin (epoch seconds, wall time).
    """

    source: Booked
    weddings: int
    awaited_s: tuple[float, ...]


def booked_day(config: LiveConfig, specs: tuple[ServiceSpec, ...], now_s: float) -> BookedDay:
    """What the scenario has booked, shown as `config.schedule` says; begins at `now_s`.

    Raises ValueError naming the key that is wrong.
    """
    streams = Streams(config.seed)
    population = generate(config.population, streams)
    names = tuple(spec.name for spec in specs)
    response = demands.response(config.demand, config.population, names)
    feed = ScheduleFeed(known_weddings(population, response), specs)
    wanted = config.schedule
    booked = len(schedule(population, population.start_s).major)
    weddings = max(round(booked * wanted.scale), 1)
    every = max(round(1.0 / wanted.scale), 1) if wanted.scale < 1.0 else 1
    awaited_s = major_ceremonies(population, config.population, population.in_schedule)[::every]
    if wanted.from_ is None and wanted.scale == 1.0:
        return BookedDay(feed, weddings, tuple(awaited_s.tolist()))
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
    return BookedDay(
        Compressed(
            feed, anchor_s=anchor_s, origin_s=origin_s, speed=wanted.speed, scale=wanted.scale
        ),
        weddings,
        tuple((anchor_s + (awaited_s - origin_s) / wanted.speed).tolist()),
    )


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
