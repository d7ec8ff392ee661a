"""The dates that are planned for, from the configuration: profiles, the busiest day, the paths."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.planning.bottleneck import BusiestDate
from engine.planning.needs import Horizon
from engine.planning.profile import BIN_S, DAY_S, Profile, profile, reach
from scenarios.weddings import demand as demands
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.typical import typical_day


def dates_from(first: dt.date, months: int) -> list[dt.date]:
    """All dates of so many months from `first` on."""
    month = first.month - 1 + months
    year, month = first.year + month // 12, month % 12 + 1
    last_of_month = (dt.date(year + month // 12, month % 12 + 1, 1) - dt.timedelta(days=1)).day
    end = dt.date(year, month, min(first.day, last_of_month))
    return [first + dt.timedelta(days=i) for i in range((end - first).days)]


def profiles_of(
    dates: Sequence[dt.date],
    population: PopulationConfig,
    demand: DemandConfig,
    specs: Sequence[ServiceSpec],
) -> dict[dt.date, Profile]:
    """The profile of each date; dates with the same clocks share one."""
    names = tuple(spec.name for spec in specs)
    zones = [ZoneInfo(name) for name in population.time_zones]
    by_clock: dict[tuple[float, ...], Profile] = {}
    profiles = {}
    for date in dates:
        noon = dt.datetime.combine(date, dt.time(12))
        clock = tuple(
            (noon.replace(tzinfo=zone).utcoffset() or dt.timedelta()).total_seconds()
            for zone in zones
        )
        if clock not in by_clock:
            kinds, shares = typical_day(population, date)
            of_date = population.model_copy(update={"date": date})
            response = demands.response(demand, of_date, names)
            by_clock[clock] = profile(kinds, shares, response, specs, midnight_s=_midnight_s(date))
        profiles[date] = by_clock[clock]
    return profiles


def horizon_of(
    dates: Sequence[dt.date],
    profiles: Sequence[Profile],
    users: FloatArray,
    specs: Sequence[ServiceSpec],
) -> Horizon:
    """The horizon of hours; `users` (dates,) are the registered users over those of `profiles`."""
    hourly: dict[int, Profile] = {}
    for each in profiles:
        hourly.setdefault(id(each), each.hourly())
    monday = dates[0] - dt.timedelta(days=dates[0].weekday())
    months = [12 * date.year + date.month for date in dates]
    return Horizon(
        profiles=[
            replace(hourly[id(each)], background=hourly[id(each)].background * scale)
            for each, scale in zip(profiles, users.tolist(), strict=True)
        ],
        month=np.array(months) - months[0],
        week=np.array([(date - monday).days // 7 for date in dates]),
        reach=reach(specs),
    )


def peak_day(
    dates: Sequence[dt.date],
    profiles: Sequence[Profile],
    weddings: FloatArray,
    users: FloatArray,
    *,
    at: int,
    specs: Sequence[ServiceSpec],
) -> BusiestDate:
    """Date number `at`, with the weddings of the dates beside it in proportion to its own."""
    bins = int(DAY_S / BIN_S)

    def joined(name: str) -> FloatArray:
        total: FloatArray = getattr(profiles[at], name).copy()
        if at > 0:
            share = weddings[at - 1] / weddings[at]
            total[..., :bins] += share * getattr(profiles[at - 1], name)[..., bins:]
        if at + 1 < len(dates):
            share = weddings[at + 1] / weddings[at]
            total[..., bins:] += share * getattr(profiles[at + 1], name)[..., :bins]
        return total

    arriving = reach(specs)
    background = np.tile(profiles[at].background * users[at], 2)
    return BusiestDate(
        per_wedding=arriving @ joined("entering") / joined("in_progress").max(),
        background=arriving @ background,
        start_s=_midnight_s(dates[at]),
        bin_s=BIN_S,
    )


def _midnight_s(date: dt.date) -> float:
    return dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC).timestamp()
