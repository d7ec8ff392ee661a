"""From a configuration to a plan: the one place where seasons, planner and twin's terms meet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.config.strict import ConfigError
from engine.model import FloatArray, ServiceSpec
from engine.planning import bottleneck
from engine.planning.advice import Advice, advise
from engine.planning.bottleneck import BusiestDate, Rung, Variation
from engine.planning.needs import Horizon, Paths, staffing
from engine.planning.optimise import Alternatives, alternatives
from engine.planning.paths import ExpectedDates, expect, paths
from engine.planning.profile import BIN_S, DAY_S, Profile
from engine.planning.season_plan import SeasonPlan, Terms, plan_season
from engine.prediction.wedding_counts import ExpectedCounts, UpdatedCounts, update
from scenarios.seasons.config import SeasonsConfig
from scenarios.seasons.years import generate
from scenarios.streams import Streams
from scenarios.weddings.config import DemandConfig
from twin.plan.config import HISTORY_YEARS, PlanConfig
from twin.plan.history import SeasonsSoFar, known_at
from twin.plan.horizon import dates_from, horizon_of, peak_day, profiles_of

LEAST_DRAWN = 100
"""Weddings at once in the seasons that are drawn: fewer would teach nothing."""
STAGES = 4
"""Steps that `make` reports: seasons, forecast, purchase, limits."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """Everything that is known of a plan.

    `scale` is the size of the platform over that of the seasons that were drawn; `users` (dates,)
    are the registered users over those of the configuration.  `busiest` is the number of the
    date on which most weddings are expected.
    """

    config: PlanConfig
    specs: tuple[ServiceSpec, ...]
    dates: tuple[dt.date, ...]
    so_far: SeasonsSoFar
    expected: ExpectedDates
    counts: UpdatedCounts
    scale: float
    users: FloatArray
    horizon: Horizon
    paths: Paths
    terms: Terms
    season: SeasonPlan
    alternatives: Alternatives
    advice: tuple[Advice, ...]
    busiest: int
    peak: BusiestDate
    ladder: tuple[Rung, ...]


def make(config: PlanConfig, advance: Callable[[int], None]) -> Planned:
    """Work out the plan; `advance` is told how many of `STAGES` are done.

    Raises ConfigError where the seasons cannot be drawn or hold no weddings.
    """
    specs = config.platform.specs()
    plan = config.plan
    dates = dates_from(plan.date, plan.months)
    config = config.model_copy(update={"seasons": _seasons_config(config, dates)})
    streams = Streams(config.seed)
    try:
        seasons = generate(config.seasons, config.population, config.demand, streams)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    earlier = [date for date in seasons.days.dates if date < plan.date]
    profiles = profiles_of([*earlier, *dates], config.population, config.demand, specs)
    so_far = known_at(seasons, config, dates, profiles)
    if so_far.past.weddings[-365:].sum() <= 0.0:
        raise ConfigError("population: no wedding takes place in the year before plan.date")
    advance(1)
    expected = expect(so_far.past, so_far.coming, plan.growth_sd)
    counts = update(expected.counts, so_far.booked, so_far.lead_days, so_far.curve)
    busiest = _busiest_last_year(so_far, expected.counts, earlier, profiles)
    scale = config.population.simultaneous / busiest
    users = np.exp(expected.counts.growth_per_year * (so_far.coming.year - so_far.coming.year[0]))
    of_dates = [profiles[date] for date in dates]
    horizon = horizon_of(dates, of_dates, users, specs)
    drawn, others = (
        paths(counts, expected, plan.paths, streams(f"plan.{name}"), scale=scale)
        for name in ("paths", "judging")
    )
    advance(2)
    terms = _terms(config, specs)
    season = plan_season(specs, horizon, drawn, others, settings=config.engine, terms=terms)
    advance(3)
    busiest = int(np.argmax(counts.median))
    response = np.exp(expected.log_response[busiest])
    peak = peak_of(
        config, specs, dates, scale * counts.median, at=busiest, users=users, response=response
    )
    spread = expected.response_sd[expected.response_sd > 0.0]
    variation = Variation(
        day_sigma=float(spread.mean()) if len(spread) else 0.0,
        noise_sigma=config.demand.noise_sigma,
        noise_time_s=config.demand.noise_time_s,
    )
    staffings = {
        spec.name: staffing(spec, specs, config.engine, terms.noise_sigma) for spec in specs
    }
    ladder = bottleneck.ladder(specs, staffings, peak, variation, budget=config.budget.budget())
    advance(4)
    return Planned(
        config=config,
        specs=specs,
        dates=tuple(dates),
        so_far=so_far,
        expected=expected,
        counts=counts,
        scale=scale,
        users=users,
        horizon=horizon,
        paths=drawn,
        terms=terms,
        season=season,
        alternatives=alternatives(season.today, season.hours),
        advice=advise(specs, season, terms, config.engine.capacity.zones),
        busiest=busiest,
        peak=peak,
        ladder=ladder,
    )


def peak_of(
    config: PlanConfig,
    specs: Sequence[ServiceSpec],
    dates: Sequence[dt.date],
    weddings: FloatArray,
    *,
    at: int,
    users: FloatArray,
    response: FloatArray,
) -> BusiestDate:
    """Date number `at` with people who respond by the factors `response` (services,)."""
    demand = responding(config, specs, response, float(users[at]))
    near = [dates[max(at - 1, 0)], dates[at], dates[min(at + 1, len(dates) - 1)]]
    profiles = profiles_of(near, config.population, demand, specs)
    return peak_day(
        near,
        [profiles[date] for date in near],
        weddings[[max(at - 1, 0), at, min(at + 1, len(dates) - 1)]],
        np.ones(3),
        at=1,
        specs=specs,
    )


def responding(
    config: PlanConfig, specs: Sequence[ServiceSpec], response: FloatArray, users: float
) -> DemandConfig:
    """The demand of a day on which people make `response` (services,) times the usual requests.

    `users` are the registered users over those configured.
    """
    raw: Any = config.demand.model_dump(mode="json")
    factor = {spec.name: float(value) for spec, value in zip(specs, response, strict=True)}

    def scaled(figure: dict[str, Any], by: float) -> dict[str, Any]:
        return {"rate": figure["rate"] * by, "range": [bound * by for bound in figure["range"]]}

    raw["rates"] = {
        service: {
            role: {phase: scaled(figure, factor[service]) for phase, figure in phases.items()}
            for role, phases in roles.items()
        }
        for service, roles in raw["rates"].items()
    }
    background = raw["background"]
    background["users"] = min(round(background["users"] * users), 1_000_000_000)
    background["requests_per_user_day"] = {
        service: scaled(figure, factor[service])
        for service, figure in background["requests_per_user_day"].items()
    }
    return DemandConfig.model_validate(raw)


def _seasons_config(config: PlanConfig, dates: Sequence[dt.date]) -> SeasonsConfig:
    """Three years before the year of planning, and the years that are planned for."""
    first = dates[0].year - HISTORY_YEARS
    return config.seasons.model_copy(
        update={
            "first_year": first,
            "years": dates[-1].year - first + 1,
            "drawn": min(max(config.population.simultaneous, LEAST_DRAWN), config.plan.drawn),
        }
    )


def _busiest_last_year(
    so_far: SeasonsSoFar,
    expected: ExpectedCounts,
    earlier: Sequence[dt.date],
    profiles: dict[dt.date, Profile],
) -> float:
    """Weddings at once, of those drawn, at the busiest instant of the year before, as usual.

    Dates that holidays make special do not count.
    """
    last = list(earlier)[-len(expected.last_year) :]
    ordinary = so_far.past.dates.kind[-len(last) :] == 0
    at = int(np.argmax(np.where(ordinary, expected.last_year, 0.0)))
    bins = int(DAY_S / BIN_S)
    curve = expected.last_year[at] * profiles[last[at]].in_progress.copy()
    if at > 0:
        curve[:bins] += expected.last_year[at - 1] * profiles[last[at - 1]].in_progress[bins:]
    if at + 1 < len(last):
        curve[bins:] += expected.last_year[at + 1] * profiles[last[at + 1]].in_progress[:bins]
    return float(curve.max())


def _terms(config: PlanConfig, specs: Sequence[ServiceSpec]) -> Terms:
    return Terms(
        risk=config.plan.risk,
        quota=config.budget.budget().instances,
        offers={spec.name: config.pricing.offer(spec.name, spec.price_per_hour) for spec in specs},
        sizes=config.pricing.sizes,
        overhead=config.pricing.overhead.rate,
        overhead_range=config.pricing.overhead.range,
        zone_usd_per_hour=config.pricing.zone_usd_per_hour.rate,
        zone_range=config.pricing.zone_usd_per_hour.range,
        noise_sigma=config.demand.noise_sigma,
    )
