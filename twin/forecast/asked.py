"""Forecasts and plans for the engine's API: what `twin forecast` and `twin plan` say, as documents.

The engine imports nothing of this; it is named in the configuration (`api.predictions.factory`) and
runs in a process of its own.  The seasons are drawn once for all that is asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from engine.api.predictions import AskedWedding
from engine.config import composition
from engine.model import Wedding, WeddingType
from twin.forecast.settings import ForecastConfig, parse, seasons_of
from twin.forecast.times import DAY_S, HOUR_S, ISSUE_HOUR, moment

if TYPE_CHECKING:
    from scenarios.seasons.years import Seasons

VALID_S = 6 * HOUR_S
"""What is said of a day holds for so long: then more is booked."""


def connect(
    forecasting: Sequence[str] = (), plan: Sequence[str] = (), **own: Any
) -> AskedForecasts:
    """What answers for a run whose own sections are `own`: seed, population, demand, platform.

    `forecasting` and `plan` are overrides of `conf/forecasting.yaml` and `conf/plan.yaml`.  A run
    that plays a share of its population (`schedule.scale`) is forecast at that size.  Raises
    ConfigError.
    """
    schedule = own.pop("schedule", None) or {}
    if "population" in own:
        scale = float(schedule.get("scale") or 1.0)
        size = max(round(own["population"]["simultaneous"] * scale), 1)
        own["population"] = {**own["population"], "simultaneous": size}
    tree = composition.composed(list(forecasting), root="forecasting")
    return AskedForecasts(parse({**tree, **own}), tuple(plan), own)


class AskedForecasts:
    """`engine.api.predictions.Predictions` of the configured seasons."""

    def __init__(
        self, config: ForecastConfig, plan: tuple[str, ...], own: Mapping[str, Any]
    ) -> None:
        self._config = config
        self._plan = plan
        self._own = dict(own)

    @cached_property
    def _seasons(self) -> Seasons:
        return seasons_of(self._config)

    def season(self, year: int, season: str, now_s: float) -> Mapping[str, Any]:
        """A season, week by week, as known at `now_s`."""
        from twin.forecast import answers

        first = self._config.seasons.first_year
        last = first + self._config.seasons.years - 1
        if not first <= year <= last:
            raise ValueError(
                f"year: {year} is not allowed ({first} … {last}, the seasons there are)"
            )
        answer = answers.of_season(self._config, self._seasons, year, season, now_s=now_s)
        result = answer["result"]
        return {
            "year": year,
            "season": season,
            "generated_at": answer["generated_at"],
            "valid_until": answer["valid_until"],
            "confidence": result["confidence"],
            "levels": result["levels"],
            "weddings": {"predicted": result["weddings"], "booked": result["booked"]},
            "weeks": [
                {key: week[key] for key in ("start", "days", "booked", "weddings", "requests")}
                for week in result["weeks"]
            ],
            "peak_days": result["peak_days"],
            "capacity": {
                name: {
                    "required": result["required"][name],
                    "recommended": result["with_buffer"][name],
                    "limit_reached": name in result["capped"],
                }
                for name in result["required"]
            },
            "historical_comparison": [
                {
                    "years_before": k + 1,
                    "weddings": total,
                    "weeks": [
                        {"start": week["start"], "requests": week["requests_before"][k]}
                        for week in result["weeks"]
                    ],
                }
                for k, total in enumerate(result["weddings_before"])
            ],
            "notes": answer["notes"],
        }

    def day(self, date: dt.date, now_s: float) -> Mapping[str, Any]:
        """All weddings of a day, hour by hour."""
        from twin.forecast import answers

        first = self._config.seasons.first_year
        last = first + self._config.seasons.years - 1
        if not dt.date(first, 1, 1) <= date <= dt.date(last, 12, 30):
            raise ValueError(
                f"date: {date} is not allowed ({first}-01-01 … {last}-12-30, the seasons there are)"
            )
        midnight = dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC).timestamp()
        start_s = midnight + ISSUE_HOUR * HOUR_S
        if start_s + DAY_S <= now_s:
            raise ValueError(f"date: {date} is over at {moment(now_s)}")
        known_s = min(now_s, start_s)
        answer = answers.of_day(
            self._config, self._seasons, date, start_s, now_s=known_s, listed=None, model=None
        )
        return _day_document(answer, start_s, now_s)

    def wedding(self, wedding: AskedWedding, now_s: float) -> Mapping[str, Any]:
        """One wedding, hour by hour."""
        from twin.forecast import answers

        date = dt.date.fromisoformat(wedding.date)
        begins = dt.datetime.combine(
            date, dt.time.fromisoformat(wedding.time), tzinfo=ZoneInfo(wedding.zone)
        )
        ceremony_s = begins.timestamp()
        one = Wedding(
            id="asked",
            time_zone=wedding.zone,
            type=WeddingType(wedding.type),
            guests=wedding.guests,
            vendors=wedding.vendors,
            phase_start_s=tuple(ceremony_s + float(offset) for offset in self._seasons.offsets_s),
        )
        known_s = min(now_s, ceremony_s - DAY_S)
        answer = answers.of_wedding(self._config, self._seasons, one, date, now_s=known_s)
        start_s = dt.datetime.fromisoformat(answer["result"]["start"]).timestamp()
        return _day_document(answer, start_s, now_s)

    def plan(self, date: dt.date, months: int, risk: float) -> Mapping[str, Any]:
        """What the months from `date` on need, without the twin's check of the limits."""
        from twin.plan import command
        from twin.plan import config as plan_config
        from twin.plan.content import content
        from twin.plan.planning import make

        given = [
            *self._plan, f"date={date}", f"months={months}", f"risk={risk!r}", "check=false",
        ]  # fmt: skip
        planned = make(plan_config.parse({**command.composed(given), **self._own}), _nothing)
        return content(planned, None, f"GET /api/scalability/plan?date={date}")


def _day_document(answer: Mapping[str, Any], start_s: float, now_s: float) -> dict[str, Any]:
    result = answer["result"]
    services = list(result["quantiles"])
    hours = [
        {
            "at": moment(start_s + hour * HOUR_S),
            "phase": result["phase"][hour],
            "services": {
                name: {
                    "requests_per_s": result["quantiles"][name][hour],
                    "instances": result["needed"][name][hour],
                }
                for name in services
            },
        }
        for hour in range(len(result["phase"]))
    ]
    return {
        "title": answer["title"],
        "generated_at": answer["generated_at"],
        "valid_until": moment(min(now_s + VALID_S, start_s + DAY_S)),
        "start": moment(start_s),
        "weddings": result["weddings"],
        "confidence": result["confidence"],
        "levels": result["levels"],
        "hours": hours,
        "peaks": {
            name: [
                {"from": moment(start_s + a * HOUR_S), "to": moment(start_s + b * HOUR_S)}
                for a, b in spans
            ]
            for name, spans in result["peak_hours"].items()
        },
        "timeline": result["steps"],
        "notes": answer["notes"],
    }


def _nothing(_: int) -> None:
    """Nobody watches the progress."""
