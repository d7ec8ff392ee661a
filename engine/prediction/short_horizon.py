"""The short-horizon forecaster for any series: many ideas, weighed by how they did lately.

No single model is best on every series: a week-long rhythm, a level that jumps, noise around a
median and load that follows a calendar each want another one.  So experts of all these sorts
forecast side by side, and the forecast is their weighted median.  The weights follow from the
absolute errors that each made *before* the origin, on forecasts that it had issued without knowing
the outcome, so nothing is chosen in hindsight.  The median does not move when one expert fails.

With a calendar of events the same experts exist once more, aware of it
(`engine.prediction.events`); whether that helps is for the weights to find out.  What their median
missed in the hours of earlier events then moves it in those to come
(`engine.prediction.conditional`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.signal import lfilter

from engine.model import Calendar, FloatArray, Series
from engine.prediction.classical import ETS_FORMS, HOLT_WINTERS, Classical
from engine.prediction.conditional import of_calendar, shifts
from engine.prediction.experts import (
    Before,
    Expert,
    HourMedian,
    Last,
    Median,
    Smoothed,
    WeekTimesRatio,
)
from engine.prediction.forecaster import IntArray
from engine.prediction.learned import Boosting, Ridge
from engine.prediction.past import SeriesPast, prepare, usual
from engine.prediction.smoothing import DAILY, LOCAL, WEEKLY

DAY_S = 86_400.0
MEMORY_DAYS, MEMORY_LEADS = 0.5, 4.0
"""Half-life of an error in the judgement of an expert: half a day, and four times the lead."""
SHARPNESS = 5.0
"""How much the better experts are preferred: weight ~ (mean absolute error)^-sharpness."""
JUDGED_DAYS = 14
WEEKS_FOR_A_WEEK = 4
"""Weeks of history from which on boosting builds upon the weekly rhythm instead of the daily."""

Bank = Callable[[bool, bool], Sequence[Expert]]


def bank(aware: bool, long: bool) -> list[Expert]:
    """The experts; `aware` with a calendar, `long` when there are weeks to learn from."""
    rhythm = WEEKLY if long else DAILY
    simple: list[Expert] = [
        Last(),
        Before(1, "same time yesterday"),
        Before(7, "same time last week"),
        WeekTimesRatio(3, "last week x recent ratio"),
        HourMedian(),
        Smoothed("daily smoothing", DAILY, aware=False),
        Smoothed("weekly smoothing", WEEKLY, aware=False),
    ]
    if aware:
        # Not all the blind ones again: a crowd of the like-minded would outvote the median.
        return [
            *simple,
            Smoothed("local smoothing, events", LOCAL, aware=True),
            Smoothed("daily smoothing, events", DAILY, aware=True),
            Smoothed("weekly smoothing, events", WEEKLY, aware=True),
            Ridge("regression on lags, events", aware=True),
            Boosting(Smoothed("", rhythm, aware=True), "boosting, events", aware=True),
        ]
    return [
        *simple,
        WeekTimesRatio(1, "last week x last ratio"),
        Median(1, "median of a day"),
        Median(7, "median of a week"),
        Smoothed("local smoothing", LOCAL, aware=False),
        Smoothed("local smoothing, plain", LOCAL, aware=False, plain=True),
        Smoothed("daily smoothing, plain", DAILY, aware=False, plain=True),
        Classical("Holt-Winters", HOLT_WINTERS),
        Classical("AutoETS", ETS_FORMS),
        Ridge("regression on lags", aware=False),
        Boosting(Smoothed("", rhythm, aware=False), "boosting", aware=False),
    ]


class ShortHorizon:
    """The ensemble; see the module.

    `leads` in steps.  The experts are made anew for each lead and each fit by `make`.  Errors count
    by `importance` (steps,) where it is given, known for all steps beforehand.
    """

    def __init__(
        self,
        leads: Sequence[int] = (1, 2),
        name: str = "short horizon",
        make: Bank = bank,
        importance: FloatArray | None = None,
    ) -> None:
        self._name = name
        self._leads = tuple(leads)
        self._make = make
        self._importance = importance
        self._experts: list[list[Expert | None]] = []
        self._names: list[str] = []
        self._issued: list[FloatArray] = []
        """For each lead (experts, steps): what was forecast from each step, before it was known."""
        self._until = 0
        self._unit = 1.0

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self._name

    @property
    def leads(self) -> tuple[int, ...]:
        """For how many steps ahead it forecasts."""
        return self._leads

    def fit(self, series: Series, until: int, calendar: Calendar) -> None:
        """Fit all experts to the steps before `until`; first let them be judged on the latest.

        Raises ValueError when nothing at all is known before `until`.
        """
        if not np.isfinite(series.values[:until]).any():
            raise ValueError(f"{series.name}: no values to learn from")
        if until < self._until:
            self._experts, self._until = [], 0
        if not self._experts:
            day = DAY_S / series.step_s
            judged = int(min(JUDGED_DAYS * day, until // 3))
            self._refit(series, max(until - judged, 1), calendar)
        self._remember(series, until, calendar)
        self._refit(series, until, calendar)

    def predict(self, series: Series, origins: IntArray, calendar: Calendar) -> FloatArray:
        """Medians (origins, leads); the origins not before the last fit."""
        forecasts = np.full((len(origins), len(self._leads)), np.nan)
        if not len(origins):
            return forecasts
        until = int(origins.max())
        past = self._past(series, until, calendar)
        for n, lead in enumerate(self._leads):
            issued = self._with_new(n, past)
            combined = self._combined(issued, past.values, lead, series.step_s)
            combined = self._moved(combined, past, lead, step_s=series.step_s, calendar=calendar)
            forecasts[:, n] = combined[origins - 1]
        return forecasts

    def weights(self, series: Series, origin: int, calendar: Calendar) -> dict[str, list[float]]:
        """The weight of each expert at `origin`, for each lead."""
        past = self._past(series, origin, calendar)
        by_lead = []
        for n, lead in enumerate(self._leads):
            issued = self._with_new(n, past)
            by_lead.append(self._weights(issued, past.values, lead, series.step_s)[:, -1])
        return {
            name: [float(weights[k]) for weights in by_lead] for k, name in enumerate(self._names)
        }

    def _past(self, series: Series, until: int, calendar: Calendar) -> SeriesPast:
        return prepare(series, until, calendar, max(self._leads), unit=self._unit)

    def _refit(self, series: Series, until: int, calendar: Calendar) -> None:
        self._unit = usual(series.values[:until])
        past = self._past(series, until, calendar)
        aware = bool(past.columns.any())
        long = until >= WEEKS_FOR_A_WEEK * past.seasons[1]
        self._experts = []
        for lead in self._leads:
            fitted: list[Expert | None] = []
            for expert in self._make(aware, long):
                try:
                    expert.fit(past, lead)
                    fitted.append(expert)
                except ValueError:
                    fitted.append(None)
            self._experts.append(fitted)
        names = [expert.name for expert in self._make(aware, long)]
        self._keep_rows(names)
        self._until = until

    def _keep_rows(self, names: list[str]) -> None:
        """Rows of the memory follow the experts: new ones begin empty."""
        if names == self._names:
            return
        self._issued = [
            np.array(
                [
                    issued[self._names.index(name)]
                    if name in self._names
                    else np.full(issued.shape[1], np.nan)
                    for name in names
                ]
            )
            for issued in self._issued or [np.zeros((0, 0))] * len(self._leads)
        ]
        self._names = names

    def _remember(self, series: Series, until: int, calendar: Calendar) -> None:
        past = self._past(series, until, calendar)
        self._issued = [self._with_new(n, past) for n in range(len(self._leads))]

    def _with_new(self, n: int, past: SeriesPast) -> FloatArray:
        """What was issued, and what the present experts say from their fit on: (experts, steps)."""
        steps = len(past.values)
        before = self._issued[n]
        # The row before the fit is the first that the present experts speak for.
        begin = max(self._until - 1, 0)
        issued = np.full((len(self._names), steps), np.nan)
        issued[:, : min(begin, before.shape[1])] = before[:, :begin]
        for k, expert in enumerate(self._experts[n]):
            if expert is not None and steps > begin:
                issued[k, begin:] = expert.track(past)[begin:steps]
        return issued

    def _combined(
        self, issued: FloatArray, values: FloatArray, lead: int, step_s: float
    ) -> FloatArray:
        return weighted_median(issued, self._weights(issued, values, lead, step_s))

    def _moved(
        self,
        combined: FloatArray,
        past: SeriesPast,
        lead: int,
        *,
        step_s: float,
        calendar: Calendar,
    ) -> FloatArray:
        """`combined` (steps,), the forecasts made at each step, moved in event hours."""
        if not len(calendar.start_s):
            return combined
        steps = len(combined)
        middle = np.full(steps + lead, np.nan)
        middle[lead:] = np.arcsinh(combined / past.unit)
        errors = np.full(steps + lead, np.nan)
        errors[:steps] = past.z - middle[:steps]
        conditions = of_calendar(calendar, past.times_s[: steps + lead], step_s)
        shift = shifts(errors, lead, conditions)[lead:]
        return np.where(shift == 0.0, combined, past.back(middle[lead:] + shift))

    def _weights(
        self, issued: FloatArray, values: FloatArray, lead: int, step_s: float
    ) -> FloatArray:
        half_life = MEMORY_DAYS * DAY_S / step_s + MEMORY_LEADS * lead
        memory = 0.5 ** (1.0 / half_life)
        counts = np.ones(len(values)) if self._importance is None else self._importance
        return expert_weights(issued, values, lead, memory, counts=counts[: len(values)])


def expert_weights(
    issued: FloatArray, values: FloatArray, lead: int, memory: float, *, counts: FloatArray
) -> FloatArray:
    """Weights (experts, steps) from the errors known at each step; an error counts by `counts`.

    `memory` is what is left of an error's weight a step later.  At a step on which an expert said
    nothing it is given the mean error of the others: who wakes late is neither favoured for what
    it was spared nor kept out.
    """
    errors = np.full_like(issued, np.nan)
    steps = issued.shape[1]
    if steps > lead:
        errors[:, lead:] = np.abs(issued[:, : steps - lead] - values[lead:]) * counts[lead:]
    there = np.isfinite(errors)
    speakers = there.sum(axis=0)
    mean = np.where(there, errors, 0.0).sum(axis=0) / np.maximum(speakers, 1)
    errors = np.where(there, errors, mean)
    speaking = speakers > 0
    total = _faded(np.where(speaking, errors, 0.0), memory)
    speaks = np.isfinite(issued)
    best = np.min(np.where(speaks, total, np.inf), axis=0)
    best = np.where(np.isfinite(best), best, 0.0)
    floor = 1e-9 * best + 1e-12
    weights = np.where(speaks, ((best + floor) / (total + floor)) ** SHARPNESS, 0.0)
    sums = weights.sum(axis=0)
    scaled: FloatArray = weights / np.where(sums > 0.0, sums, 1.0)
    return scaled


def _faded(values: FloatArray, memory: float) -> FloatArray:
    """The sum of all so far along the last axis, each faded by its age."""
    faded: FloatArray = lfilter([1.0], [1.0, -memory], values)
    return faded


def weighted_median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The weighted median of each column, linear between neighbours; NaN without any weight."""
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), axis=0)
    ordered = np.take_along_axis(values, order, axis=0)
    share = np.take_along_axis(weights, order, axis=0)
    middle = np.cumsum(share, axis=0) - 0.5 * share
    medians = np.full(values.shape[1], np.nan)
    for column in np.flatnonzero(share.sum(axis=0) > 0.0):
        used = share[:, column] > 0.0
        medians[column] = np.interp(0.5, middle[used, column], ordered[used, column])
    return medians
