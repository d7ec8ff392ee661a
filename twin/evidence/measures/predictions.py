"""Rows that tell how good predictions were: of the load hours ahead, and of a season's needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine import EngineSettings
from engine.model import FloatArray, ServiceSpec
from engine.prediction.forecaster import LEVELS
from engine.prediction.season import SeasonForecast, forecast_season
from engine.prediction.timeline import instances_needed
from scenarios.seasons.years import Seasons, multiplied
from scenarios.streams import Streams
from twin.backtest import from_seasons, from_traces
from twin.backtest.cases import Case, rolled
from twin.backtest.rolling import RolledForecasts
from twin.forecast.settings import composed, seasons_of
from twin.forecast.training import coming_dates, seasons_past
from twin.runs.workers import spread

Number = TypeVar("Number", np.float64, np.int64)

LOW, HIGH = LEVELS.index(0.1), LEVELS.index(0.9)
"""The ends of the 80 % interval."""
WEEK_H = 7 * 24
DATES_OF_A_YEAR = 350
"""A test begins on one of so many first days of the last season's year."""


def hours_ahead(
    *,
    seed: int,
    overrides: Sequence[str] = (),
    leads: Sequence[int] = (2, 24),
    days: int = 7,
    shuffled: bool = False,
) -> dict[str, Any]:
    """Some days of a season of the twin, anywhere in its last year, forecast from rolling origins.

    Columns, for each of `leads` k (hours): `error_kh`, the absolute error of the engine's forecast
    as a share of the mean load, summed over steps and services; `rival_kh`, the same of that rival
    which did best on these days; `inside_kh`, of the steps `steps_kh` those within the 80 %
    interval.  `shuffled` mixes up what really came.
    """
    config = composed([f"seed={seed}", *overrides])
    seasons = multiplied(seasons_of(config), config.multiple)
    stream = Streams(seed)("evidence.hours_ahead")
    first = dt.date(seasons.years[-1], 1, 1) + dt.timedelta(
        days=int(stream.integers(DATES_OF_A_YEAR))
    )
    cases = from_seasons.from_date(seasons, first, tuple(leads), seed, test_days=days)
    order = _order(24 * days, stream if shuffled else None)
    scored = [_scored(case, rolled(case), order) for case in cases]
    return {"seed": seed, "first": first.isoformat(), **_row(scored, leads, slice(None))}


def of_traces(
    *,
    rows: int,  # noqa: ARG001 (a trace has the weeks that it has)
    seed: int,
    data: str,
    leads: Sequence[int] = (2, 24),
    shuffled: bool = False,
) -> list[dict[str, Any]]:
    """The same of recorded traces, a row a week of each; `rows` is not asked.

    `data` is a trace or a folder of traces.  Raises TraceError for what cannot be read.
    """
    cases, _skipped = from_traces.cases(Path(data), None, tuple(leads), None, seed=seed)
    made: list[dict[str, Any]] = []
    results = spread(_weeks, [(case, shuffled) for case in cases])
    for _position, weeks in sorted(results, key=itemgetter(0)):
        made += weeks
    return made


def season_ahead(
    *,
    seed: int,
    overrides: Sequence[str] = (),
    seasons_back: int = 3,
    shift_days: int = 0,
) -> dict[str, Any]:
    """The last seasons of a platform's past, each forecast on its first of January.

    Columns: of the `peak_days` highest days of all these seasons `hits` were named; of the
    `services`, season by season, `enough` had as many instances in the forecast (with its buffer)
    as the highest hour took with everything ready; `forecast_usd` an hour for all of them, and
    `hindsight_usd` for what would have been bought if the highest hour had been known, a zone to
    spare.  `shift_days` moves the calendar, bookings and holidays, by so many days.
    """
    config = composed([f"seed={seed}", *overrides])
    seasons = multiplied(seasons_of(config), config.multiple)
    specs = config.platform.specs()
    whole, _ = seasons_past(seasons, specs, seasons.end_s)
    row: dict[str, Any] = {
        "seed": seed, "peak_days": 0, "hits": 0, "services": 0, "enough": 0,
        "forecast_usd": 0.0, "hindsight_usd": 0.0,
    }  # fmt: skip
    price = np.array([spec.price_per_hour for spec in specs])
    for year in seasons.years[-seasons_back:]:
        forecast = _season(seasons, specs, config.engine, year, shift_days=shift_days)
        here = np.array([_year(day) == year for day in whole.day.tolist()])
        highest = whole.load[:, here].max(axis=2)
        top = np.argsort(-highest.sum(axis=0), kind="stable")[: len(forecast.peak_days)]
        first = dt.date(year, 1, 1)
        dates = {first + dt.timedelta(days=day) for day in top.tolist()}
        most = highest.max(axis=1)[:, None]
        carried = instances_needed(most, np.zeros_like(most), specs, config.engine)[:, 0]
        spared = instances_needed(most, most, specs, config.engine)[:, 0]
        row["peak_days"] += len(dates)
        row["hits"] += len(dates & {day.date for day in forecast.peak_days})
        row["services"] += len(specs)
        row["enough"] += int((forecast.with_buffer >= carried).sum())
        row["forecast_usd"] += float(forecast.with_buffer @ price)
        row["hindsight_usd"] += float(spared @ price)
    return row


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """What was said of the tested steps and what came, in the order in which they are compared.

    `errors` (forecasters, leads, steps), the engine's first; `inside` (leads, steps) 0 or 1, NaN
    where there is no interval; `size` the mean value.
    """

    errors: FloatArray
    inside: FloatArray
    size: float


