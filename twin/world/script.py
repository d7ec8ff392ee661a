"""What happens in a run, wherever it comes from: weddings drawn from the seed, or a recorded trace.

A `Script` keeps apart what really comes (`demand`, for the services alone) and what may be known
beforehand (`foreknowledge`, of which the schedule feed makes the engine's outlook).  World,
recorder and summary do not ask which kind of script it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.controllers.target_tracking import History
from engine.forecast.outlook import Grid
from engine.model import Calendar, FloatArray, Response, Schedule, ServiceSpec
from engine.prediction.expectation import LAG_S, Expectation, Span, learn
from engine.record.schema.summary import Noun, ReplayedTrace
from scenarios.streams import Streams
from scenarios.traces import replay as replays
from scenarios.traces.config import TraceConfig
from scenarios.traces.replay import Replay
from scenarios.weddings import demand as demands
from scenarios.weddings.config import PopulationConfig
from scenarios.weddings.demand import Demand
from scenarios.weddings.population import Population, generate
from twin.config import RunConfig
from twin.world.carried import CeremonyTimes, ceremony_times
from twin.world.feed import Changes, Foreknowledge, foreknown_weddings
from twin.world.history import recall, recall_trace


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """A window of `duration_s` seconds from `start_s` (epoch seconds).

    `demand` is what comes if no fault adds to it.  `events` counts those that really take place in
    the window; `awaited_s` (m,) holds the booked starts of those for which the capacity should
    stand ready, rising: major weddings, and all events of a trace's calendar.
    """

    start_s: float
    duration_s: int
    noun: Noun
    phases: tuple[str, ...]
    demand: Demand
    events: int
    awaited_s: FloatArray
    foreknowledge: Foreknowledge
    history: Callable[[], History]
    ceremonies: Mapping[str, CeremonyTimes] = field(default_factory=dict)
    """What must not be cut, by phase, of the phases that the platform tells of."""
    trace: ReplayedTrace | None = None
    """The file behind it, and how that was understood."""


def script(config: RunConfig, specs: tuple[ServiceSpec, ...], streams: Streams) -> Script:
    """The script of `config`; raises ValueError where it cannot be written."""
    if config.trace is not None:
        return replayed(config, config.trace, specs, streams)
    return weddings(config, specs, streams)


def noun(config: RunConfig) -> Noun:
    """What the events of `config` are called."""
    if config.trace is None:
        return Noun()
    return Noun(one=config.trace.event.one, many=config.trace.event.many)


def weddings(config: RunConfig, specs: tuple[ServiceSpec, ...], streams: Streams) -> Script:
    """A day of weddings, all drawn from `streams`."""
    population = generate(config.population, streams)
    names = tuple(spec.name for spec in specs)
    return Script(
        start_s=population.start_s,
        duration_s=population.duration_s,
        noun=noun(config),
        phases=population.phases,
        demand=demands.realise(population, config.demand, streams),
        events=population.in_window,
        awaited_s=major_ceremonies(
            population, config.population, population.in_schedule & population.happens
        ),
        foreknowledge=foreknown_weddings(
            population, demands.response(config.demand, config.population, names)
        ),
        history=lambda: recall(config.population, config.demand, specs, streams),
        ceremonies={
            service.carries.phase: ceremony_times(population, service.carries.phase)
            for service in config.platform.services.values()
            if service.carries is not None
        },
    )


def replayed(
    config: RunConfig, trace: TraceConfig, specs: tuple[ServiceSpec, ...], streams: Streams
) -> Script:
    """A window of a recorded trace; all beforehand is learned from what lies before the window."""
    replay = replays.load(trace)
    noise = config.demand
    demand = replays.realise(replay, trace, noise.noise_sigma, noise.noise_time_s, streams=streams)
    event = trace.event
    span = Span(60.0 * event.before_min, 60.0 * (event.length_min + event.after_min))
    expected = learn(replay.history, replay.calendar, span, trace.time_zone)
    names = tuple(spec.name for spec in specs)
    own = {name: learn(part.history, part.calendar, span, trace.time_zone)
           for name, part in replay.parts.items()}  # fmt: skip
    mix = _mix(trace, replay, names)

    def base(grid: Grid) -> FloatArray:
        if not own:
            return mix[:, None] * expected.base(_centres(grid))[None, :]
        idle = np.zeros(grid.bins)
        rows = [own[name].base(_centres(grid)) if name in own else idle for name in names]
        return np.stack(rows)

    starts_s, end_s = replay.calendar.start_s, replay.start_s + replay.duration_s
    inside = (starts_s >= replay.start_s) & (starts_s < end_s)
    return Script(
        start_s=replay.start_s,
        duration_s=replay.duration_s,
        noun=noun(config),
        phases=replays.phases(event),
        demand=demand,
        events=int(np.count_nonzero(inside)),
        awaited_s=starts_s[inside],
        foreknowledge=Foreknowledge(
            replay.start_s,
            replay.duration_s,
            noun(config),
            Fixtures(replay.calendar, expected, event.major_size or math.inf),
            _event_response(expected, names, mix),
            base,
        ),
        history=lambda: recall_trace(replay, mix, specs),
        trace=source(trace, replay),
    )


def _mix(trace: TraceConfig, replay: Replay, names: tuple[str, ...]) -> FloatArray:
    """Each service's share of the requests that enter; of the history's, with columns."""
    if not replay.parts:
        return np.array([trace.mix.get(name, 0.0) for name in names])
    usual = {name: float(np.nanmean(part.history.values)) for name, part in replay.parts.items()}
    total = sum(usual.values()) or 1.0
    return np.array([usual.get(name, 0.0) / total for name in names])


def source(trace: TraceConfig, replay: Replay) -> ReplayedTrace:
    """What the record says of the files that a replay comes from."""
    calendar = trace.calendar_file
    return ReplayedTrace(
        file=str(trace.file),
        time_zone=trace.time_zone,
        read_as=replay.read_as,
        calendar=None if calendar is None else str(calendar),
        calendar_read_as=replay.calendar_read_as,
    )


def _centres(grid: Grid) -> FloatArray:
    return grid.start_s + grid.bin_s * (np.arange(grid.bins, dtype=np.float64) + 0.5)


def _event_response(expected: Expectation, names: tuple[str, ...], mix: FloatArray) -> Response:
    """The learned effect of an event as rates of one "participant" of size 1."""
    return Response(
        services=names,
        rates=expected.effect[None, :, None] * mix[None, None, :],
        background=np.zeros((24, len(names))),
        lateness_mean_s=0.0,
        lateness_sd_s=LAG_S / 2.0,  # the effect's steps have no sharp edges
        turnout=1.0,
        unbooked_share=0.0,
        sigma=expected.sigma,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Fixtures:
    """A calendar of events, each as large as history lets expect on a day of its kind.

    Those of `major_size` (1: the usual size) and more are major.
    """

    calendar: Calendar
    expected: Expectation
    major_size: float

    def booked(self, known_at_s: float) -> Schedule:
        """The events that are in the calendar at `known_at_s`."""
        return self._schedule(self.calendar.known_s <= known_at_s)

    def changes(self, after_s: float, until_s: float) -> Changes:
        """The events that came into the calendar; it does not say when one left it."""
        known_s = self.calendar.known_s
        new = (known_s > after_s) & (known_s <= until_s)
        return Changes(came=self._schedule(new) if new.any() else None)

    def _schedule(self, rows: NDArray[np.bool_]) -> Schedule:
        starts_s, lags_s = self.calendar.start_s[rows], self.expected.lags_s
        size = self.expected.weight(starts_s) * self.calendar.size[rows]
        return Schedule(
            phases=tuple(f"{lag_s / 60.0:+.0f} min" for lag_s in lags_s[:-1]),
            roles=("event",),
            phase_start_s=starts_s[:, None] + lags_s[None, :],
            participants=size[:, None],
            major=self.calendar.size[rows] >= self.major_size,
        )


def major_ceremonies(
    population: Population, config: PopulationConfig, which: NDArray[np.bool_]
) -> FloatArray:
    """Booked ceremonies, inside the window, of the major weddings among `which` (epoch seconds)."""
    offsets = [phase.start_min for phase in config.phases]
    ceremony = offsets.index(0) if 0 in offsets else 0
    at_s = population.booked_s[population.major & which, ceremony].astype(np.float64)
    inside = at_s[(at_s >= 0.0) & (at_s < population.duration_s)]
    return np.sort(inside) + population.start_s
