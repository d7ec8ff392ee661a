"""What a calendar lets expect of a load that was only ever measured as a whole.

For weddings it is known how many people do what when.  Of another service there is a series of its
load, and perhaps a list of events.  Its days are taken apart into

    load(t) = level(day) * (profile(kind of day, time of day) + sum over events of
              scale(kind of day) * size(event) * effect(t - start of the event))

where the kinds are weekdays and weekends.  Profile and effect are fitted together by regularised
non-negative least squares, levels and scales in turn with them (alternating least squares), recent
days counting more.  Everything is learned from what lies before one moment; for the days after it
the levels are those of the last days of their kind.

Days that were closed and hours that cannot be true are left out (`engine.prediction.believed`).
The level to come is a mean of those of the days that were open, each weighed by how much of it was
measured and none counting as further from their median than a day can be; what was left out widens
`sigma`, for nobody knows whether the day to come is such a day.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from engine.model import Calendar, FloatArray, Series
from engine.prediction.believed import (
    HALF_LIFE_DAYS,
    Believed,
    BoolArray,
    IntArray,
    believed,
    weekday_of,
)

DAY_S = 86_400.0
HOUR_S = 3600.0
KNOTS = 48
"""Knots of a day's profile: one each half hour, straight lines between."""
LAG_S = 600.0
"""Width of the steps of an event's effect."""
ROUNDS = 4
LEVEL_HALF_LIFE_DAYS = 2.0
SMOOTHNESS = 0.3
SIGMA_LIMITS = (0.05, 0.8)
SCALE_LIMITS = (0.05, 20.0)
WORKING_DAYS = 5
MIN_LEVEL = 1e-9
LEVEL_REACH = math.log(1.5)
"""No day counts as further (log) than this from the median level of the days like it."""
ERROR_REACH = math.log(4.0)
"""No hour's error (log) counts as larger than this."""
LEAST_SHARE = 0.01
"""Hours that are expected to have less than this share of the mean hour's load are not judged: a
share of next to nothing says nothing."""
LEFT_OUT = 0.25
"""A day of which more than this share is not believed is one that was left out."""


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds before an event's start and after it in which it makes a difference."""

    before_s: float
    after_s: float

    @property
    def lags_s(self) -> FloatArray:
        """Edges (steps + 1,) of the steps of the effect, relative to the start."""
        steps = max(math.ceil((self.before_s + self.after_s) / LAG_S), 1)
        return -self.before_s + LAG_S * np.arange(steps + 1, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """What was learned by `until_s` (epoch seconds), in the unit of the series.

    `profile` (kinds, KNOTS) and `effect` (lag steps,) are those of a day with level 1; `level`
    and `scale` (kinds,) what they are multiplied by from `until_s` on.  `closed` (7,) are the
    weekdays, Monday first, on which nothing is expected but events.  `sigma` is the log-standard
    deviation of an hour's load around what would have been expected the day before.
    """

    zone: str
    until_s: float
    profile: FloatArray
    level: FloatArray
    scale: FloatArray
    lags_s: FloatArray
    effect: FloatArray
    closed: BoolArray
    sigma: float

    def base(self, times_s: FloatArray) -> FloatArray:
        """The load without events at `times_s` (n,)."""
        day, second = _local(times_s, self.zone)
        kind = _kind(day, len(self.level))
        level = np.where(self.closed[weekday_of(day)], 0.0, self.level[kind])
        load: FloatArray = level * _profile_at(self.profile, kind, second)
        return load

    def weight(self, starts_s: FloatArray) -> FloatArray:
        """By what the effect of an event of size 1 is multiplied when it starts then (n,)."""
        kind = _kind(_local(starts_s, self.zone)[0], len(self.level))
        weight: FloatArray = self.level[kind] * self.scale[kind]
        return weight

    def load(self, times_s: FloatArray, calendar: Calendar) -> FloatArray:
        """The load at `times_s` (n,) with the events of `calendar`."""
        weight = self.weight(calendar.start_s) * calendar.size
        return self.base(times_s) + _events(times_s, calendar.start_s, weight, self.lags_s) @ (
            self.effect
        )


def learn(history: Series, calendar: Calendar, span: Span, zone: str) -> Expectation:
    """Learn from all of `history`; NaN in it counts as not measured.

    `calendar` is what is known of the events, `zone` the IANA name of the time zone in which days
    have their shape.  Raises ValueError when nothing was measured.
    """
    until_s = history.start_s + history.step_s * len(history.values)
    times_s, values = _steps(history)
    if not len(values):
        raise ValueError("nothing was measured before")
    lags_s = span.lags_s
    day, second = _local(times_s, zone)
    days, index = np.unique(day, return_inverse=True)
    if until_s - times_s[0] < DAY_S:
        return _flat(values, until_s, zone, lags_s)
    kinds = 2 if _has_both(days) else 1
    kind = _kind(days, kinds)
    entered = calendar.known_at(until_s)
    events = _events(times_s, entered.start_s, entered.size, lags_s)
    near: BoolArray = events.sum(axis=1) > 0.0
    usual = believed(days, kind, index, second, values=values, near_event=near)
    kept = usual.steps
    of_days = _Days(days, index[kept], second[kept], kinds, until_s)
    fit = _fit(of_days, values[kept], times_s[kept], events[kept])
    level = np.array([_recent(days, fit.level, usual, k, kinds=kinds) for k in range(kinds)])
    sigma = _sigma(fit, of_days, times_s[kept], values[kept], usual=usual)
    return Expectation(
        zone, until_s, fit.profile, level, fit.scale, lags_s, fit.effect, usual.closed, sigma
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Days:
    """The days of the history: `day` (d,) ordinals, and for each step its day and time of day."""

    day: IntArray
    index: IntArray
    second: FloatArray
    kinds: int
    until_s: float


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    profile: FloatArray
    level: FloatArray
    scale: FloatArray
    effect: FloatArray
    shape: FloatArray
    """What each step would be on a day of level 1."""


def _fit(days: _Days, values: FloatArray, times_s: FloatArray, events: FloatArray) -> _Fit:
    """`events` (n, lag steps) is the summed size of the events that are in each step."""
    kind = _kind(days.day, days.kinds)[days.index]
    age_days = (days.until_s - times_s) / DAY_S
    weight = 0.5 ** (age_days / HALF_LIFE_DAYS)
    many = len(days.day)
    count = np.maximum(np.bincount(days.index, minlength=many), 1)
    level = np.maximum(np.bincount(days.index, values, many) / count, MIN_LEVEL)
    scale = np.ones(days.kinds)
    knots = _knots(days.second)
    steps = events.shape[1]
    profile = np.ones((days.kinds, KNOTS))
    effect = np.zeros(steps)
    shape = np.ones(len(values))
    with_events = bool(events.any())
    for _ in range(ROUNDS):
        target = values / level[days.index]
        design = np.zeros((len(values), days.kinds * KNOTS + steps))
        for k in range(days.kinds):
            rows = kind == k
            design[rows, k * KNOTS : (k + 1) * KNOTS] = knots[rows]
        design[:, days.kinds * KNOTS :] = events * scale[kind][:, None]
        solution = _solve(design, target, weight, days.kinds, steps=steps)
        profile = solution[: days.kinds * KNOTS].reshape(days.kinds, KNOTS)
        effect = solution[days.kinds * KNOTS :]
        base = (knots * profile[kind]).sum(axis=1)
        extra = events @ effect
        if with_events:
            scale = _scales(target - base, extra, weight, kind, kinds=days.kinds)
        shape = np.maximum(base + scale[kind] * extra, MIN_LEVEL)
        own = np.bincount(days.index, shape * values, many)
        power = np.bincount(days.index, shape * shape, many)
        level = np.maximum(own / np.maximum(power, MIN_LEVEL**2), MIN_LEVEL)
    return _Fit(profile, level, scale, effect, shape)


def _solve(
    design: FloatArray, target: FloatArray, weight: FloatArray, kinds: int, *, steps: int
) -> FloatArray:
    """Non-negative least squares, neighbours held together by a penalty on second differences."""
    gram = design.T @ (design * weight[:, None])
    right = design.T @ (target * weight)
    strength = SMOOTHNESS * max(float(np.trace(gram)) / len(gram), 1e-12)
    for k in range(kinds):
        around = np.eye(KNOTS) - 0.5 * (
            np.roll(np.eye(KNOTS), 1, axis=1) + np.roll(np.eye(KNOTS), -1, axis=1)
        )
        part = slice(k * KNOTS, (k + 1) * KNOTS)
        gram[part, part] += strength * around.T @ around
    along = np.eye(steps) - 0.5 * (np.eye(steps, k=1) + np.eye(steps, k=-1))
    gram[kinds * KNOTS :, kinds * KNOTS :] += strength * along.T @ along
    gram += 1e-9 * strength * np.eye(len(gram))
    root = np.linalg.cholesky(gram)
    from scipy.optimize import nnls  # only here: who has no history fits nothing

    solution: FloatArray = nnls(root.T, np.linalg.solve(root, right), maxiter=10_000)[0]
    return solution


def _scales(
    rest: FloatArray, extra: FloatArray, weight: FloatArray, kind: IntArray, *, kinds: int
) -> FloatArray:
    """How strong the events are on each kind of day, relative to the kind that has most of them."""
    power = np.array([(weight * extra**2)[kind == k].sum() for k in range(kinds)])
    if power.max() <= 0.0:
        return np.ones(kinds)
    match = np.array([(weight * extra * rest)[kind == k].sum() for k in range(kinds)])
    prior = 0.02 * power.max()
    scale = (match + prior) / (power + prior)
    scale /= scale[int(power.argmax())]
    limited: FloatArray = np.clip(scale, *SCALE_LIMITS)
    return limited


def _sigma(
    fit: _Fit, days: _Days, times_s: FloatArray, values: FloatArray, *, usual: Believed
) -> float:
    """Error of an hour's load in the last week, each day with the level known the day before.

    The share of days that were left out counts as errors as large as any can be.
    """
    day, kind = days.day, _kind(days.day, days.kinds)
    before = np.array(
        [
            _recent(day[:d], fit.level[:d], usual, int(kind[d]), kinds=days.kinds)
            if d
            else math.nan
            for d in range(len(day))
        ]
    )
    weight = 0.5 ** ((day[-1] - day) / HALF_LIFE_DAYS)
    seen = weight * (usual.share + usual.left_out)
    left_out = float(seen[usual.left_out > LEFT_OUT].sum()) / max(float(seen.sum()), MIN_LEVEL)
    variance = SIGMA_LIMITS[1] ** 2
    recent = (times_s >= times_s[-1] - 7.0 * DAY_S) & np.isfinite(before[days.index])
    recent &= usual.open[days.index]
    if recent.any():
        hour = (times_s[recent] // HOUR_S).astype(np.int64)
        hour -= hour.min()
        expected = np.bincount(hour, (before[days.index] * fit.shape)[recent])
        real = np.bincount(hour, values[recent])
        judged = (expected > LEAST_SHARE * expected.mean()) & (real > 0.0)
        if judged.any():
            errors = np.clip(np.log(real[judged] / expected[judged]), -ERROR_REACH, ERROR_REACH)
            variance = float(np.mean(errors**2))
    variance += left_out * max(SIGMA_LIMITS[1] ** 2 - variance, 0.0)
    return float(np.clip(math.sqrt(variance), *SIGMA_LIMITS))


def _recent(days: IntArray, level: FloatArray, usual: Believed, kind: int, *, kinds: int) -> float:
    """Geometric mean of the levels of the last open days of a kind; of all where none was seen.

    Each day counts by how much of it was measured, and as no further from their median than
    `LEVEL_REACH`.  Zero where the days of that kind were seen and were not open.
    """
    count = len(days)
    same = _kind(days, kinds) == kind
    opened, share = usual.open[:count], usual.share[:count]
    if not (same & ((share > 0.0) | (usual.left_out[:count] > 0.0))).any():
        same = np.ones(count, np.bool_)
    counted = same & opened & (share > 0.0)
    if not counted.any():
        return 0.0
    age = (days[-1] - days[counted]).astype(np.float64)
    weight = share[counted] * 0.5 ** ((age - age.min()) / LEVEL_HALF_LIFE_DAYS)
    logs = np.log(level[counted])
    order = np.argsort(logs)
    sums = np.cumsum(weight[order])
    middle = logs[order][np.searchsorted(sums, 0.5 * sums[-1])]
    near = np.clip(logs, middle - LEVEL_REACH, middle + LEVEL_REACH)
    return math.exp(float(np.average(near, weights=weight)))


def _flat(values: FloatArray, until_s: float, zone: str, lags_s: FloatArray) -> Expectation:
    """With less than a day behind it, all that can be said is that it will go on as it was."""
    positive = values[values > 0.0]
    most = SCALE_LIMITS[1] * float(np.median(positive)) if len(positive) else 0.0
    level = np.array([max(float(np.minimum(values, most).mean()), MIN_LEVEL)])
    return Expectation(
        zone, until_s, np.ones((1, KNOTS)), level, np.ones(1), lags_s,
        np.zeros(len(lags_s) - 1), np.zeros(7, np.bool_), SIGMA_LIMITS[1],
    )  # fmt: skip


def _steps(history: Series) -> tuple[FloatArray, FloatArray]:
    """Middles and means of the steps to learn from: those of the series, or ten minutes of it."""
    many = max(int(LAG_S // history.step_s), 1)
    whole = len(history.values) // many * many
    parts = history.values[len(history.values) - whole :].reshape(-1, many)
    there = np.isfinite(parts)
    count = there.sum(axis=1)
    means = np.where(there, parts, 0.0).sum(axis=1) / np.maximum(count, 1)
    begin_s = history.start_s + history.step_s * (len(history.values) - whole)
    times_s = begin_s + history.step_s * many * (np.arange(len(parts)) + 0.5)
    kept = count > 0
    return times_s[kept], means[kept]


def _local(times_s: FloatArray, zone: str) -> tuple[IntArray, FloatArray]:
    """Local day (ordinal since 1970) and second of that day.

    The offset is looked up once for each UTC hour, so a change of the clocks falls where it does.
    """
    hours, index = np.unique(np.floor(times_s / HOUR_S), return_inverse=True)
    where = ZoneInfo(zone)
    offsets = np.array([_offset_s(hour * HOUR_S, where) for hour in hours.tolist()])
    local = times_s + offsets[index] if len(times_s) else times_s
    day = np.floor(local / DAY_S)
    return day.astype(np.int64), local - day * DAY_S


def _offset_s(time_s: float, zone: ZoneInfo) -> float:
    offset = dt.datetime.fromtimestamp(time_s, zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _kind(day: IntArray, kinds: int) -> IntArray:
    """0 for weekdays and 1 for weekends; 0 for all where they are not told apart."""
    kind: IntArray = ((weekday_of(day) >= WORKING_DAYS) & (kinds > 1)).astype(np.int64)
    return kind


def _has_both(days: IntArray) -> bool:
    """Whether there are two days of each kind at least."""
    weekends = int(_kind(days, 2).sum())
    return weekends >= 2 and len(days) - weekends >= 2


def _knots(second: FloatArray) -> FloatArray:
    """(n, KNOTS): the share of each knot in the profile at that second of the day."""
    position = second / DAY_S * KNOTS - 0.5
    low = np.floor(position).astype(np.int64)
    share = position - low
    knots = np.zeros((len(second), KNOTS))
    rows = np.arange(len(second))
    knots[rows, low % KNOTS] = 1.0 - share
    knots[rows, (low + 1) % KNOTS] += share
    return knots


def _profile_at(profile: FloatArray, kind: IntArray, second: FloatArray) -> FloatArray:
    position = second / DAY_S * KNOTS - 0.5
    low = np.floor(position).astype(np.int64)
    share = position - low
    at: FloatArray = (1.0 - share) * profile[kind, low % KNOTS]
    at += share * profile[kind, (low + 1) % KNOTS]
    return at


def _events(
    times_s: FloatArray, starts_s: FloatArray, weight: FloatArray, lags_s: FloatArray
) -> FloatArray:
    """(n, lag steps): the summed weight of the events that are in each step at that time."""
    design = np.zeros((len(times_s), len(lags_s) - 1))
    for start_s, size in zip(starts_s.tolist(), weight.tolist(), strict=True):
        first, last = np.searchsorted(times_s, (start_s + lags_s[0], start_s + lags_s[-1]))
        if first == last:
            continue
        step = np.searchsorted(lags_s, times_s[first:last] - start_s, side="right") - 1
        inside = (step >= 0) & (step < design.shape[1])
        np.add.at(design, (np.arange(first, last)[inside], step[inside]), size)
    return design
