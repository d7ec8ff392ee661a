"""How wrong the forecasts are: make the cases, judge each, write the record."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from engine.config.strict import ConfigError
from engine.record import folders
from scenarios.traces import fixtures
from scenarios.traces.files import TraceError, stem
from scenarios.traces.fixtures import FixturesError
from twin.backtest import from_seasons, from_traces, results
from twin.backtest.cases import Case, JudgedCase, judge
from twin.backtest.command import EVENT_HOURS, TRACE_HOURS, BacktestArguments
from twin.backtest.from_traces import Skipped
from twin.commands import terminal
from twin.runs.workers import spread


def run(options: BacktestArguments, command: str, render: Callable[[Path], None]) -> Path:
    """Judge everything that is asked for and write the record; returns its folder.

    Raises ConfigError or OutputError.
    """
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
                leads, options.seed, options.days, options.simultaneous, advance=advance
            ), []
    try:
        calendar = (
            fixtures.read(options.calendar, options.layout.zone) if options.calendar else None
        )
        cases, skipped = from_traces.cases(
            options.data, calendar, options.horizons or TRACE_HOURS, options.test_from_s,
            seed=options.seed, layout=options.layout,
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
