"""The next day and the one after it, hour by hour: booked outlook x learned response.

When the load comes is in the calendar; how much of it there is drifts.  Four steps, each with what
it can know:

1. *Level*: observed over expected of late, apart for weddings and for everybody else (weighted
   least squares with fading memory).  Growth, releases and fashion show here.
2. *Day*: a ridge regression of what is left on slower and faster levels, weekday, time of the year
   and the weather forecast.  There are only some thousand days to learn from, so it is linear.
3. *Hours*: quantile gradient boosting of what is left on the shape of the day (time, share of
   weddings, how steeply they begin and end).  There are plenty of hours to learn from; it sees
   nothing that would let it learn days by heart.
4. *Calibration*: conformal, on days that steps 2 and 3 have not seen, then adapted day by day.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from engine.model import FloatArray
from engine.prediction.artefact import Artefact, ArtefactError, Manifest, fingerprint
from engine.prediction.calibration import adapted_shifts, conformal_shift
from engine.prediction.forecaster import LEVELS
from engine.prediction.issues import DAY_H, DAY_S, FORESEEN_DAYS, HOURS, Issues

KIND = "day_ahead"
VERSION = 1
FEWEST_DAYS = 60
HELD_OUT = 0.25
"""Share of the days, the last ones, that the calibration is learned from."""
MOST_HELD_OUT_DAYS = 270
MEMORY_DAYS = (4.0, 14.0, 60.0)
"""Half-lives of the levels; the middle one is what the others are measured against."""
PRIOR_DAYS = 1.0
"""So many days of evidence that the level is 1."""
RIDGE = 10.0
BOOSTING: dict[str, Any] = {
    "max_iter": 40,
    "learning_rate": 0.08,
    "max_leaf_nodes": 8,
    "max_bins": 63,
    "min_samples_leaf": 300,
    "l2_regularization": 10.0,
    "early_stopping": False,
}
LOW = 1e-9
ADAPT_AFTER_DAYS = 2
"""A day is wholly known when the second issue after its own is made (an issue covers two)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Service:
    """What was learned of one service: the linear part, boosters by level, conformal shift."""

    mean: FloatArray
    scale: FloatArray
    coefficients: FloatArray
    boosters: tuple[HistGradientBoostingRegressor, ...]
    shift: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DayAhead:
    """The trained model: `fit` makes one, `predict` is all it does."""

    manifest: Manifest
    services: tuple[str, ...]
    _parts: tuple[_Service, ...]

    def predict(self, issues: Issues, rows: Sequence[int] | None = None) -> FloatArray:
        """Requests/s (rows, S, HOURS, LEVELS) for the hours of the given issues, or of all.

        What is forecast for an issue follows from what was known when it was made.  Raises
        ValueError where the issues are of other services.
        """
        if issues.services != self.services:
            raise ValueError(
                f"the model is of the services {', '.join(self.services)}, "
                f"not of {', '.join(issues.services)}"
            )
        wanted = np.arange(len(issues)) if rows is None else np.asarray(rows, dtype=np.int64)
        result = np.empty((len(wanted), len(self.services), HOURS, len(LEVELS)))
        if not len(wanted):
            return result
        levels = _levels(issues)
        # Only these issues and, for the adaptation, those of the last months need predictions.
        first = max(int(wanted.min()) - _ADAPT_DAYS, 0)
        last = int(wanted.max()) + 1
        outcomes = issues.outcomes()
        aims = np.array(LEVELS)
        for s, part in enumerate(self._parts):
            inputs = _inputs(issues, levels, outcomes, s, rows=slice(first, last))
            raw = _raw(part, inputs)
            # The second half of an issue's hours is the first of the next one's: judged there.
            truth = inputs.target[:, :DAY_H].copy()
            shifts = adapted_shifts(
                raw[:, :DAY_H], truth, aims, part.shift, delay=ADAPT_AFTER_DAYS - 1
            )
            logs = np.sort(raw + shifts[:, None, :], axis=2)
            rates = np.exp(np.clip(logs, -50.0, 50.0)) * inputs.base[:, :, None]
            result[:, s] = rates[wanted - first]
        return result

    def artefact(self) -> Artefact:
        """The model as it is saved."""
        parts = [
            {
                "mean": part.mean,
                "scale": part.scale,
                "coefficients": part.coefficients,
                "boosters": list(part.boosters),
                "shift": part.shift,
            }
            for part in self._parts
        ]
        return Artefact(self.manifest, {"services": list(self.services), "parts": parts})


