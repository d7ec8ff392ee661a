"""From weddings to requests: what really arrives, and what history would have led to expect.

Demand is linear in people: so many requests a second for each person of a role in a phase.  Since
the number of people in each phase is a sum of steps, the whole day is one pass over the weddings
and one running sum over the seconds, whatever the number of weddings.

`realise` is the truth of one day: the table times a hidden factor of the day (people are a bit
more or less active than usual, each service on its own) times a slow noise.  `response` is the
table itself, as learned from earlier days: all that the engine may be given.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.model import Response
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import HOURS_PER_DAY, ROLES, DemandConfig, PopulationConfig
from scenarios.weddings.drawing import TYPES, mean_count
from scenarios.weddings.population import Population

HOUR_S = 3600
DAY_S = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """The realised load of a window, second by second (T ticks of 1 s from its start).

    `rates` (S, T) are mean first requests per second that users send to each of `services`;
    calls between services come on top of it.  `in_progress` (T,) counts weddings, `by_phase`
    (P, T) those in each phase.
    """

    services: tuple[str, ...]
    rates: NDArray[np.float64]
    in_progress: NDArray[np.int32]
    by_phase: NDArray[np.int32]


def realise(population: Population, config: DemandConfig, streams: StreamOf) -> Demand:
    """The load of `population`.

    `streams` is asked for "demand.day.<service>" and "demand.noise.<service>", so the noise of one
    service does not depend on which others there are.  Raises ValueError where the table of
    `config` does not name exactly the phases of the population.
    """
    table = rate_table(config, population.phases, config.services)
    levels = kernels.phase_levels(
        population.actual_s,
        population.participants_actual,
        population.happens,
        population.duration_s,
    )
    people, events = levels[:, :, :-1], levels[:, :, -1]
    shares = dict(zip(population.zones, population.zone_share.tolist(), strict=True))
    hourly = _background(config, config.services, shares, population.start_s)
    rates = _by_second(hourly, population.start_s, population.duration_s)
    for phase in range(len(population.phases)):
        rates += table[:, phase, :].T @ people[phase].T.astype(np.float64)
    persistence = math.exp(-1.0 / config.noise_time_s)
    for row, service in enumerate(config.services):
        day_z = float(streams(f"demand.day.{service}").standard_normal())
        noise_z = streams(f"demand.noise.{service}").standard_normal(population.duration_s)
        noise = kernels.autoregressive(noise_z, persistence, config.noise_sigma)
        noise += config.day_sigma * day_z
        noise -= (config.day_sigma**2 + config.noise_sigma**2) / 2.0  # the mean factor is 1
        rates[row] *= np.exp(noise)
    by_phase = events.astype(np.int32)
    return Demand(
        services=config.services,
        rates=rates,
        in_progress=by_phase.sum(axis=0, dtype=np.int32),
        by_phase=by_phase,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Makeup:
    """Whose requests they are, at every `every_s`-th second (M of them) from the window's start.

    `shares` (S, M, K) of each service's requests come from people of each of `kinds`, pairs of role
    and phase; they add up to 1 over the kinds where there is any request, else to 0.  The last kind
    is `BACKGROUND`.  `people` (M,) counts those who are at a wedding.
    """

    kinds: tuple[tuple[str, str], ...]
    shares: NDArray[np.float64]
    people: NDArray[np.int64]


BACKGROUND = ("couple", "planning")
"""Who asks without a wedding today: couples that plan one."""


def makeup(population: Population, config: DemandConfig, every_s: int = 60) -> Makeup:
    """Who is behind the load that `realise` gives for `population`."""
    table = rate_table(config, population.phases, config.services)
    levels = kernels.phase_levels(
        population.actual_s,
        population.participants_actual,
        population.happens,
        population.duration_s,
    )[:, ::every_s, :-1].astype(np.float64)
    zone_shares = dict(zip(population.zones, population.zone_share.tolist(), strict=True))
    hourly = _background(config, config.services, zone_shares, population.start_s)
    background = _by_second(hourly, population.start_s, population.duration_s)[:, ::every_s]
    # (roles, phases, services) x (phases, times, roles) -> (services, times, roles, phases)
    rates = np.einsum("rps,ptr->strp", table, levels).reshape(*background.shape, -1)
    rates = np.concatenate([rates, background[:, :, None]], axis=2)
    total = rates.sum(axis=2, keepdims=True)
    return Makeup(
        kinds=(*((role, phase) for role in ROLES for phase in population.phases), BACKGROUND),
        shares=np.divide(rates, total, out=np.zeros_like(rates), where=total > 0.0),
        people=levels.sum(axis=(0, 2)).astype(np.int64),
    )


def arrivals(demand: Demand, streams: StreamOf) -> NDArray[np.float64]:
    """First requests that arrive in each second: Poisson counts (S, T), whole numbers as floats.

    `streams` is asked for "demand.arrivals.<service>".
    """
    counts = np.empty_like(demand.rates)
    for row, service in enumerate(demand.services):
        counts[row] = streams(f"demand.arrivals.{service}").poisson(demand.rates[row])
    return counts


def response(
    config: DemandConfig, population_config: PopulationConfig, services: tuple[str, ...]
) -> Response:
    """What earlier weddings taught about load: the engine's prior, without any draw of today.

    One column for each of `services`; those that users do not enter at are 0.  Raises ValueError
    where a service of `config` is not among `services`.
    """
    unknown = [service for service in config.services if service not in services]
    if unknown:
        raise ValueError(
            f"demand.rates: {', '.join(unknown)} is not a service of the platform "
            f"({', '.join(services)})"
        )
    actual = population_config.actual
    phases = len(population_config.phases)
    # Every boundary carries the delay of the day, boundary k also those of the k phases before.
    overrun_variance_s2 = (60.0 * actual.overrun_sd_min) ** 2 * phases / 2.0
    return Response(
        services=services,
        rates=rate_table(config, population_config.phase_names, services),
        background=_background(
            config, services, population_config.time_zones, population_config.start_s
        ),
        lateness_mean_s=60.0 * actual.late_start.mean_min,
        lateness_sd_s=math.sqrt((60.0 * actual.late_start.sd_min) ** 2 + overrun_variance_s2),
        turnout=_turnout(population_config),
        unbooked_share=config.usual_unbooked_share,
        sigma=math.hypot(config.day_sigma, config.noise_sigma),
    )


def rate_table(
    config: DemandConfig, phases: tuple[str, ...], services: tuple[str, ...]
) -> NDArray[np.float64]:
    """Requests/s per participant (roles, phases, services); 0 for services not in `config`."""
    table = np.zeros((len(ROLES), len(phases), len(services)))
    for service, roles in config.rates.items():
        for role, by_phase in roles.items():
            if set(by_phase) != set(phases):
                raise ValueError(
                    f"demand.rates.{service}.{role}: has the phases {', '.join(by_phase)}, "
                    f"the population has {', '.join(phases)}"
                )
            for phase, figure in by_phase.items():
                position = ROLES.index(role), phases.index(phase), services.index(service)
                table[position] = figure.rate
    return table


def background_rates(
    config: DemandConfig,
    services: tuple[str, ...],
    zone_shares: NDArray[np.float64],
    offsets_s: NDArray[np.int32],
) -> NDArray[np.float64]:
    """Requests/s of everybody else by hour of the day, UTC: (24, services).

    `zone_shares` (Z,) add up to 1, `offsets_s` (Z,) is the local time of each zone minus UTC.
    """
    local = np.array(config.background.local_hours)
    local = local / local.mean()
    by_hour = np.zeros(HOURS_PER_DAY)
    for share, offset_s in zip(zone_shares.tolist(), offsets_s.tolist(), strict=True):
        by_hour += share * np.roll(local, -round(offset_s / HOUR_S))
    result = np.zeros((HOURS_PER_DAY, len(services)))
    for service, figure in config.background.requests_per_user_day.items():
        mean_rate = config.background.users * figure.rate / DAY_S
        result[:, services.index(service)] = mean_rate * by_hour
    return result


def _background(
    config: DemandConfig,
    services: tuple[str, ...],
    zone_shares: Mapping[str, float],
    start_s: float,
) -> NDArray[np.float64]:
    """`background_rates` with the clocks as they are at `start_s`."""
    at = dt.datetime.fromtimestamp(start_s, tz=dt.UTC)
    offsets = [at.astimezone(ZoneInfo(name)).utcoffset() or dt.timedelta() for name in zone_shares]
    total = math.fsum(zone_shares.values())
    return background_rates(
        config,
        services,
        np.array([share / total for share in zone_shares.values()]),
        np.array([offset.total_seconds() for offset in offsets], dtype=np.int32),
    )


def _by_second(hourly: NDArray[np.float64], start_s: float, duration_s: int) -> NDArray[np.float64]:
    """(services, T) from (24, services): straight lines between the middles of the hours."""
    hour = ((start_s + np.arange(duration_s)) % DAY_S) / HOUR_S
    middles = np.arange(HOURS_PER_DAY) + 0.5
    return np.stack([np.interp(hour, middles, column, period=HOURS_PER_DAY) for column in hourly.T])


def _turnout(config: PopulationConfig) -> float:
    """Share of all booked participants who come: guests may stay away, everybody else comes."""
    guests = others = 0.0
    for kind in TYPES:
        type_config = config.types[kind]
        guests += type_config.share * mean_count(type_config.guests)
        others += type_config.share * (2 + mean_count(type_config.vendors) + type_config.planners)
    return (guests * config.actual.turnout.mean + others) / (guests + others)
