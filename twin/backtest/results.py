"""What a backtest leaves behind: `results.json`, `results.parquet` and `forecasts.parquet`.

`results.json` (schema 1): for each case its scores by part, lead (hours) and forecaster, the
differences of WAPE with their intervals, and the best of the others; over all cases, how often the
forecaster under test is better than the best of the others, as good, or worse, and how it does in
the hours of events and outside them.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.model import FloatArray
from engine.prediction.forecaster import LEVELS
from engine.record.machine import versions
from scenarios.streams import Streams
from twin.backtest.cases import ALL, EVENT_HOURS, OTHER_HOURS, JudgedCase, best_other
from twin.backtest.scores import Difference, difference

SCHEMA = 1
HOUR_S, DAY_S = 3600.0, 86_400.0
POOLED_BLOCK = 3


def content(
    judged: Sequence[JudgedCase], skipped: Sequence[dict[str, str]], about: dict[str, Any]
) -> dict[str, Any]:
    """Everything that `results.json` says."""
    cases = [_case(one) for one in judged]
    return {
        "schema": SCHEMA,
        "kind": "backtest",
        **about,
        "versions": versions(),
        "quantiles": list(LEVELS),
        "overall": _overall(judged),
        "cases": cases,
        "skipped": list(skipped),
    }


def write(folder: Path, content: dict[str, Any], judged: Sequence[JudgedCase]) -> None:
    """Write the three files into `folder`."""
    text = json.dumps(_plain(content), indent=1, allow_nan=False)
    (folder / "results.json").write_text(text + "\n")
    _scores(judged).to_parquet(folder / "results.parquet", index=False)
    _forecasts(judged).to_parquet(folder / "forecasts.parquet", index=False)


def _case(judged: JudgedCase) -> dict[str, Any]:
    case = judged.case
    series, course = case.series, case.course
    parts = {part for part, _, _ in judged.scores}
    names = [outcome.name for outcome in judged.outcomes]
    figures: dict[str, Any] = {}
    for part in sorted(parts):
        figures[part] = {}
        for lead in case.leads:
            best = best_other(judged, part, lead)
            gap = judged.differences.get((part, best, lead))
            figures[part][str(_hours(lead, series.step_s))] = {
                "forecasters": {n: asdict(judged.scores[part, n, lead]) for n in names},
                "differences": {
                    n: asdict(judged.differences[part, n, lead])
                    | {"verdict": judged.differences[part, n, lead].verdict}
                    for n in names[1:]
                },
                "best_other": best,
                "verdict": gap.verdict if gap is not None else "same",
            }
    return {
        "name": case.name,
        "service": case.service,
        "own": judged.own,
        "step_s": series.step_s,
        "steps": len(series.values),
        "tested_from": _iso(series.start_s + course.first * series.step_s),
        "tested_to": _iso(series.start_s + course.end * series.step_s),
        "events": len(case.calendar.start_s),
        "parts": figures,
    }


def _overall(judged: Sequence[JudgedCase]) -> dict[str, Any]:
    """By lead: verdicts against the best other of each case, and errors pooled over the cases."""
    overall: dict[str, Any] = {}
    leads = sorted({lead for one in judged for lead in one.case.leads})
    for lead in leads:
        here = [one for one in judged if lead in one.case.leads]
        verdicts = {"better": 0, "same": 0, "worse": 0}
        ahead = 0
        ratios = []
        for one in here:
            best = best_other(one, ALL, lead)
            if not best:
                continue
            verdicts[one.differences[ALL, best, lead].verdict] += 1
            own, other = (one.scores[ALL, n, lead].wape for n in (one.own, best))
            ahead += int(own < other)
            if own > 0.0 and other > 0.0:
                ratios.append(own / other)
        names = [n for n in _names(here) if all((ALL, n, lead) in one.scores for one in here)]
        hours = _hours(lead, here[0].case.series.step_s)
        pooled = {
            name: asdict(gap) | {"verdict": gap.verdict}
            for name in names
            if name not in {one.own for one in here}
            for gap in [_pooled(here, name, lead)]
        }
        overall[str(hours)] = {
            "pooled": pooled,
            "cases": len(here),
            "verdicts": verdicts,
            "lower_wape": ahead,
            "wape_over_best_other": float(np.median(ratios)) if ratios else math.nan,
            "coverage_80": _mean([one.scores[ALL, one.own, lead].coverage_80 for one in here]),
            "hours": _by_hours(here, lead),
            "own_median_wape": float(
                np.nanmedian([one.scores[ALL, one.own, lead].wape for one in here])
            ),
            "median_wape": {
                n: float(np.nanmedian([one.scores[ALL, n, lead].wape for one in here]))
                for n in names
            },
        }
    return overall


def _by_hours(judged: Sequence[JudgedCase], lead: int) -> dict[str, Any]:
    """The own forecasts in event hours and outside, over all cases, each step counting alike.

    WAPE is the median over the cases.  Empty where no case has such hours.
    """
    figures: dict[str, Any] = {}
    for part in (EVENT_HOURS, OTHER_HOURS):
        there = [one for one in judged if (part, one.own, lead) in one.scores]
        scores = [one.scores[part, one.own, lead] for one in there]
        hours = [
            score.steps * one.case.series.step_s / HOUR_S
            for one, score in zip(there, scores, strict=True)
        ]
        if not sum(hours):
            continue
        figures[part] = {
            "hours": sum(hours),
            "median_wape": float(np.nanmedian([score.wape for score in scores])),
        }
        for name in ("coverage_80", "above_90", "far_too_low"):
            figures[part][name] = _weighed([getattr(score, name) for score in scores], hours)
    return figures


def _weighed(values: Sequence[float], weights: Sequence[float]) -> float:
    """The mean of the finite `values`, each counting by its weight."""
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if math.isfinite(v) and w > 0.0]
    return sum(v * w for v, w in pairs) / sum(w for _, w in pairs) if pairs else math.nan


def _pooled(judged: Sequence[JudgedCase], name: str, lead: int) -> Difference:
    """Difference from `name` over all cases, each divided by its mean value.

    Resampled are days, in blocks of `POOLED_BLOCK`: services of the same day share its surprises,
    so they stay together.
    """
    days: dict[tuple[str, float], FloatArray] = {}
    for number, one in enumerate(judged):
        case = one.case
        steps = slice(case.course.first, case.course.end)
        values = case.series.values[steps]
        row = case.leads.index(lead)
        own, other = (
            np.abs(outcome.medians[row, steps] - values)
            for outcome in (one.outcomes[0], one.outcomes[_position(one, name)])
        )
        there = np.isfinite(own) & np.isfinite(other)
        usual = float(np.abs(values[there]).mean()) if there.any() else 0.0
        if usual <= 0.0:
            continue
        group = case.series.name if case.service else str(number)
        day = np.floor(case.series.times_s()[steps] / DAY_S)
        for date in np.unique(day[there]):
            here = there & (day == date)
            sums = np.array([own[here].sum(), other[here].sum(), np.abs(values[here]).sum()])
            key = (group, float(date))
            days[key] = days.get(key, np.zeros(3)) + sums / usual
    if not days:
        return Difference(math.nan, math.nan, math.nan)
    sums = np.array([days[key] for key in days])
    rng = Streams(judged[0].case.seed)(f"pooled.{name}.{lead}")
    return difference(sums[:, 0], sums[:, 1], sums[:, 2], POOLED_BLOCK, rng=rng)


def _position(judged: JudgedCase, name: str) -> int:
    return [outcome.name for outcome in judged.outcomes].index(name)


def _names(judged: Sequence[JudgedCase]) -> list[str]:
    return list(dict.fromkeys(o.name for one in judged for o in one.outcomes))


def _scores(judged: Sequence[JudgedCase]) -> pd.DataFrame:
    rows = []
    for one in judged:
        for (part, name, lead), figures in one.scores.items():
            gap = one.differences.get((part, name, lead))
            rows.append(
                {
                    "case": one.case.name,
                    "service": one.case.service,
                    "part": part,
                    "forecaster": name,
                    "own": name == one.own,
                    "horizon_h": float(_hours(lead, one.case.series.step_s)),
                    **asdict(figures),
                    "difference": gap.mean if gap else math.nan,
                    "difference_low": gap.low if gap else math.nan,
                    "difference_high": gap.high if gap else math.nan,
                }
            )
    return pd.DataFrame(rows)


def _forecasts(judged: Sequence[JudgedCase]) -> pd.DataFrame:
    """The forecasts under test, step by step, with what came."""
    frames = []
    for one in judged:
        case, own = one.case, one.outcomes[0]
        steps = slice(case.course.first, case.course.end)
        for row, lead in enumerate(case.leads):
            frame = pd.DataFrame(
                own.quantiles[row, steps], columns=[f"q{100 * level:g}" for level in LEVELS]
            )
            frame.insert(0, "actual", case.series.values[steps])
            frame.insert(0, "time_s", case.series.times_s()[steps])
            frame.insert(0, "horizon_h", float(_hours(lead, case.series.step_s)))
            frame.insert(0, "service", case.service)
            frame.insert(0, "case", case.name)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _hours(lead: int, step_s: float) -> float | int:
    hours = lead * step_s / HOUR_S
    return int(hours) if hours == int(hours) else hours


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _iso(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).isoformat()


def _plain(value: Any) -> Any:
    """What JSON has no word for becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
