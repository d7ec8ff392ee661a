"""The weeks before, for controllers that learn from them: other draws of the same weekday.

Of a trace it is the weeks before themselves, as far as it reaches back.

The number of weddings follows the calendar (share of the month, share of the weekday); guests,
lateness and everything else is drawn anew, from streams of its own.  There are no faults in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from engine.controllers.target_tracking import HOUR_S, History
from engine.decide.callgraph import with_calls
from engine.model import FloatArray, Series, ServiceSpec
from scenarios.streams import Streams
from scenarios.traces.replay import Replay
from scenarios.weddings import demand as demands
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.population import DAY_S, day_weight, generate

WEEKS = 2


def recall(
    population: PopulationConfig,
    demand: DemandConfig,
    specs: Sequence[ServiceSpec],
    streams: Streams,
) -> History:
    """Hourly loads of the same weekday in the `WEEKS` weeks before the run."""
    weeks = [
        _hourly(_earlier(population, week), demand, specs, streams.child(f"history.{week}"))
        for week in range(1, WEEKS + 1)
    ]
    load = {spec.name: np.stack([week[i] for week in weeks]) for i, spec in enumerate(specs)}
    return History(population.start_s, load)


def _earlier(population: PopulationConfig, weeks: int) -> PopulationConfig:
    date = population.date - dt.timedelta(weeks=weeks)
    share = day_weight(population, date) / day_weight(population, population.date)
    simultaneous = max(round(population.simultaneous * share), 1)
    return population.model_copy(update={"date": date, "simultaneous": simultaneous})


def _hourly(
    population: PopulationConfig,
    demand: DemandConfig,
    specs: Sequence[ServiceSpec],
    streams: Streams,
) -> FloatArray:
    """Mean arrivals (1/s) at each service by hour, calls between services included."""
    realised = demands.realise(generate(population, streams), demand, streams)
    index = {spec.name: i for i, spec in enumerate(specs)}
    seconds = realised.rates.shape[1]
    hours = -(-seconds // int(HOUR_S))
    rates = np.zeros((len(specs), hours))
    for row, name in enumerate(realised.services):
        for hour in range(hours):
            part = realised.rates[row, hour * int(HOUR_S) : (hour + 1) * int(HOUR_S)]
            rates[index[name], hour] = part.mean()
    return with_calls(specs, rates)


def recall_trace(replay: Replay, mix: FloatArray, specs: Sequence[ServiceSpec]) -> History:
    """Hourly loads of the same window in the weeks before it; of the day before if that is all.

    `mix` (services,) is each one's share of the requests that enter, where they have no loads of
    their own.
    """
    hours = -(-replay.duration_s // int(HOUR_S))
    if replay.parts:
        own = {name: _weeks_before(part, hours) for name, part in replay.parts.items()}
        many = min(len(weeks) for weeks in own.values())
        idle = [np.zeros(hours)] * many
        entering = [
            np.stack([own.get(spec.name, idle)[week] for spec in specs]) for week in range(many)
        ]
    else:
        entering = [mix[:, None] * week for week in _weeks_before(replay, hours)]
    loads = [with_calls(specs, rates) for rates in entering]
    return History(
        replay.start_s,
        {spec.name: np.stack([load[i] for load in loads]) for i, spec in enumerate(specs)},
    )


def _weeks_before(replay: Replay, hours: int) -> list[FloatArray]:
    """The hours of the window in the weeks before, one at least."""
    history = replay.history
    weeks = [_hours_before(history, replay.start_s - 7 * DAY_S * k, hours) for k in (1, 2)]
    if np.isnan(weeks[0]).any():
        days = -(-hours // 24)
        weeks = [_hours_before(history, replay.start_s - DAY_S * days, hours)]
    usual = float(np.nanmean(history.values))
    filled = [np.where(np.isnan(week), usual, week) for week in weeks if np.isfinite(week).any()]
    return filled or [np.full(hours, usual)]


def _hours_before(history: Series, start_s: float, hours: int) -> FloatArray:
    """Means of the hours from `start_s` on, NaN where nothing was measured."""
    means = np.full(hours, np.nan)
    for hour in range(hours):
        first = round((start_s + hour * HOUR_S - history.start_s) / history.step_s)
        last = max(round(first + HOUR_S / history.step_s), first + 1)
        part = history.values[max(first, 0) : max(last, 0)]
        if first >= 0 and len(part) and np.isfinite(part).any():
            means[hour] = np.nanmean(part)
    return means
