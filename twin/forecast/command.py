"""`python -m twin forecast day|wedding|season|train`: ask the forecasters, and train the model.

The weddings are those of `conf/seasons`, or of a file; what they are asked for is worked out from
what was known at `now`.  The engine reads no clock, and neither does this: without `now` it is the
morning before.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import yaml

from engine.config.assignments import whole
from engine.config.complaints import close
from engine.config.secrets import recordable
from engine.config.strict import ConfigError
from engine.model import Wedding, WeddingType
from engine.prediction.forecaster import MOST_GUESTS
from engine.prediction.season import SEASONS
from engine.record import folders
from engine.record.files import write_atomically
from scenarios.traces.moments import parse_time
from twin.forecast.arguments import ForecastArguments
from twin.forecast.bookings import BookingsError, read_bookings
from twin.forecast.settings import ForecastConfig, parse, seasons_of
from twin.forecast.times import DAY_S, HOUR_S, ISSUE_HOUR, moment

if TYPE_CHECKING:
    from scenarios.seasons.years import Seasons


def run(options: ForecastArguments, command: str, render: Callable[[Path], None]) -> Path:
    """Answer and write the record; returns its folder.  Raises ConfigError or OutputError."""
    config = parse(options.tree)
    folders.check_writable(Path(config.output))
    judged = {"day": _day, "wedding": _wedding, "season": _season, "train": _train}[options.kind]
    ask = judged(options.given, config)

    from twin.commands import terminal

    seasons = seasons_of(config)
    try:
        with terminal.progress(f"forecast {options.kind}", 1.0) as advance:
            answer, files = ask(seasons)
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
        with folders.explained(target.parent, "model"):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, files["day_ahead.wedmodel"])
    return folder


Answer = tuple[dict[str, Any], dict[str, bytes]]
Ask = Callable[["Seasons"], Answer]
"""What is asked of the seasons, all that was given being right."""


def _day(given: Mapping[str, str], config: ForecastConfig) -> Ask:
    first, last = _years(config)
    date = _date(given, "date", dt.date(last, 6, 19))
    start_s = _utc(date) + ISSUE_HOUR * HOUR_S
    now_s = _now(given, start_s - DAY_S)
    if start_s + DAY_S <= now_s:
        raise ConfigError(f"date: {date} is over at {moment(now_s)}; give an earlier now=")
    listed = None
    if "weddings" in given:
        try:
            listed = read_bookings(Path(given["weddings"]), config.population)
        except BookingsError as error:
            raise ConfigError(f"weddings: {error}") from None
    elif not dt.date(first, 1, 1) <= date <= dt.date(last, 12, 30):
        raise ConfigError(
            f"date: {date} is not allowed ({first}-01-01 … {last}-12-30, the seasons there are)"
        )
    model = Path(given["model"]) if "model" in given else None
    if model is not None and not model.is_file():
        raise ConfigError(f"model: {model}: there is no such file; train makes one")

    def ask(seasons: Seasons) -> Answer:
        from twin.forecast import answers

        return answers.of_day(
            config, seasons, date, start_s, now_s=now_s, listed=listed, model=model
        ), {}

    return ask


def _wedding(given: Mapping[str, str], config: ForecastConfig) -> Ask:
    date = _date(given, "date", dt.date(_years(config)[1], 6, 19))
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
    guests = whole("guests", given.get("guests", "100"), 0, MOST_GUESTS)
    vendors = whole("vendors", given.get("vendors", "13"), 0, MOST_GUESTS)
    ceremony_s = begins.timestamp()
    now_s = _now(given, ceremony_s - DAY_S)

    def ask(seasons: Seasons) -> Answer:
        from twin.forecast import answers

        wedding = Wedding(
            id="asked",
            time_zone=zone,
            type=WeddingType(kind),
            guests=guests,
            vendors=vendors,
            phase_start_s=tuple(ceremony_s + float(offset) for offset in seasons.offsets_s),
        )
        return answers.of_wedding(config, seasons, wedding, date, now_s=now_s), {}

    return ask


def _season(given: Mapping[str, str], config: ForecastConfig) -> Ask:
    first, last = _years(config)
    text = given.get("year", str(last))
    if text not in [str(year) for year in range(first, last + 1)]:
        raise ConfigError(f"year: {text} is not allowed ({first} … {last}, the seasons there are)")
    year = int(text)
    season = given.get("season", "all")
    if season not in SEASONS:
        allowed = list(SEASONS)
        raise ConfigError(
            f'season: "{season}" is not allowed ({", ".join(allowed)}){close(season, allowed)}'
        )
    now_s = _now(given, _utc(dt.date(year, 1, 1)))

    def ask(seasons: Seasons) -> Answer:
        from twin.forecast import answers

        return answers.of_season(config, seasons, year, season, now_s=now_s), {}

    return ask


def _train(given: Mapping[str, str], config: ForecastConfig) -> Ask:
    del given

    def ask(seasons: Seasons) -> Answer:
        from twin.forecast import answers

        return answers.of_training(config, seasons)

    return ask


def _years(config: ForecastConfig) -> tuple[int, int]:
    """The first and the last of the seasons' years."""
    return config.seasons.first_year, config.seasons.first_year + config.seasons.years - 1


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


def _utc(date: dt.date) -> float:
    return dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC).timestamp()