def _scored(case: Case, outcomes: Sequence[RolledForecasts], order: NDArray[np.int64]) -> _Scored:
    """Everybody's errors where all have a forecast, against the values in this `order`."""
    tested = slice(case.course.first, case.course.end)
    values = case.series.values[tested][order]
    medians = np.stack([outcome.medians[:, tested] for outcome in outcomes])
    errors = np.abs(medians - values)
    errors[:, ~np.isfinite(errors).all(axis=0)] = np.nan
    own = outcomes[0].quantiles[:, tested]
    within = (values >= own[:, :, LOW]) & (values <= own[:, :, HIGH])
    there = np.isfinite(own).all(axis=2) & np.isfinite(values)
    inside = np.where(there, within.astype(np.float64), np.nan)
    return _Scored(errors, inside, float(np.nanmean(np.abs(values))))


def _row(scored: Sequence[_Scored], leads: Sequence[int], steps: slice) -> dict[str, Any]:
    """The columns of a row, of these `steps` of all series."""
    row: dict[str, Any] = {}
    for at, lead in enumerate(leads):
        sums = np.sum(
            [np.nansum(one.errors[:, at, steps], axis=1) / one.size for one in scored if one.size],
            axis=0,
        )
        inside = np.concatenate([one.inside[at, steps] for one in scored])
        row[f"error_{lead}h"] = float(sums[0])
        row[f"rival_{lead}h"] = float(sums[1:].min())
        row[f"inside_{lead}h"] = int(np.nansum(inside))
        row[f"steps_{lead}h"] = int(np.isfinite(inside).sum())
    return row


def _order(steps: int, stream: np.random.Generator | None) -> NDArray[np.int64]:
    """The order in which values are compared with forecasts: their own, or one that is drawn."""
    return np.arange(steps) if stream is None else stream.permutation(steps)


def _weeks(task: tuple[Case, bool]) -> list[dict[str, Any]]:
    """A row for each whole week that was tested, in a process of its own."""
    case, shuffled = task
    steps = case.course.end - case.course.first
    stream = Streams(case.seed)(f"evidence.{case.name}") if shuffled else None
    scored = _scored(case, rolled(case), _order(steps, stream))
    return [
        {"case": case.name, **_row([scored], case.leads, slice(begin, begin + WEEK_H))}
        for begin in range(0, max(steps - WEEK_H, 0) + 1, WEEK_H)
    ]


def _season(
    seasons: Seasons,
    specs: Sequence[ServiceSpec],
    settings: EngineSettings,
    year: int,
    *,
    shift_days: int,
) -> SeasonForecast:
    """The whole year as it was forecast when it began."""
    now_s = dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()
    past, kinds = seasons_past(seasons, specs, now_s)
    kinds = _moved(kinds, shift_days)
    coming = coming_dates(seasons, kinds, year, "all", now_s=now_s)
    coming = replace(coming, booked=_moved(coming.booked, shift_days))
    return forecast_season(past, coming, year, "all", now_s=now_s, specs=specs, settings=settings)


def _moved(values: NDArray[Number], days: int) -> NDArray[Number]:
    return np.roll(values, days) if days else values


def _year(day: int) -> int:
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).year
