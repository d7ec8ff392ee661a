"""`python -m twin forecast day|wedding|season|train`: ask the forecasters, and train the model.

The weddings are those of `conf/seasons`, or of a file; what they are asked for is worked out from
what was known at `now`.  The engine reads no clock, and neither does this: without `now` it is the
morning before.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from engine.config import assignments
from engine.config.complaints import close
from engine.config.secrets import recordable
from engine.config.strict import ConfigError
from engine.model import Wedding, WeddingType
from engine.prediction import season as seasonal
from engine.record import folders
from engine.record.files import write_atomically
from scenarios.seasons.years import DAY_S, Seasons
from scenarios.traces.moments import parse_time
from twin.commands import terminal
from twin.forecast import answers
from twin.forecast.bookings import BookingsError, read_bookings
from twin.forecast.settings import ForecastConfig, composed, seasons_of
from twin.forecast.training import ISSUE_HOUR

KEYS = {
    "day": ("date", "now", "weddings", "model"),
    "wedding": ("date", "time", "zone", "type", "guests", "vendors", "now"),
    "season": ("year", "season", "now"),
    "train": ("model",),
}
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class ForecastArguments:
    """What the command line asks: the kind of forecast, its own keys, and all other overrides."""

    kind: str
    given: Mapping[str, str]
    overrides: tuple[str, ...]


def read(arguments: Sequence[str]) -> ForecastArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    if not arguments or arguments[0] not in KEYS:
        named = arguments[0] if arguments else ""
        raise ConfigError(f'"{named}" is not allowed ({", ".join(KEYS)}){close(named, list(KEYS))}')
    kind, own = arguments[0], KEYS[arguments[0]]
    words = assignments.read(arguments[1:], own)
    return ForecastArguments(kind, words.own, words.overrides)


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Answer and write the record; returns its folder.  Raises ConfigError or OutputError."""
    options = read(arguments)
    config = composed(options.overrides, own=KEYS[options.kind])
    folders.check_writable(Path(config.output))
    asked = {"day": _day, "wedding": _wedding, "season": _season, "train": _train}[options.kind]
    seasons = seasons_of(config)
    try:
        with terminal.progress(f"forecast {options.kind}", 1.0) as advance:
            answer, files = asked(options.given, config, seasons)
            advance(1.0)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None
    content = {
        "schema": 1,
        "kind": options.kind,
        "command": command,
        "seed": config.seed,
        "platform": {
            "simultaneous": config.population.simultaneous,
            "drawn": config.drawn.drawn,
        },
        **answer,
        "title": f"{answer['title']} ({config.size})",
    }

    def fill(folder: Path) -> None:
        text = json.dumps(content, indent=1, allow_nan=False) + "\n"
        (folder / "forecast.json").write_text(text)
        plain = config.model_dump(mode="json")
        (folder / "config.yaml").write_text(yaml.safe_dump(recordable(plain), sort_keys=False))
        for name, content_of in files.items():
            (folder / name).write_bytes(content_of)

    name = f"{options.kind}-{content['name']}-{config.seed}"
    folder = folders.write_whole(Path(config.output) / "forecast", name, fill, render)
    if options.kind == "train" and "model" in options.given:
        target = Path(options.given["model"])
        with folders.explained(target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, files["day_ahead.wedmodel"])
    return folder


Answer = tuple[dict[str, Any], dict[str, bytes]]


def _day(given: Mapping[str, str], config: ForecastConfig, seasons: Seasons) -> Answer:
    date = _date(given, "date", dt.date(seasons.years[-1], 6, 19))
    start_s = _utc(date) + ISSUE_HOUR * HOUR_S
    now_s = _now(given, start_s - DAY_S)
    if start_s + DAY_S <= now_s:
        raise ConfigError(f"date: {date} is over at {answers.moment(now_s)}; give an earlier now=")
    listed = None
    if "weddings" in given:
        try:
            listed = read_bookings(Path(given["weddings"]), config.population)
        except BookingsError as error:
            raise ConfigError(f"weddings: {error}") from None
    else:
        _within(date, seasons, "date")
    model = Path(given["model"]) if "model" in given else None
    return answers.of_day(config, seasons, date, start_s, now_s, listed, model), {}


def _wedding(given: Mapping[str, str], config: ForecastConfig, seasons: Seasons) -> Answer:
    date = _date(given, "date", dt.date(seasons.years[-1], 6, 19))
    kinds = [kind.value for kind in WeddingType]
    kind = given.get("type", "medium")
    if kind not in kinds:
        raise ConfigError(f'type: "{kind}" is not allowed ({", ".join(kinds)}){close(kind, kinds)}')
    zone = given.get("zone", "America/New_York")
    try:
        where = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f'zone: "{zone}" is not an IANA time zone (such as America/New_York)'
            f"{close(zone, list(config.population.time_zones))}"
        ) from None
    at = given.get("time", "16:00")
    try:
        begins = dt.datetime.combine(date, dt.time.fromisoformat(at), tzinfo=where)
    except ValueError:
        raise ConfigError(f'time: "{at}" is not a time of day, write it as HH:MM') from None
    ceremony_s = begins.timestamp()
    wedding = Wedding(
        id="asked",
        time_zone=zone,
        type=WeddingType(kind),
        guests=_whole(given, "guests", 100),
        vendors=_whole(given, "vendors", 13),
        phase_start_s=tuple(ceremony_s + float(offset) for offset in seasons.offsets_s),
    )
    now_s = _now(given, ceremony_s - DAY_S)
    return answers.of_wedding(config, seasons, wedding, date, now_s), {}


def _season(given: Mapping[str, str], config: ForecastConfig, seasons: Seasons) -> Answer:
    year = _whole(given, "year", seasons.years[-1])
    season = given.get("season", "all")
    if season not in seasonal.SEASONS:
        allowed = list(seasonal.SEASONS)
        raise ConfigError(
            f'season: "{season}" is not allowed ({", ".join(allowed)}){close(season, allowed)}'
        )
    if year not in seasons.years:
        raise ConfigError(
            f"year: {year} is not allowed ({seasons.years[0]} … {seasons.years[-1]}, see "
            "seasons.first_year and seasons.years)"
        )
    now_s = _now(given, _utc(dt.date(year, 1, 1)))
    return answers.of_season(config, seasons, year, season, now_s), {}


def _train(given: Mapping[str, str], config: ForecastConfig, seasons: Seasons) -> Answer:
    del given
    return answers.of_training(config, seasons)


def _within(date: dt.date, seasons: Seasons, key: str) -> None:
    first, last = seasons.days.dates[0], seasons.days.dates[-2]
    if not first <= date <= last:
        raise ConfigError(f"{key}: {date} is not allowed ({first} … {last}, the seasons there are)")


def _date(given: Mapping[str, str], key: str, usual: dt.date) -> dt.date:
    text = given.get(key)
    try:
        return usual if text is None else dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f'{key}: "{text}" is not a date, write it as YYYY-MM-DD') from None


def _now(given: Mapping[str, str], usual_s: float) -> float:
    text = given.get("now")
    try:
        return usual_s if text is None else parse_time(text)
    except ValueError:
        raise ConfigError(f'now: "{text}" is not an ISO 8601 time') from None


def _whole(given: Mapping[str, str], key: str, usual: int) -> int:
    text = given.get(key)
    try:
        return usual if text is None else int(text)
    except ValueError:
        raise ConfigError(f'{key}: "{text}" is not a whole number') from None


def _utc(date: dt.date) -> float:
    return dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC).timestamp()
