"""How wrong the day-ahead model is on a season that it has not seen, hour for hour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.prediction import day_ahead
from engine.prediction.calibration import coverage
from engine.prediction.event_hours import BoolArray, busiest_saturdays
from engine.prediction.forecaster import LEVELS
from engine.prediction.issues import DAY_H, HOUR_S, HOURS, Issues
from scenarios.streams import Streams
from twin.backtest.scores import difference, share_far_too_low

MEDIAN, Q90 = LEVELS.index(0.5), LEVELS.index(0.9)


def scored(
    model: day_ahead.DayAhead, issues: Issues, rows: range, sigma: float, *, seed: int
) -> list[dict[str, Any]]:
    """Each service's errors 24 to 47 hours ahead, beside those of simple forecasts."""
    quantiles = model.predict(issues, rows)
    outcomes = issues.outcomes()
    chosen = np.array(rows)
    schedule = day_ahead.schedule_only(issues, sigma)[chosen]
    hours = slice(DAY_H, HOURS)
    stream = Streams(seed)("forecast.bootstrap")
    services = []
    for s, service in enumerate(issues.services):
        truth = outcomes[chosen, s, hours].ravel()
        median = quantiles[:, s, hours, MEDIAN].ravel()
        others = {
            "schedule only": schedule[:, s, hours, MEDIAN].ravel(),
            # The last whole days that are over when the issue is made.
            "same hour, last day known": outcomes[chosen - 1, s, :DAY_H].ravel(),
            "same hour, last week": outcomes[chosen - 6, s, :DAY_H].ravel(),
        }
        errors = np.abs(median - truth)
        compared = {}
        for name, other in others.items():
            gap = difference(errors, np.abs(other - truth), truth, 7 * DAY_H, rng=stream)
            compared[name] = {
                "wape": float(np.nansum(np.abs(other - truth)) / np.nansum(truth)),
                "low": gap.low,
                "high": gap.high,
            }
        flat = quantiles[:, s, hours].reshape(-1, len(LEVELS))
        shares = coverage(flat, truth, np.array(LEVELS))
        services.append(
            {
                "service": service,
                "wape": float(np.nansum(errors) / np.nansum(truth)),
                "coverage": {f"{interval:g}": share for interval, (share, _) in shares.items()},
                "others": compared,
                "hours": {
                    name: _in_hours(flat[which], truth[which])
                    for name, which in _parts(issues, chosen, hours).items()
                },
            }
        )
    return services


def _parts(issues: Issues, chosen: NDArray[np.int64], hours: slice) -> dict[str, BoolArray]:
    """Which of the judged hours are on the busiest Saturdays, by what was booked, and which not."""
    times_s = (issues.issued_s[chosen, None] + HOUR_S * np.arange(HOURS)[None, hours]).ravel()
    booked = issues.weddings[chosen][:, :, hours].sum(axis=1).ravel()
    busy = busiest_saturdays(booked, times_s)
    return {"busiest Saturdays": busy, "other hours": ~busy}


def _in_hours(quantiles: FloatArray, truth: FloatArray) -> dict[str, float]:
    """How the forecasts (n, LEVELS) of some hours did."""
    there = np.isfinite(truth)
    quantiles, truth = quantiles[there], truth[there]
    return {
        "hours": float(len(truth)),
        "coverage_80": coverage(quantiles, truth, np.array(LEVELS))[0.8][0],
        "above_90": float((truth > quantiles[:, Q90]).mean()),
        "far_too_low": share_far_too_low(quantiles[:, MEDIAN], truth),
        "wape": float(np.abs(quantiles[:, MEDIAN] - truth).sum() / truth.sum()),
    }