_ADAPT_DAYS = 120


def fit(issues: Issues, seed: int = 0, figures: Mapping[str, float] | None = None) -> DayAhead:
    """Learn from all of `issues`; the same issues and seed give the same model.

    Raises ValueError where there are fewer than `FEWEST_DAYS` days with an outcome.
    """
    outcomes = issues.outcomes()
    measured = np.isfinite(outcomes[:, :, :DAY_H]).any(axis=(1, 2))
    if measured.sum() < FEWEST_DAYS:
        raise ValueError(
            f"history: {int(measured.sum())} days are too few to learn from "
            f"(at least {FEWEST_DAYS}); the schedule alone has to do"
        )
    levels = _levels(issues)
    days = len(issues)
    held = min(int(HELD_OUT * days), MOST_HELD_OUT_DAYS)
    aims = np.array(LEVELS)
    parts = []
    # One thread: sums in another order would be another model on another machine.
    with threadpool_limits(1):
        for s in range(len(issues.services)):
            inputs = _inputs(issues, levels, outcomes, s, rows=slice(0, days))
            early = _learned(inputs, slice(0, days - held), seed)
            unseen = _raw(early, inputs, slice(days - held, days))[:, :DAY_H]
            truth = inputs.target[days - held :, :DAY_H]
            shift = conformal_shift(unseen.reshape(-1, len(aims)), truth.reshape(-1), aims)
            whole = _learned(inputs, slice(0, days), seed)
            parts.append(
                _Service(whole.mean, whole.scale, whole.coefficients, whole.boosters, shift)
            )
    manifest = Manifest(
        kind=KIND,
        version=VERSION,
        fingerprint=fingerprint_of(issues),
        trained_until_s=float(issues.issued_s[-1] + DAY_S),
        seed=seed,
        figures=dict(figures or {}),
    )
    return DayAhead(manifest, issues.services, tuple(parts))


def fingerprint_of(issues: Issues) -> str:
    """What a model's manifest says of its training data."""
    return fingerprint(
        {
            "services": ",".join(issues.services),
            "issued_s": issues.issued_s,
            "weddings": issues.weddings,
            "background": issues.background,
            "events": issues.events,
            "foreseen": issues.foreseen,
            "severity": issues.severity,
            "observed": issues.observed,
        }
    )


