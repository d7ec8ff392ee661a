"""A season's plan: limits that suffice at the accepted risk, and the cheapest way to pay for them.

For each service and instance size the need of every hour follows from the engine's own sizing, so
the plan buys what the engine will ask for.  Limits and base are worked out on one set of paths and
judged on another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.planning.needs import (
    Horizon,
    Paths,
    WholeNumbers,
    joint_peaks,
    load_of,
    monthly_highest,
    staffing,
)
from engine.planning.optimise import CapacityPlan, Option, cheapest, exceeding, option
from engine.planning.purchase import Offer, Usage, cost_by_path, usage
from engine.settings import EngineSettings

OVERHEADS = 5
"""Steps over the range of what the system takes of an instance."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the plan has to keep to and what can be bought.

    `risk`: accepted probability that in a month any service needs more than its limit.  `offers` by
    service, of today's size; `sizes` are multiples of it, of which each loses
    `overhead` (a share of today's slots) to what is no work; `quota` instances of all services;
    a further zone costs `zone_usd_per_hour`.  Ranges are those that are plausible.
    """

    risk: float
    quota: float
    offers: Mapping[str, Offer]
    sizes: tuple[float, ...]
    overhead: float
    overhead_range: tuple[float, float]
    zone_usd_per_hour: float
    zone_range: tuple[float, float]
    noise_sigma: float


@dataclass(frozen=True, slots=True, eq=False)
class SeasonPlan:
    """The plan and what it was chosen from.

    `plan` is the cheapest within the quota (`free` without regard to it; both are the same where it
    does not bind; `fits` says whether anything fits into it at all), `today` keeps today's instance
    sizes, `wider` has one zone more.  `judged` is the use of the chosen options on other paths and
    `exceeded` (months,) the share of those in which a limit is exceeded.  `size_pays` says of each
    changed size in what share of the paths it is the cheaper one, over the plausible range of what
    the system itself takes of an instance.  `hours` is the horizon's.
    """

    hours: float
    plan: CapacityPlan
    free: CapacityPlan
    fits: bool
    today: Mapping[str, Option]
    wider: CapacityPlan
    judged: Mapping[str, Usage]
    exceeded: FloatArray
    size_pays: Mapping[str, float]


def plan_season(
    specs: Sequence[ServiceSpec],
    horizon: Horizon,
    paths: Paths,
    others: Paths,
    *,
    settings: EngineSettings,
    terms: Terms,
) -> SeasonPlan:
    """The cheapest plan that keeps to `terms`, judged on the paths `others`."""
    wide = _with_zones(settings, settings.capacity.zones + 1)
    options: dict[str, list[Option]] = {}
    wider: dict[str, list[Option]] = {}
    hours = float(horizon.hours)
    tops = [monthly_highest(load_of(i, horizon, paths), horizon) for i in range(len(specs))]
    peaks = joint_peaks(np.asarray(tops, dtype=np.float64), terms.risk)
    for i, spec in enumerate(specs):
        load = load_of(i, horizon, paths)
        options[spec.name] = _options(
            spec, specs, load, peaks[i], horizon=horizon, settings=settings, terms=terms
        )
        wider[spec.name] = _options(
            spec, specs, load, peaks[i], horizon=horizon, settings=wide, terms=terms
        )
    free = cheapest(options) or cheapest(_all_allowed(options))
    assert free is not None  # one option a service is always allowed without a quota
    within = cheapest(options, terms.quota) if math.isfinite(terms.quota) else free
    plan = within or free
    judged = {}
    for i, spec in enumerate(specs):
        factor = plan.chosen[spec.name].factor
        judged[spec.name] = _used(
            sized(spec, factor, terms, settings.capacity.zones),
            specs,
            load_of(i, horizon, others),
            peaks[i],
            horizon=horizon,
            settings=settings,
            terms=terms,
        )
    today = {
        name: next(choice for choice in each if choice.factor == 1.0)
        for name, each in options.items()
    }
    size_pays = {
        spec.name: _pays(
            spec,
            specs,
            load_of(i, horizon, others),
            peaks[i],
            horizon=horizon,
            settings=settings,
            terms=terms,
            sizes=(now, chosen),
        )
        for i, spec in enumerate(specs)
        if (chosen := plan.chosen[spec.name]) is not (now := today[spec.name])
    }
    more = cheapest(wider, terms.quota) or cheapest(_all_allowed(wider))
    assert more is not None
    return SeasonPlan(
        hours=hours,
        plan=plan,
        free=free,
        fits=within is not None,
        today=today,
        wider=more,
        judged=judged,
        exceeded=exceeding(plan.chosen, {name: used.highest for name, used in judged.items()}),
        size_pays=size_pays,
    )


def sized(spec: ServiceSpec, factor: float, terms: Terms, zones: int) -> ServiceSpec:
    """The service on instances `factor` times as large.

    Larger ones need no more of them than there are zones; smaller ones keep the number that
    redundancy asks for.
    """
    if factor == 1.0:
        return spec
    slots = spec.slots * (factor * (1.0 + terms.overhead) - terms.overhead)
    least = max(min(spec.min_instances, zones), math.ceil(spec.min_instances / max(factor, 1.0)))
    return replace(
        spec,
        slots=max(int(slots + 1e-9), 1),
        min_instances=least,
        price_per_hour=spec.price_per_hour * factor,
    )


def _pays(
    spec: ServiceSpec,
    specs: Sequence[ServiceSpec],
    load: FloatArray,
    peaks: FloatArray,
    *,
    horizon: Horizon,
    settings: EngineSettings,
    terms: Terms,
    sizes: tuple[Option, Option],
) -> float:
    """Share of the paths, over the range of the overhead, in which the second size is cheaper."""
    today, chosen = sizes
    hours = float(horizon.hours)
    used = _used(spec, specs, load, peaks, horizon=horizon, settings=settings, terms=terms)
    before = cost_by_path(used, today.offer, hours, today.bill.reserved)
    shares = []
    for overhead in np.linspace(*terms.overhead_range, OVERHEADS):
        other = sized(
            spec,
            chosen.factor,
            replace(terms, overhead=float(overhead)),
            settings.capacity.zones,
        )
        used = _used(other, specs, load, peaks, horizon=horizon, settings=settings, terms=terms)
        after = cost_by_path(used, chosen.offer, hours, chosen.bill.reserved)
        shares.append(float(np.mean(after < before)))
    return float(np.mean(shares))


def _options(
    spec: ServiceSpec,
    specs: Sequence[ServiceSpec],
    load: FloatArray,
    peaks: FloatArray,
    *,
    horizon: Horizon,
    settings: EngineSettings,
    terms: Terms,
) -> list[Option]:
    """Today's size first, so that it wins where another costs the same."""
    offer = terms.offers[spec.name]
    options = []
    for factor in sorted(terms.sizes, key=lambda size: (size != 1.0, size)):
        other = sized(spec, factor, terms, settings.capacity.zones)
        used = _used(other, specs, load, peaks, horizon=horizon, settings=settings, terms=terms)
        most = spec.max_instances if spec.stateful else math.inf
        options.append(
            option(factor, used, offer.times(factor), float(horizon.hours), most_allowed=most)
        )
    return options


def _used(
    spec: ServiceSpec,
    specs: Sequence[ServiceSpec],
    load: FloatArray,
    peaks: FloatArray,
    *,
    horizon: Horizon,
    settings: EngineSettings,
    terms: Terms,
) -> Usage:
    return usage(load, horizon, staffing(spec, specs, settings, terms.noise_sigma), peaks)


def _with_zones(settings: EngineSettings, zones: int) -> EngineSettings:
    capacity = settings.capacity.model_copy(update={"zones": zones})
    return settings.model_copy(update={"capacity": capacity})


def _all_allowed(options: Mapping[str, Sequence[Option]]) -> dict[str, list[Option]]:
    """The same, where a service that no size fits into its limit may exceed it."""
    return {
        name: list(each)
        if any(choice.allowed for choice in each)
        else [replace(choice, allowed=True) for choice in each]
        for name, each in options.items()
    }


def floors(choice: Option, least: int) -> WholeNumbers:
    """What each month should not go below, (months,): the base is paid for anyway."""
    return np.maximum(np.minimum(choice.bill.reserved, choice.used.maximum), least)
