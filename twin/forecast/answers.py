"""What the forecasters say, as plain data for a file: the result, tables and curves to draw.

It is long because each question (a wedding, a day, a season) has an answer of its own shape.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.model import FloatArray, Schedule, Wedding
from engine.prediction import artefact, day_ahead
from engine.prediction.forecaster import LEVELS
from engine.prediction.issues import DAY_H, HOURS, Issues, expected_load
from engine.prediction.season import SeasonForecast, Week, forecast_season
from engine.prediction.wedding_day import (
    BookedWeddings,
    WeddingDay,
    WeddingDayModel,
    booked,
    size_category,
)
from scenarios.seasons.years import DAY_S, Seasons, multiplied
from scenarios.streams import Streams
from twin.forecast.judging import scored
from twin.forecast.settings import ForecastConfig
from twin.forecast.times import ISSUE_HOUR, moment
from twin.forecast.training import (
    coming_dates,
    issues_of,
    past_weddings,
    seasons_past,
    traits_of,
)

HOUR_S = 3600.0
PAST_WEDDINGS = 40_000
Q10, MEDIAN, Q90 = (LEVELS.index(level) for level in (0.1, 0.5, 0.9))
MOST_STEPS = 60
WEEK_DAYS = 7


def of_day(
    config: ForecastConfig,
    seasons: Seasons,
    date: dt.date,
    start_s: float,
    *,
    now_s: float,
    listed: list[Wedding] | None,
    model: Path | None,
) -> dict[str, Any]:
    """All weddings of the 24 hours from `start_s`, as known at `now_s`.

    Weddings that are `listed` are what they are; each one that is drawn stands for several.
    """
    platform = multiplied(seasons, config.multiple)
    trained = _wedding_days(config, seasons if listed is not None else platform, now_s)
    if listed is None:
        rows = seasons.entered(now_s, start_s, start_s + DAY_S)
        schedule = seasons.booked(now_s, start_s, start_s + DAY_S)
        weddings = BookedWeddings(schedule.phase_start_s, traits_of(seasons, rows))
    else:
        weddings = booked(listed, now_s)
    day = trained.day(weddings, start_s, _everybody_else(config, platform, start_s))
    each = config.multiple if listed is None else 1.0
    title = f"{each * len(weddings):,.0f} weddings of {date}"
    answer = _day_content(config, day, title, now_s, each=each)
    answer["name"] = str(date)
    if model is not None:
        answer["day_ahead"], note = _learned(config, platform, start_s, now_s, path=model)
        answer["notes"].append(note)
    return answer


def of_wedding(
    config: ForecastConfig, seasons: Seasons, wedding: Wedding, date: dt.date, *, now_s: float
) -> dict[str, Any]:
    """One wedding alone."""
    one = booked([wedding], now_s)
    day = _wedding_days(config, seasons, now_s).wedding(one)
    title = f"A {wedding.type.value} wedding with {wedding.guests:,} guests on {date}"
    answer = _day_content(config, day, title, now_s, each=1.0)
    answer["name"] = f"{wedding.type.value}-{date}"
    answer["result"]["size"] = size_category(wedding.guests)
    return answer


def of_season(
    config: ForecastConfig, seasons: Seasons, year: int, season: str, *, now_s: float
) -> dict[str, Any]:
    """A season as known at `now_s`."""
    specs = config.platform.specs()
    seasons = multiplied(seasons, config.multiple)
    past, kinds = seasons_past(seasons, specs, now_s)
    coming = coming_dates(seasons, kinds, year, season, now_s=now_s)
    forecast = forecast_season(
        past, coming, year, season, now_s=now_s, specs=specs, settings=config.engine
    )
    return _season_content(forecast, config.multiple)


def of_training(
    config: ForecastConfig, seasons: Seasons
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Train the day-ahead model on the seasons before the last, and judge it on the last."""
    specs = config.platform.specs()
    seasons = multiplied(seasons, config.multiple)
    issues = issues_of(seasons, specs)
    first = int((seasons.target_s - seasons.start_s) // DAY_S)
    model = day_ahead.fit(issues.until(first), config.seed)
    content = artefact.dump(model.artefact())
    rows = range(first, len(issues) - 2)
    scores = scored(model, issues, rows, seasons.response.sigma, seed=config.seed)
    others = list(scores[0]["others"])
    tables = [
        {
            "name": "The day after tomorrow's issue, judged on the last season",
            "headings": ["service", "WAPE", "in 50 %", "in 80 %", "in 95 %"],
            "numeric": [False, *[True] * 4],
            "rows": [
                [
                    score["service"], f"{score['wape']:.1%}",
                    *(f"{score['coverage'][key]:.1%}" for key in ("0.5", "0.8", "0.95")),
                ]
                for score in scores
            ],
        },
        {
            "name": "On the busiest Saturdays, and in all other hours",
            "headings": ["service", "which", "hours", "in 80 %", "above 90 %", "20 % too low",
                         "WAPE"],
            "numeric": [False, False, *[True] * 5],
            "rows": [
                [
                    score["service"], which, f"{figures['hours']:,.0f}",
                    *(f"{figures[key]:.1%}"
                      for key in ("coverage_80", "above_90", "far_too_low", "wape")),
                ]
                for score in scores
                for which, figures in score["hours"].items()
            ],
        },
        {
            "name": "Simple forecasts of the same: WAPE (difference)",
            "headings": ["service", *others],
            "numeric": [False, *[True] * len(others)],
            "rows": [
                [
                    score["service"],
                    *(f"{o['wape']:.1%} ({o['low']:+.1%} … {o['high']:+.1%})"
                      for o in score["others"].values()),
                ]
                for score in scores
            ],
        },
    ]  # fmt: skip
    worst = max(score["wape"] for score in scores)
    answer = {
        "name": str(seasons.years[-1]),
        "title": f"Day-ahead model, trained on {first} days, judged on {seasons.years[-1]}",
        "headline": f"WAPE {min(s['wape'] for s in scores):.1%} … {worst:.1%} by service, 24 to 47 "
        "hours ahead.",
        "generated_at": moment(seasons.target_s),
        "result": {
            "scores": scores,
            "fingerprint": model.manifest.fingerprint,
            "trained_until": moment(model.manifest.trained_until_s),
            "bytes": len(content),
        },
        "tables": tables,
        "curves": [],
        "notes": [
            "The difference is WAPE less that of the other, with its 95 % interval over blocks of "
            "a week: below zero, the model is better.",
            "The busiest Saturdays are the busier half of those judged, by what was booked, 24 "
            "hours each from 08:00 UTC on; above 90 % is the share above the 90 % quantile, 20 % "
            "too low that of which the median falls short by more than a fifth.",
            "day_ahead.wedmodel is the model: twin forecast day model=… uses it.",
        ],
    }
    return answer, {"day_ahead.wedmodel": content}


def _wedding_days(config: ForecastConfig, seasons: Seasons, now_s: float) -> WeddingDayModel:
    stream = Streams(config.seed)("forecast.past_weddings")
    return WeddingDayModel(
        past_weddings(seasons, now_s, PAST_WEDDINGS, stream),
        seasons.response,
        seasons.phases,
        config.platform.specs(),
        settings=config.engine,
    )


def _everybody_else(config: ForecastConfig, seasons: Seasons, start_s: float) -> FloatArray:
    """Load (S, 24) without any wedding, as the response before the first season has it."""
    roles = len(seasons.roles)
    nobody = Schedule(
        seasons.phases,
        seasons.roles,
        np.zeros((0, len(seasons.offsets_s))),
        np.zeros((0, roles)),
        np.zeros(0, dtype=np.bool_),
    )
    specs = config.platform.specs()
    return expected_load(nobody, seasons.response, specs, start_s, hours=DAY_H)[1]


def _learned(
    config: ForecastConfig, seasons: Seasons, start_s: float, now_s: float, *, path: Path
) -> tuple[dict[str, Any], str]:
    """The day-ahead model's forecast of the same 24 hours, or the schedule's alone."""
    issue = int((now_s - seasons.start_s - ISSUE_HOUR * HOUR_S) // DAY_S)
    ahead = round((start_s - (seasons.start_s + issue * DAY_S + ISSUE_HOUR * HOUR_S)) / HOUR_S)
    if issue < 0 or not 0 <= ahead <= HOURS - DAY_H:
        raise ValueError(
            f"now: the model reaches two days ahead; {moment(now_s)} is not within "
            f"{moment(start_s - 2 * DAY_S)} … {moment(start_s)} (at most a day before the start)"
        )
    first = max(issue - 400, 0)
    issues = issues_of(seasons, config.platform.specs(), first, issue + 1)
    measured = issues.observed[:, : DAY_H * (issue - first)]
    issues = Issues(
        issues.services, issues.issued_s, issues.weddings, issues.background, issues.events,
        issues.foreseen, issues.severity, measured,
    )  # fmt: skip
    opened, why = artefact.load_or_none(path, day_ahead.KIND, day_ahead.VERSION)
    try:
        if opened is None:
            raise ValueError(why)
        quantiles = day_ahead.restored(opened).predict(issues, [len(issues) - 1])[0]
        source, note = "model", f"The day-ahead forecast is of the model {path}."
    except ValueError as error:
        quantiles = day_ahead.schedule_only(issues, seasons.response.sigma)[-1]
        source = "schedule"
        note = f"The day-ahead forecast is of the schedule alone: {error}."
    hours = slice(ahead, ahead + DAY_H)
    return {
        "source": source,
        "issued_at": moment(float(issues.issued_s[-1])),
        "quantiles": {
            name: np.round(quantiles[s, hours], 3).tolist()
            for s, name in enumerate(issues.services)
        },
    }, note


def _day_content(
    config: ForecastConfig, day: WeddingDay, title: str, now_s: float, *, each: float
) -> dict[str, Any]:
    """What is said of a day, each of whose weddings stands for `each` of the platform's."""
    specs = config.platform.specs()
    medians, upper = day.quantiles[:, :, MEDIAN], day.quantiles[:, :, Q90]
    services = [
        [
            name,
            _figure(medians[s].max()),
            _figure(upper[s].max()),
            _hour(day.start_s + HOUR_S * int(medians[s].argmax())),
            ", ".join(f"{_hour(day.start_s + HOUR_S * a)}–{_hour(day.start_s + HOUR_S * b)}"
                      for a, b in day.peaks[s]),
            f"{day.needed[s].max():,.0f}",
        ]
        for s, name in enumerate(day.services)
    ]  # fmt: skip
    steps: list[dict[str, Any]] = [
        {
            "at": moment(step.at_s),
            "service": step.service,
            "from": step.from_instances,
            "to": step.to_instances,
            "ready": moment(step.ready_s),
            "for": moment(step.for_s),
        }
        for step in day.steps
    ]
    names = ["at (UTC)", "service", "from", "to", "ready", "needed"]
    shown = [
        [step["at"][5:16].replace("T", " "), step["service"], str(step["from"]),
         str(step["to"]), step["ready"][11:19], step["for"][11:16]]
        for step in steps
    ]  # fmt: skip
    notes = [
        "Quantiles are requests/s arriving at each service, calls between services included.",
        f"Steps are worked back from the boot time's {config.engine.forecast.boot_quantile:.0%} "
        f"quantile and the engine's limits (at most +{config.engine.limits.step_out:.0%} a step, "
        f"{config.engine.limits.cooldown_out_s:g} s apart).",
    ]
    if len(steps) > MOST_STEPS:
        notes.append(f"The table has the first {MOST_STEPS} of {len(steps)} steps; all are in "
                     "forecast.json.")  # fmt: skip
    return {
        "title": title,
        "headline": f"Confidence {day.confidence:.2f}: {day.similar:.0f} close weddings of the "
        f"past in the mean. Highest load {_figure(medians.sum(axis=0).max())} requests/s over all "
        "services.",
        "generated_at": moment(now_s),
        "result": {
            "start": moment(day.start_s),
            "weddings": round(each * day.weddings),
            "levels": list(LEVELS),
            "quantiles": {
                name: np.round(day.quantiles[s], 4).tolist() for s, name in enumerate(day.services)
            },
            "phase": [day.phase_at(hour) for hour in range(DAY_H)],
            "in_phase": {
                name: np.rint(each * day.in_phase[:, p]).tolist()
                for p, name in enumerate(day.phases)
            },
            "peak_hours": {name: day.peaks[s] for s, name in enumerate(day.services)},
            "needed": {spec.name: day.needed[s].tolist() for s, spec in enumerate(specs)},
            "steps": steps,
            "similar": day.similar,
            "confidence": day.confidence,
        },
        "tables": [
            {
                "name": "Highest load",
                "headings": ["service", "median, 1/s", "90 %, 1/s", "at (UTC)", "peak hours (UTC)",
                             "instances"],
                "numeric": [False, True, True, False, False, True],
                "rows": services,
            },
            {
                "name": "Hour by hour",
                "headings": ["from (UTC)", "phase", *day.services],
                "numeric": [False, False, *[True] * len(day.services)],
                "rows": [
                    [_hour(day.start_s + HOUR_S * h), day.phase_at(h).replace("_", " ") or "–",
                     *(_figure(medians[s, h]) for s in range(len(day.services)))]
                    for h in range(DAY_H)
                ],
            },
            {
                "name": "What to scale, by when",
                "headings": names,
                "numeric": [False, False, True, True, False, False],
                "rows": shown[:MOST_STEPS],
            },
        ],
        "curves": _curves(day.services, day.quantiles, day.start_s, HOUR_S, unit="requests/s"),
        "notes": notes,
    }  # fmt: skip


def _season_content(forecast: SeasonForecast, each: float) -> dict[str, Any]:
    """What is said of a season, each of whose weddings stands for `each` of the platform's."""
    whole = [week for week in forecast.weeks if week.days == WEEK_DAYS]
    totals, booked_now = each * forecast.totals, each * forecast.booked
    before = [f"{each * total:,.0f}" for total in forecast.totals_before]
    weddings = [
        [
            str(week.start),
            _days(week.days),
            f"{each * week.booked:,.0f}",
            f"{each * week.weddings[MEDIAN]:,.0f}",
            f"{each * week.weddings[Q10]:,.0f} … {each * week.weddings[Q90]:,.0f}",
            *(_change(week.requests[:, MEDIAN].sum(), earlier.sum()) for earlier in week.before),
        ]
        for week in forecast.weeks
    ]
    requests = [
        [
            str(week.start),
            _days(week.days),
            *(f"{week.requests[s, MEDIAN] / 1e6:,.1f}" for s in range(len(forecast.services))),
        ]
        for week in forecast.weeks
    ]
    most = max((float(day.peak[:, Q90].max()) for day in forecast.peak_days), default=0.0)
    unit, unit_name = (1e3, "thousand requests/s") if most >= 1e4 else (1.0, "requests/s")
    peaks = [
        [str(day.date), day.date.strftime("%a"), f"{each * day.weddings[MEDIAN]:,.0f}",
         *(f"{day.peak[s, MEDIAN] / unit:,.4g} ({day.peak[s, Q90] / unit:,.4g})"
           for s in range(len(forecast.services)))]
        for day in forecast.peak_days
    ]  # fmt: skip
    capacity = [
        [name, f"{forecast.required[s]:,.0f}", f"{forecast.with_buffer[s]:,.0f}",
         "yes" if name in forecast.capped else "no"]
        for s, name in enumerate(forecast.services)
    ]  # fmt: skip
    return {
        "name": f"{forecast.season}-{forecast.year}",
        "title": f"{forecast.season.capitalize()} {forecast.year}" if forecast.season != "all"
        else f"The year {forecast.year}",
        "headline": f"{totals[MEDIAN]:,.0f} weddings ({totals[Q10]:,.0f} … "
        f"{totals[Q90]:,.0f}), {booked_now:,.0f} of them booked by now; the seasons "
        f"before had {', '.join(before) or 'none'}. Confidence {forecast.confidence:.2f}. Valid "
        f"until {moment(forecast.valid_until_s)}.",
        "generated_at": moment(forecast.generated_at_s),
        "valid_until": moment(forecast.valid_until_s),
        "result": {
            "levels": list(LEVELS),
            "weddings": totals.tolist(),
            "booked": booked_now,
            "weddings_before": [each * total for total in forecast.totals_before],
            "confidence": forecast.confidence,
            "weeks": [
                {
                    "start": str(week.start),
                    "days": week.days,
                    "booked": each * week.booked,
                    "weddings": (each * week.weddings).tolist(),
                    "requests": dict(zip(forecast.services, week.requests.tolist(), strict=True)),
                    "requests_before": [
                        [None if np.isnan(x) else float(x) for x in earlier]
                        for earlier in week.before
                    ],
                }
                for week in forecast.weeks
            ],
            "peak_days": [
                {
                    "date": str(day.date),
                    "weddings": (each * day.weddings).tolist(),
                    "peak": dict(zip(forecast.services, day.peak.tolist(), strict=True)),
                }
                for day in forecast.peak_days
            ],
            "required": dict(zip(forecast.services, forecast.required.tolist(), strict=True)),
            "with_buffer": dict(zip(forecast.services, forecast.with_buffer.tolist(), strict=True)),
            "capped": list(forecast.capped),
        },
        "tables": [
            {
                "name": "Week by week: weddings, and the load against that of earlier years",
                "headings": ["from", "days", "booked", "weddings", "80 %", "1 year before",
                             "2 years", "3 years"],
                "numeric": [False, *[True] * 7],
                "rows": weddings,
            },
            {
                "name": "Week by week: million requests",
                "headings": ["from", "days", *forecast.services],
                "numeric": [False, *[True] * (1 + len(forecast.services))],
                "rows": requests,
            },
            {
                "name": f"Highest days: {unit_name} in the highest hour (90 %)",
                "headings": ["date", "", "weddings", *forecast.services],
                "numeric": [False, False, *[True] * (1 + len(forecast.services))],
                "rows": peaks,
            },
            {
                "name": "Required capacity",
                "headings": ["service", "instances", "with buffer", "own limit reached"],
                "numeric": [False, True, True, False],
                "rows": capacity,
            },
        ],
        "curves": _whole_weeks(forecast.services, whole),
        "notes": [
            "Weddings of a date: the seasons before, grown, and what is booked over what usually "
            "is, so long before; each by how wrong it usually is.",
            "Weeks are compared with the same weeks, weekday for weekday, of the seasons before.",
            'A week that the season\'s borders cut is marked ("2 of 7") and not drawn.',
        ],
    }  # fmt: skip


def _whole_weeks(services: Sequence[str], whole: Sequence[Week]) -> list[dict[str, Any]]:
    """Curves of the weeks that no border of the season cuts; none without any."""
    if not whole:
        return []
    first = dt.datetime.combine(whole[0].start, dt.time(), tzinfo=dt.UTC).timestamp()
    requests = np.stack([week.requests for week in whole], axis=1)
    return _curves(services, requests / 1e6, first, WEEK_DAYS * DAY_S, unit="million requests/week")


def _days(days: int) -> str:
    """How many days of a week are in the season, said where some are not."""
    return str(days) if days == WEEK_DAYS else f"{days} of {WEEK_DAYS}"


def _curves(
    services: Sequence[str], quantiles: FloatArray, start_s: float, step_s: float, *, unit: str
) -> list[dict[str, Any]]:
    """Curves to draw, of quantiles (S, n, LEVELS)."""
    return [
        {
            "name": name,
            "unit": unit,
            "start_s": start_s,
            "step_s": step_s,
            "quantiles": {
                f"{level:g}": quantiles[s, :, k].tolist() for k, level in enumerate(LEVELS)
            },
        }
        for s, name in enumerate(services)
    ]


def _change(now: float, before: float) -> str:
    return f"{now / before - 1.0:+.0%}" if before > 0.0 else "–"


def _figure(value: float) -> str:
    """Four digits of a figure, written out."""
    return f"{value:,.0f}" if value >= 1000.0 else f"{value:.4g}"


def _hour(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%H:%M")
