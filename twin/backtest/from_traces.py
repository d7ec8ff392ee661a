"""Cases from files: every trace in a folder, hour by hour, with a calendar where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.model import Calendar
from engine.prediction.forecaster import NO_EVENTS
from scenarios.traces import files as traces
from scenarios.traces import fixtures
from scenarios.traces.files import FileLayout, NoTraceError, Trace, TraceError
from twin.backtest.cases import Case
from twin.backtest.rolling import RollingWindow

STEP_S = 3600.0
DAY = 24
LEAST_STEPS = 5 * DAY
"""A trace must cover five days: a few to learn a day's rhythm from, some to be judged on."""
TEST_SHARE = 0.4
MOST_TEST_STEPS = 28 * DAY
WARM_STEPS = 14 * DAY
REFIT_STEPS = 3 * DAY
REFIT_STEPS_WITH_EVENTS = DAY


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no case, and why."""

    file: str
    why: str


def cases(
    path: Path,
    calendar: Calendar | None,
    leads: Sequence[int],
    test_from_s: float | None,
    *,
    seed: int,
    layout: FileLayout = FileLayout(),  # noqa: B008 (frozen)
) -> tuple[list[Case], list[Skipped]]:
    """The cases in the file or folder `path`, and what was left out.

    `layout` says how the files are to be read, where they do not say so themselves.
    Without a `calendar`, a file `fixtures*.csv` beside a trace is taken as one.  Raises TraceError
    when a trace is broken or nothing can be used.
    """
    kept: list[Case] = []
    skipped: list[Skipped] = []
    for file in traces.find(path):
        name = traces.stem(file if path.is_file() else file.relative_to(path))
        if path.is_file():
            trace = traces.read(file, name, layout)
        else:
            try:
                trace = traces.read(file, str(file.relative_to(path).parent / name), layout)
            except NoTraceError as error:
                skipped.append(Skipped(str(file.relative_to(path)), _reason(file, error)))
                continue
        events = calendar if calendar is not None else _beside(file, layout.zone)
        case, why = _case(trace, events, tuple(leads), test_from_s, seed=seed)
        if case is None:
            skipped.append(Skipped(trace.name, why))
        else:
            kept.append(case)
    if not kept:
        detail = f"; for instance {skipped[0].file}: {skipped[0].why}" if skipped else ""
        raise TraceError(f"data: {path} holds no series that can be forecast{detail}")
    return kept, skipped


def _case(
    trace: Trace,
    calendar: Calendar,
    leads: tuple[int, ...],
    test_from_s: float | None,
    *,
    seed: int,
) -> tuple[Case | None, str]:
    if trace.step_s > STEP_S:
        return None, f"its rows are {trace.step_s:,.0f} s apart; at most {STEP_S:,.0f} s are needed"
    try:
        series = traces.on_grid(trace, STEP_S)
    except TraceError as error:
        return None, str(error)
    values = series.values
    steps = len(values)
    if steps < LEAST_STEPS:
        return None, f"covers {steps} hours; at least {LEAST_STEPS} are needed"
    first = steps - int(min(TEST_SHARE * steps, MOST_TEST_STEPS))
    if test_from_s is not None:
        first = int(np.ceil((test_from_s - series.start_s) / STEP_S))
        if not 2 * DAY <= first < steps:
            return None, "test_from: leaves less than two days before it, or nothing after it"
    if not np.isfinite(values[:first]).any() or not np.isfinite(values[first:]).any():
        return None, "holds no values before, or none in, the part that is tested"
    if not np.nansum(np.abs(values[first:])) > 0.0:
        return None, "is 0 throughout the part that is tested; errors are shares of the values"
    if len(calendar.start_s) and not _meet(calendar, series.start_s, steps):
        calendar = NO_EVENTS
    warm = max(first - WARM_STEPS, first // 2)
    every = REFIT_STEPS_WITH_EVENTS if len(calendar.start_s) else REFIT_STEPS
    course = RollingWindow(warm, first, steps, every)
    return Case(trace.name, "", series, calendar, course, leads, seed), ""


def _meet(calendar: Calendar, start_s: float, steps: int) -> bool:
    """Whether any event falls into the time that a series covers."""
    inside = (calendar.start_s >= start_s) & (calendar.start_s <= start_s + STEP_S * steps)
    return bool(inside.any())


def _beside(file: Path, zone: str) -> Calendar:
    """The calendar that lies in the trace's folder; of two neither."""
    beside = sorted(file.parent.glob("*.csv"))
    calendars = [other for other in beside if fixtures.is_calendar(other)]
    alone = len(calendars) == 1 and calendars[0] != file
    return fixtures.read(calendars[0], zone) if alone else NO_EVENTS


def _reason(file: Path, error: NoTraceError) -> str:
    if fixtures.is_calendar(file):
        return "is a calendar of events"
    return str(error).removeprefix(f"{file}: ")
