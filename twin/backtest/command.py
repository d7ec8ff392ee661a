"""`python -m twin backtest`: how wrong the forecasts are, and whether anybody does better."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.config import assignments
from engine.config.assignments import listed, whole
from engine.config.strict import ConfigError, validated
from engine.record import folders
from scenarios.traces import fixtures
from scenarios.traces.config import TraceFileConfig
from scenarios.traces.files import FileLayout, TraceError, stem
from scenarios.traces.fixtures import FixturesError
from scenarios.traces.moments import parse_time
from twin.backtest import from_seasons, from_traces, results
from twin.backtest.cases import Case, JudgedCase, judge
from twin.backtest.from_traces import Skipped
from twin.commands import terminal
from twin.runs.workers import spread

KEYS = ("data", "calendar", "horizons", "test_from", "seed", "output", "workers", "days",
        "population.simultaneous")  # fmt: skip
FILE_KEYS = tuple(f"trace.{name}" for name in TraceFileConfig.model_fields)
"""How traces are to be read: the keys of a run that replays one."""
TRACE_HOURS = (1, 2)
EVENT_HOURS = (1, 2, 24)
MOST_HOURS = 168


@dataclass(frozen=True, slots=True)
class BacktestArguments:
    """What the command line asks for.  Without `data`: the twin's own seasons."""

    data: Path | None = None
    calendar: Path | None = None
    horizons: tuple[int, ...] = ()
    test_from_s: float | None = None
    seed: int = 1
    output: Path = Path("outputs")
    workers: int | None = None
    days: int = from_seasons.TEST_DAYS
    simultaneous: int | None = None
    layout: FileLayout = FileLayout()  # noqa: RUF009 (frozen)


def read(arguments: Sequence[str]) -> BacktestArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    given = assignments.read(arguments, (*KEYS, *FILE_KEYS), tree=False).own
    for key in ("calendar", "test_from", *FILE_KEYS):
        if key in given and "data" not in given:
            raise ConfigError(f"{key}: goes with data=…; the seasons have their own")
    if "days" in given and "data" in given:
        raise ConfigError("days: is for the seasons; data=… takes test_from=…")
    if "population.simultaneous" in given and "data" in given:
        raise ConfigError("population.simultaneous: is for the seasons; data=… is what it is")
    layout = _layout(given)
    return BacktestArguments(
        data=Path(given["data"]) if "data" in given else None,
        calendar=Path(given["calendar"]) if "calendar" in given else None,
        horizons=_hours(given["horizons"]) if "horizons" in given else (),
        test_from_s=_moment(given["test_from"], layout.zone) if "test_from" in given else None,
        seed=whole("seed", given.get("seed", "1"), 0, 2**63 - 1),
        output=Path(given.get("output", "outputs")),
        workers=whole("workers", given["workers"], 1, 1024) if "workers" in given else None,
        days=whole("days", given.get("days", str(from_seasons.TEST_DAYS)), 2, 60),
        simultaneous=whole("population.simultaneous", given["population.simultaneous"], 1, 10**7)
        if "population.simultaneous" in given
        else None,
        layout=layout,
    )


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Judge everything that is asked for and write the record; returns its folder.

    Raises ConfigError or OutputError.
    """
    options = read(arguments)
    folders.check_writable(options.output)
    started = dt.datetime.now(dt.UTC)
    began = time.perf_counter()
    cases, skipped = _cases(options)
    order = sorted(range(len(cases)), key=lambda i: -len(cases[i].series.values))
    judged: list[JudgedCase | None] = [None] * len(cases)
    done = 0
    with terminal.progress(f"{len(cases)} series", len(cases)) as advance:
        for at, case in spread(judge, [cases[i] for i in order], options.workers):
            judged[order[at]] = case
            done += 1
            advance(done)
    whole = [case for case in judged if case is not None]
    about = {
        "command": command,
        "started_at": started.isoformat(timespec="seconds"),
        "seed": options.seed,
        "source": "traces" if options.data else "seasons",
        "name": _name(options),
        "platform": from_seasons.configuration(options.seed, options.simultaneous).size
        if options.data is None
        else "",
        "wall_s": round(time.perf_counter() - began, 1),
    }
    content = results.content(whole, [asdict(item) for item in skipped], about)

    def fill(folder: Path) -> None:
        results.write(folder, content, whole)

    base = options.output / "backtest"
    name = f"{started:%Y%m%dT%H%M%SZ}-{_name(options)}-{options.seed}"
    folder = folders.write_whole(base, name, fill, render)
    terminal.show_backtest(content, folder)
    return folder


def _cases(options: BacktestArguments) -> tuple[list[Case], list[Skipped]]:
    if options.data is None:
        leads = options.horizons or EVENT_HOURS
        with terminal.progress("booking the seasons", 1.0) as advance:
            return from_seasons.cases(
                leads, options.seed, options.days, options.simultaneous, advance
            ), []
    try:
        calendar = (
            fixtures.read(options.calendar, options.layout.zone) if options.calendar else None
        )
        cases, skipped = from_traces.cases(
            options.data, calendar, options.horizons or TRACE_HOURS, options.test_from_s,
            options.seed, options.layout,
        )  # fmt: skip
    except FixturesError as error:
        raise ConfigError(f"calendar: {error}") from error
    except TraceError as error:
        text = str(error)
        raise ConfigError(text if text.startswith("data:") else f"data: {text}") from error
    if calendar is not None and not any(len(case.calendar.start_s) for case in cases):
        raise ConfigError(
            f"calendar: {options.calendar}: none of its events falls into the time of the traces"
        )
    if not options.horizons:
        cases = [_with_a_day(case) for case in cases]
    return cases, skipped


def _with_a_day(case: Case) -> Case:
    """Where there are events, a day ahead is asked for, too."""
    if not len(case.calendar.start_s):
        return case
    return Case(case.name, case.service, case.series, case.calendar, case.course, EVENT_HOURS,
                case.seed)  # fmt: skip


def _name(options: BacktestArguments) -> str:
    if options.data is None:
        return "seasons"
    return stem(options.data.resolve()).replace(" ", "_") or "data"


def _hours(text: str) -> tuple[int, ...]:
    items = assignments.listed("horizons", text)
    return tuple(sorted(whole("horizons", item, 1, MOST_HOURS) for item in items))


def _layout(given: Mapping[str, str]) -> FileLayout:
    """How the files are to be read; raises ConfigError."""
    raw: dict[str, object] = {}
    for key in FILE_KEYS:
        if key in given:
            several = given[key].startswith("[")
            raw[key.removeprefix("trace.")] = listed(key, given[key]) if several else given[key]
    try:
        return validated(TraceFileConfig, raw).layout
    except ConfigError as error:
        raise ConfigError("\n".join(f"trace.{line}" for line in str(error).splitlines())) from None


def _moment(text: str, zone: str) -> float:
    try:
        return parse_time(text, zone)
    except ValueError:
        raise ConfigError(f'test_from: "{text}" is not an ISO 8601 time') from None
