"""One series, forecast by everybody along one course, and what came of it.

A case is plain data and is judged by a function of this module, so that cases can be spread over
processes; the same seed gives the same figures whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.model import Calendar, FloatArray, Series
from engine.prediction.classical import baselines, schedule_only
from engine.prediction.conditional import Conditions, of_booked, of_calendar
from engine.prediction.event_hours import busiest_saturdays, event_hours
from engine.prediction.forecaster import NO_EVENTS, Forecaster
from engine.prediction.past import DAY_S
from engine.prediction.scheduled import ScheduledForecaster
from engine.prediction.short_horizon import ShortHorizon
from scenarios.streams import Streams
from twin.backtest.rolling import RolledForecasts, RollingWindow, roll
from twin.backtest.scores import BoolArray, Difference, Score, difference, score, seasonal_error

ALL, EVENT_DAYS = "all", "event days"
EVENT_HOURS, OTHER_HOURS = "event hours", "other hours"
"""Kick-offs and the two hours after, or the busiest Saturdays; and everything else."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A series with its calendar, and over which steps and leads to forecast it.

    `booked` (leads, steps), where there is one, is the load that the schedule of the time let
    expect, known that many `leads` before: then the forecasters build upon it.
    """

    name: str
    service: str
    series: Series
    calendar: Calendar
    course: RollingWindow
    leads: tuple[int, ...]
    seed: int
    booked: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True, slots=True, eq=False)
class JudgedCase:
    """The figures of a case: by part, forecaster and lead; and the forecasts themselves.

    `differences` are those of the forecaster under test, the first of `outcomes`, from each other.
    """

    case: Case
    outcomes: tuple[RolledForecasts, ...]
    scores: dict[tuple[str, str, int], Score]
    differences: dict[tuple[str, str, int], Difference]

    @property
    def own(self) -> str:
        """The forecaster under test."""
        return self.outcomes[0].name


def forecasters(case: Case) -> list[Forecaster]:
    """The one under test, then everybody that it is compared with."""
    leads = case.leads
    others: list[Forecaster] = [*baselines(leads)]
    if len(case.booked):
        return [
            ScheduledForecaster(leads, case.booked),
            *others,
            ScheduledForecaster(leads, case.booked, learn=False),
        ]
    if len(case.calendar.start_s):
        blind = ShortHorizon(leads, "short horizon, no calendar")
        return [ShortHorizon(leads, "event-aware"), *others, schedule_only(leads), blind]
    return [ShortHorizon(leads), *others]


def rolled(case: Case) -> list[RolledForecasts]:
    """What everybody forecasts along the case's course, the one under test first."""
    own, *others = forecasters(case)
    outcomes = [roll(own, case.series, case.calendar, case.course, conditions=conditions(case))]
    for forecaster in others:
        calendar = case.calendar if forecaster.name == "schedule only" else NO_EVENTS
        outcomes.append(roll(forecaster, case.series, calendar, case.course))
    return outcomes


def conditions(case: Case) -> Conditions | None:
    """What the own intervals are learned apart by; None without events and booked load.

    Only events count that were known before the longest lead.
    """
    times_s = case.series.times_s()
    if len(case.booked):
        return of_booked(case.booked[-1], times_s)
    if not len(case.calendar.start_s):
        return None
    calendar = case.calendar
    early = calendar.known_s <= calendar.start_s - max(case.leads) * case.series.step_s
    kinds = tuple(kind for kind, kept in zip(calendar.kinds, early, strict=True) if kept)
    booked = Calendar(calendar.start_s[early], calendar.size[early], kinds, calendar.known_s[early])
    return of_calendar(booked, times_s, case.series.step_s)


def judge(case: Case) -> JudgedCase:
    """Roll everybody along the case's course and score them."""
    outcomes = rolled(case)
    parts = _parts(case)
    day = round(DAY_S / case.series.step_s)
    naive = seasonal_error(case.series.values[: case.course.first], day)
    values = case.series.values
    scores, differences = {}, {}
    streams = Streams(case.seed)
    for part, scored in parts.items():
        for outcome in outcomes:
            for row, lead in enumerate(case.leads):
                scores[part, outcome.name, lead] = score(
                    outcome.medians[row], outcome.quantiles[row], values, scored,
                    naive_error=naive, day=day, step_s=case.series.step_s,
                )  # fmt: skip
                if outcome is not outcomes[0]:
                    differences[part, outcome.name, lead] = _difference(
                        outcomes[0].medians[row], outcome.medians[row], values, scored, day=day,
                        rng=streams(f"{case.name}.{case.service}.{part}.{outcome.name}.{lead}"),
                        by_day=part in (EVENT_HOURS, OTHER_HOURS),
                    )  # fmt: skip
    return JudgedCase(case, tuple(outcomes), scores, differences)


def best_other(judged: JudgedCase, part: str, lead: int, but: Sequence[str] = ()) -> str:
    """The one with the least WAPE of those that the own forecaster is compared with."""
    wapes = {
        outcome.name: judged.scores[part, outcome.name, lead].wape
        for outcome in judged.outcomes[1:]
        if outcome.name not in but
    }
    finite = {name: wape for name, wape in wapes.items() if np.isfinite(wape)}
    return min(finite, key=lambda name: finite[name]) if finite else ""


def _parts(case: Case) -> dict[str, BoolArray]:
    steps = np.arange(len(case.series.values))
    scored = (steps >= case.course.first) & (steps < case.course.end)
    parts = {ALL: scored}
    if len(case.calendar.start_s) and not len(case.booked):
        days = np.floor(case.series.times_s() / DAY_S)
        of_events = np.isin(days, np.unique(np.floor(case.calendar.start_s / DAY_S)))
        parts[EVENT_DAYS] = scored & of_events
    inside = _inside(case, scored)
    if inside.any():
        parts[EVENT_HOURS], parts[OTHER_HOURS] = inside, scored & ~inside
    return parts


def _inside(case: Case, scored: BoolArray) -> BoolArray:
    """The scored steps in event hours; where load is booked, those of the busiest Saturdays."""
    times_s = case.series.times_s()
    if len(case.booked):
        there = scored.copy()
        there[scored] = busiest_saturdays(case.booked[-1][scored], times_s[scored])
        return there
    return scored & event_hours(case.calendar, times_s, case.series.step_s)


def _difference(
    own: FloatArray,
    other: FloatArray,
    values: FloatArray,
    scored: BoolArray,
    *,
    day: int,
    rng: np.random.Generator,
    by_day: bool,
) -> Difference:
    """`by_day` for parts that are not whole days: the hours of each day stay together."""
    here = np.flatnonzero(scored)
    own_error, other_error = np.abs(own - values)[here], np.abs(other - values)[here]
    if not by_day:
        return difference(own_error, other_error, values[here], day, rng=rng)
    there = np.isfinite(own_error) & np.isfinite(other_error)
    dates = np.unique(here[there] // day, return_inverse=True)[1]
    own_sum, other_sum, size = (
        np.bincount(dates, each[there]).astype(np.float64)
        for each in (own_error, other_error, np.abs(values[here]))
    )
    return difference(own_sum, other_sum, size, 1, rng=rng)
