"""The weeks before, for controllers that learn from them: other draws of the same weekday.

The number of weddings follows the calendar (share of the month, share of the weekday); guests,
lateness and everything else is drawn anew, from streams of its own.  There are no faults in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np

from engine.baselines.target_tracking import HOUR_S, History
from engine.capacity import call_order
from engine.model import FloatArray, ServiceSpec
from scenarios import demand as demands
from scenarios.config import DemandConfig, PopulationConfig
from scenarios.population import day_weight, generate
from twin.streams import Streams

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
    for i in call_order(specs):
        for call in specs[i].calls:
            rates[index[call.service]] += rates[i] * call.per_request
    return rates