def restored(artefact: Artefact) -> DayAhead:
    """The model of an artefact that `DayAhead.artefact` made; raises ArtefactError for another."""
    try:
        services = tuple(str(name) for name in artefact.state["services"])
        parts = tuple(
            _Service(
                mean=np.asarray(part["mean"], dtype=np.float64),
                scale=np.asarray(part["scale"], dtype=np.float64),
                coefficients=np.asarray(part["coefficients"], dtype=np.float64),
                boosters=tuple(part["boosters"]),
                shift=np.asarray(part["shift"], dtype=np.float64),
            )
            for part in artefact.state["parts"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"holds no day-ahead model ({error})") from None
    sound = len(parts) == len(services) > 0 and all(
        len(part.boosters) == len(LEVELS)
        and all(isinstance(b, HistGradientBoostingRegressor) for b in part.boosters)
        and part.shift.shape == (len(LEVELS),)
        and len(part.coefficients) == len(part.mean) + 1 == len(part.scale) + 1
        for part in parts
    )
    if not sound:
        raise ArtefactError("holds no day-ahead model")
    return DayAhead(artefact.manifest, services, parts)


def schedule_only(issues: Issues, sigma: float) -> FloatArray:
    """What the calendar alone lets expect (D, S, HOURS, LEVELS): the forecast without any model."""
    scores = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    expected = issues.weddings + issues.background
    spread: FloatArray = expected[..., None] * np.exp(sigma * scores)
    return spread


@dataclass(frozen=True, slots=True, eq=False)
class _Inputs:
    """Of one service, D issues: `day` (D, HOURS, f) for the linear part, `hours` (D, HOURS, g).

    `base` (D, HOURS) is the level's forecast, `target` (D, HOURS) the logarithm of what came over
    it, NaN where not known.
    """

    day: FloatArray
    hours: FloatArray
    base: FloatArray
    target: FloatArray


def _raw(part: _Service, inputs: _Inputs, rows: slice = slice(None)) -> FloatArray:
    """Logarithm of the load over the base (D, HOURS, LEVELS), without calibration."""
    day, hours = inputs.day[rows], inputs.hours[rows]
    linear = ((day - part.mean) / part.scale) @ part.coefficients[:-1] + part.coefficients[-1]
    flat = hours.reshape(-1, hours.shape[-1])
    with threadpool_limits(1):
        boosted = [booster.predict(flat).reshape(linear.shape) for booster in part.boosters]
    logs: FloatArray = linear[:, :, None] + np.stack(boosted, axis=2)
    return logs


def _learned(inputs: _Inputs, rows: slice, seed: int) -> _Service:
    day, hours = inputs.day[rows], inputs.hours[rows]
    target, base = inputs.target[rows], inputs.base[rows]
    there = np.isfinite(target)
    there[: int(MEMORY_DAYS[1])] = False  # levels that have seen nothing yet
    # Each hour is in two issues, as tomorrow's and as today's: take turns, half the time is enough.
    there[::2, DAY_H:] = False
    there[1::2, :DAY_H] = False
    x, y = day[there], target[there]
    # Busy hours count more, though less than in proportion: errors are judged by requests.
    weight = np.sqrt(base[there] / base[there].mean())
    mean = np.average(x, axis=0, weights=weight)
    scale = np.maximum(x.std(axis=0), 1e-9)
    z = np.column_stack(((x - mean) / scale, np.ones(len(x))))
    gram = z.T @ (z * weight[:, None])
    penalty = np.full(len(gram), RIDGE * DAY_H)
    penalty[-1] = 0.0
    coefficients = np.linalg.solve(gram + np.diag(penalty), z.T @ (weight * y))
    rest = y - z @ coefficients
    boosters = []
    for level in LEVELS:
        booster = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, random_state=seed, **BOOSTING
        )
        boosters.append(booster.fit(hours[there], rest, sample_weight=weight))
    return _Service(mean, scale, coefficients, tuple(boosters), np.zeros(len(LEVELS)))


def _levels(issues: Issues) -> FloatArray:
    """Observed over expected of late (memories, 2, D, S), as known at each issue.

    The first of each pair is that of weddings, the second that of everybody else.
    """
    days, services = len(issues), len(issues.services)
    outcomes = issues.outcomes()[:, :, :DAY_H]
    levels = np.ones((len(MEMORY_DAYS), 2, days, services))
    weddings, background = issues.weddings[:, :, :DAY_H], issues.background[:, :, :DAY_H]
    expected = weddings + background
    usable = np.isfinite(outcomes) & (expected > LOW)
    safe = np.where(usable, expected, 1.0)
    weight = np.where(usable, np.sqrt(safe / safe.mean(axis=2, keepdims=True)), 0.0)
    shares = np.stack((weddings / safe, background / safe))
    ratio = np.where(usable, outcomes / safe, 0.0)
    gram = np.einsum("iadh,jadh,adh->adij", shares, shares, weight)
    right = np.einsum("iadh,adh,adh->adi", shares, ratio, weight)
    prior = PRIOR_DAYS * np.eye(2)
    for m, memory in enumerate(MEMORY_DAYS):
        keep = 0.5 ** (1.0 / memory)
        total, moment = np.zeros((services, 2, 2)), np.zeros((services, 2))
        for d in range(days):
            level = np.linalg.solve(total + prior, (moment + prior.sum(axis=1))[:, :, None])
            levels[m, :, d] = np.clip(level[:, :, 0].T, 0.1, 10.0)
            total = keep * total + gram[d]
            moment = keep * moment + right[d]
    return levels


