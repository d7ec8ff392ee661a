"""What each date of some years is like: how many weddings, what weather, how people respond.

The expected number of weddings follows from the month, the weekday, growth and the holidays.  How
much load a wedding makes differs from date to date; `SeasonsConfig.split` says how much of that
has which cause, and so how much of it anybody could know a day ahead.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import holidays
import numpy as np
from dateutil.easter import easter
from numpy.typing import NDArray

from scenarios.seasons.config import HolidayConfig, SeasonsConfig, expected_severity
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.population import day_weight

DAYS_PER_YEAR = 365.25
MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6
LEADS = 11
"""The weather is forecast for today and so many days less one ahead; beyond, nothing is known."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Days:
    """The dates of some years (D days, Z zones, S services).

    `expected` (D,) weddings relative to each other, growth included; `growth` (D,) the customers,
    1 on the first date; `holiday` (D,) the factor on the weddings that is due to holidays;
    `severity` (D, Z) of bad weather, `foreseen` (D, LEADS, Z) the severity expected by the forecast
    that was issued so many days before; `log_response` (D, Z, S) the logarithm of the requests per
    participant over those of the demand table.
    """

    dates: tuple[dt.date, ...]
    expected: FloatArray
    growth: FloatArray
    holiday: FloatArray
    severity: FloatArray
    foreseen: FloatArray
    log_response: FloatArray


def days(
    config: SeasonsConfig, population: PopulationConfig, demand: DemandConfig, streams: StreamOf
) -> Days:
    """The dates of all years of `config`.

    `streams` is asked for "seasons.growth", ".weather", ".forecast", ".persistent", ".fresh" and
    ".date".  Years that are added behind leave the earlier ones as they are.
    """
    first = dt.date(config.first_year, 1, 1)
    count = (dt.date(config.first_year + config.years, 1, 1) - first).days
    dates = tuple(first + dt.timedelta(days=i) for i in range(count))
    holiday = holiday_factors(config.holidays, dates)
    growth = _growth(config, dates, streams)
    usual = np.array([day_weight(population, date) for date in dates])
    date_z = streams("seasons.date").standard_normal(count)
    date_factor = np.exp(config.date_sd * date_z - config.date_sd**2 / 2.0)
    severity, foreseen = _weather(config, count, len(population.time_zones), streams)
    return Days(
        dates=dates,
        expected=usual * holiday * growth * date_factor,
        growth=growth,
        holiday=holiday,
        severity=severity,
        foreseen=foreseen,
        log_response=_log_response(config, demand, dates, severity, streams=streams),
    )


def holiday_factors(config: HolidayConfig, dates: tuple[dt.date, ...]) -> FloatArray:
    """Weddings on each date over those on an ordinary one of its weekday and month."""
    years = range(dates[0].year - 1, dates[-1].year + 2)
    off = holidays.country_holidays(config.country, years=years, language="en_US")
    family = {easter(year) for year in years} | {dt.date(year, 12, 24) for year in years}
    factors = np.ones(len(dates))
    first = dates[0]
    weekend = config.long_weekend

    def put(date: dt.date, factor: float) -> None:
        position = (date - first).days
        if 0 <= position < len(dates):
            factors[position] *= factor

    for date in sorted(off):
        names = off.get_list(date)
        if any(name in config.family_days for name in names):
            family.add(date)
        elif date.weekday() == MONDAY:
            for back, factor in ((3, weekend.friday), (2, weekend.saturday), (1, weekend.sunday)):
                put(date - dt.timedelta(days=back), factor)
                for beside in (-7, 7):
                    put(date + dt.timedelta(days=beside - back), config.beside_long_weekend)
    for date in sorted(family):
        put(date, config.family_day)
    for year in years:
        put(dt.date(year, 12, 31), config.new_years_eve)
    return factors


def weekday_pattern(config: SeasonsConfig) -> FloatArray:
    """The weekdays' part of the response, Monday first, of mean 0 and variance 1 over the week."""
    shape = np.array(config.weekday_shape)
    shape = shape - shape.mean()
    spread = shape.std()
    return shape / spread if spread > 0.0 else shape


def _growth(config: SeasonsConfig, dates: tuple[dt.date, ...], streams: StreamOf) -> FloatArray:
    z = streams("seasons.growth").standard_normal(config.years)
    yearly = math.log1p(config.growth_per_year) + config.growth_sd * z
    daily = np.array([yearly[date.year - config.first_year] / DAYS_PER_YEAR for date in dates])
    return np.exp(np.cumsum(daily) - daily[0])


def _weather(
    config: SeasonsConfig, count: int, zones: int, streams: StreamOf
) -> tuple[FloatArray, FloatArray]:
    """Severity (D, Z) and what each forecast expected of it (D, LEADS, Z)."""
    weather = config.weather
    own = _persistent(streams("seasons.weather"), count, zones + 1, weather.persistence)
    index = math.sqrt(weather.shared) * own[:, :1] + math.sqrt(1.0 - weather.shared) * own[:, 1:]
    noise = streams("seasons.forecast").standard_normal((count, LEADS, zones))
    skill = weather.skill_per_day ** np.arange(LEADS)[None, :, None]
    error = np.sqrt(1.0 - skill**2)
    seen = skill * index[:, None, :] + error * noise
    foreseen = expected_severity(weather.threshold, skill * seen, np.maximum(error, 1e-6))
    return np.maximum(index - weather.threshold, 0.0), foreseen


def _log_response(
    config: SeasonsConfig,
    demand: DemandConfig,
    dates: tuple[dt.date, ...],
    severity: FloatArray,
    *,
    streams: StreamOf,
) -> FloatArray:
    split, weather = config.split, config.weather
    count, services = len(dates), len(demand.services)
    day = np.arange(count)
    of_year = np.array([date.timetuple().tm_yday for date in dates])
    weekday = np.array([date.weekday() for date in dates])
    foreseeable = math.sqrt(split.weekday) * weekday_pattern(config)[weekday]
    phase = 2.0 * math.pi * (of_year - config.season_peak_day) / DAYS_PER_YEAR
    foreseeable += math.sqrt(2.0 * split.season) * np.cos(phase)
    sign = np.array([weather.sign.get(service, 0.0) for service in demand.services])
    spread = max(weather.severity_sd, 1e-9)
    bad = math.sqrt(split.weather) * (severity - weather.severity_mean) / spread
    keep = math.exp(-1.0 / config.persistent_days)
    hidden = np.zeros((count, services))
    for name, share, memory in (
        ("persistent", split.persistent, keep),
        ("fresh", split.fresh, 0.0),
    ):
        z = _persistent(streams(f"seasons.{name}"), count, services + 1, memory)
        mixed = math.sqrt(config.common) * z[:, :1] + math.sqrt(1.0 - config.common) * z[:, 1:]
        hidden += math.sqrt(share) * mixed
    drift = np.array([config.drift_per_year.get(service, 0.0) for service in demand.services])
    trend = day[:, None] / DAYS_PER_YEAR * drift[None, :]
    spread_of_day = foreseeable[:, None, None] + hidden[:, None, :] + bad[:, :, None] * sign
    sigma = demand.day_sigma
    return trend[:, None, :] + sigma * spread_of_day - sigma**2 / 2.0


def _persistent(
    stream: np.random.Generator, count: int, columns: int, persistence: float
) -> FloatArray:
    """Stationary standard normal AR(1) columns (count, columns); later days leave earlier alone."""
    z = stream.standard_normal((count, columns))
    return np.stack([kernels.autoregressive(column, persistence, 1.0) for column in z.T], axis=1)
