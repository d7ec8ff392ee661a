"""What happens in a run, wherever it comes from: weddings drawn from the seed, or a recorded trace.

A `Script` keeps apart what really comes (`demand`, for the services alone) and what may be known
beforehand (`bookings`, `response`, `base`, of which the schedule feed makes the engine's outlook).
World, recorder and summary do not ask which kind of script it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from engine.baselines.target_tracking import History
from engine.forecast.outlook import Grid
from engine.model import FloatArray, Response, Schedule, ServiceSpec
from scenarios import demand as demands
from scenarios.demand import Demand
from scenarios.population import Population, cancellations, generate, schedule
from twin.config import RunConfig
from twin.history import recall
from twin.streams import Streams


class Bookings(Protocol):
    """Events booked beforehand, as known at a time (epoch seconds)."""

    def booked(self, known_at_s: float) -> Schedule:
        """What is in the schedule at `known_at_s`."""
        ...

    def called_off(self, after_s: float, until_s: float) -> Schedule:
        """What left the schedule in (after_s, until_s]."""
        ...


@dataclass(frozen=True, slots=True)
class Noun:
    """What reports call one event, and several."""

    one: str
    many: str


WEDDING = Noun("wedding", "weddings")


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A window of `duration_s` seconds from `start_s` (epoch seconds).

    `demand` is what comes if no fault adds to it.  `events` counts those that really take place in
    the window, `major_s` (m,) holds the booked starts of the major ones among them, rising.
    `base` gives, for a grid, the expected requests/s (response's services, bins) that enter
    without any event, on top of `response`'s own background; None: nothing.
    """

    start_s: float
    duration_s: int
    noun: Noun
    phases: tuple[str, ...]
    demand: Demand
    events: int
    major_s: FloatArray
    bookings: Bookings
    response: Response
    base: Callable[[Grid], FloatArray] | None
    history: Callable[[], History]


def script(config: RunConfig, specs: tuple[ServiceSpec, ...], streams: Streams) -> Script:
    """The script of `config`; raises ValueError where it cannot be written."""
    return weddings(config, specs, streams)


def weddings(config: RunConfig, specs: tuple[ServiceSpec, ...], streams: Streams) -> Script:
    """A day of weddings, all drawn from `streams`."""
    population = generate(config.population, streams)
    names = tuple(spec.name for spec in specs)
    return Script(
        start_s=population.start_s,
        duration_s=population.duration_s,
        noun=WEDDING,
        phases=population.phases,
        demand=demands.realise(population, config.demand, streams),
        events=population.in_window,
        major_s=_major_ceremonies(population, config),
        bookings=Weddings(population),
        response=demands.response(config.demand, config.population, names),
        base=None,
        history=lambda: recall(config.population, config.demand, specs, streams),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Weddings:
    """The schedule of a population."""

    population: Population

    def booked(self, known_at_s: float) -> Schedule:
        """The weddings entered and not known to be cancelled at `known_at_s`."""
        return schedule(self.population, known_at_s)

    def called_off(self, after_s: float, until_s: float) -> Schedule:
        """The weddings whose cancellation becomes known in between."""
        return cancellations(self.population, after_s, until_s)


def _major_ceremonies(population: Population, config: RunConfig) -> FloatArray:
    """Booked ceremonies, inside the window, of the major weddings that take place as booked."""
    offsets = [phase.start_min for phase in config.population.phases]
    ceremony = offsets.index(0) if 0 in offsets else 0
    rows = population.major & population.in_schedule & population.happens
    at_s = population.booked_s[rows, ceremony].astype(np.float64)
    inside = at_s[(at_s >= 0.0) & (at_s < population.duration_s)]
    return np.sort(inside) + population.start_s