def _inputs(
    issues: Issues, levels: FloatArray, outcomes: FloatArray, s: int, *, rows: slice
) -> _Inputs:
    """The inputs of service `s` for the issues of `rows`."""
    usual = levels[1, :, rows]
    weddings = issues.weddings[rows, s] * usual[0, :, s, None]
    background = issues.background[rows, s] * usual[1, :, s, None]
    base = np.maximum(weddings + background, LOW)
    with np.errstate(divide="ignore", invalid="ignore"):
        target = np.log(outcomes[rows, s] / base)
    target[~np.isfinite(target) | (base <= LOW)] = np.nan
    share = weddings / base
    days, hours = base.shape
    hour_s = issues.issued_s[rows, None] + 3600.0 * np.arange(hours)
    date = np.floor(hour_s / DAY_S).astype(np.int64)
    ahead = np.clip(date - date[:, :1], 0, FORESEEN_DAYS - 1)
    severity = np.take_along_axis(issues.foreseen[rows], ahead, axis=1)
    severity = severity - _usual_severity(issues)[rows, None]
    angle = 2.0 * math.pi * _day_of_year(date) / 365.25
    weekday = (date + 3) % 7  # 1 January 1970 was a Thursday

    def each_hour(column: FloatArray) -> FloatArray:
        return np.repeat(column[:, None], hours, axis=1)

    logs = np.log(levels[:, :, rows])
    relative = logs - logs[1]
    day = [
        each_hour(relative[0, 0, :, s]),
        each_hour(relative[2, 0, :, s]),
        each_hour(relative[0, 0].mean(axis=1)),
        each_hour(relative[2, 0].mean(axis=1)),
        each_hour(relative[0, 1, :, s]),
        each_hour(logs[1, 0, :, s]),
        severity,
        share,
        np.sin(angle),
        np.cos(angle),
        *[(weekday == k).astype(np.float64) for k in (4, 5, 6)],
    ]
    began = np.diff(np.log1p(weddings), axis=1, prepend=np.log1p(weddings[:, :1]))
    ends = np.diff(np.log1p(weddings), axis=1, append=np.log1p(weddings[:, -1:]))
    shape = [
        share,
        hour_s / 3600.0 % 24.0,
        np.log1p(issues.events[rows]),
        began,
        ends,
        np.broadcast_to((np.arange(hours) >= DAY_H).astype(np.float64), (days, hours)),
    ]
    return _Inputs(np.stack(day, axis=2), np.stack(shape, axis=2), base, target)


def _usual_severity(issues: Issues) -> FloatArray:
    """Severity of late (D,), as known at each issue: what the level has in it already."""
    keep = 0.5 ** (1.0 / MEMORY_DAYS[1])
    usual = np.empty(len(issues))
    total, weight = 0.0, 0.0
    for d, severity in enumerate(issues.severity.tolist()):
        usual[d] = total / weight if weight else issues.foreseen[d].mean()
        if math.isfinite(severity):
            total, weight = keep * total + severity, keep * weight + 1.0
    return usual


def _day_of_year(date: np.ndarray[Any, np.dtype[np.int64]]) -> FloatArray:
    days, index = np.unique(date, return_inverse=True)
    epoch = dt.date(1970, 1, 1)
    of_year = [(epoch + dt.timedelta(days=day)).timetuple().tm_yday for day in days.tolist()]
    return np.array(of_year, dtype=np.float64)[index].reshape(date.shape)
