"""Whether a claim is shown: by its own measurement, and by its negative control.

A claim counts as shown only if every figure kept its limit with the whole interval *and* the
measurement of something broken on purpose missed one in the same run.  Whatever was not measured
is not shown.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.record.schema.claims import OUTCOMES, Outcome
from twin.evidence.claims import Claim, FigureConfig
from twin.evidence.estimators import IntervalEstimate, Row, RowsError, estimate


@dataclass(frozen=True, slots=True)
class MeasuredRows:
    """What one run of a measurement left: its rows, or why there are none."""

    rows: tuple[Row, ...] = ()
    failure: str = ""


def figure_of(config: FigureConfig, rows: Sequence[Row]) -> IntervalEstimate | None:
    """The figure that `rows` give; raises RowsError."""
    return estimate(rows, config.estimator, column=config.column, over=config.over, q=config.q)


def keeps(config: FigureConfig, made: IntervalEstimate | None) -> bool:
    """Whether the limit is kept by the end of the interval nearer to it, with enough rows."""
    if made is None or made.n < config.smallest_n:
        return False
    return made.high <= config.limit if config.operator == "<=" else made.low >= config.limit


def misses(config: FigureConfig, made: IntervalEstimate | None) -> bool:
    """Whether the figure itself misses the limit: what a negative control has to do."""
    if made is None:
        return False
    return made.value > config.limit if config.operator == "<=" else made.value < config.limit


def judge(claim: Claim, measured: MeasuredRows, control: MeasuredRows) -> dict[str, Any]:
    """What the rows say of the claim, as plain data; nothing in it depends on the day."""
    figures, problem = _figures(claim, measured)
    opposite, trouble = _figures(claim, control)
    failed = _failed(claim, opposite)
    reason = problem or next((figure["why"] for figure in figures if figure["why"]), "")
    if not reason and trouble:
        reason = f"the negative control could not be run: {trouble}"
    if not reason and not failed:
        reason = "the negative control did not fail, so the measurement cannot tell"
    return {
        "figures": figures,
        "control": {"figures": opposite, "failed": failed, "failure": trouble},
        "outcome": _outcome(claim, reason),
        "reason": reason,
    }


def _failed(claim: Claim, opposite: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the control missed each limit that it has to miss: those named, or any."""
    missed = [figure["name"] for figure in opposite if figure["missed"]]
    assert claim.control is not None
    named = claim.control.misses
    return bool(missed) and all(name in missed for name in named)


def unmeasured(reason: str) -> dict[str, Any]:
    """The same of a claim that was not measured."""
    return {
        "figures": [],
        "control": {"figures": [], "failed": False, "failure": ""},
        "outcome": "not shown",
        "reason": reason,
    }


def valid_until(claim: Claim, day: dt.date) -> dt.date:
    """The last day for which a result of `day` speaks."""
    return day + dt.timedelta(days=claim.valid_days)


def _outcome(claim: Claim, reason: str) -> Outcome:
    if reason:
        return "not shown"
    return "shown in simulation only" if claim.source == "twin" else "shown"


def _figures(claim: Claim, measured: MeasuredRows) -> tuple[list[dict[str, Any]], str]:
    """Each figure as plain data, and why there are none."""
    if measured.failure:
        return [], measured.failure
    try:
        made = [(figure, figure_of(figure, measured.rows)) for figure in claim.figures]
    except RowsError as error:
        return [], str(error)
    return [_figure(config, estimated) for config, estimated in made], ""


def _figure(config: FigureConfig, made: IntervalEstimate | None) -> dict[str, Any]:
    kept = keeps(config, made)
    figure: dict[str, Any] = {
        "name": config.name,
        "says": config.says,
        "unit": config.unit,
        "operator": config.operator,
        "limit": config.limit,
        "value": None if made is None else made.value,
        "low": None if made is None else _finite(made.low),
        "high": None if made is None else _finite(made.high),
        "n": 0 if made is None else made.n,
        "margin": None if made is None else _margin(config, made),
        "kept": kept,
        "missed": misses(config, made),
        "why": "",
    }
    if not kept:
        figure["why"] = _why(config, made)
    return figure


def _why(config: FigureConfig, made: IntervalEstimate | None) -> str:
    if made is None:
        return f"{config.name}: there was nothing to measure"
    if made.n < config.smallest_n:
        return f"{config.name}: {made.n} rows are too few; {config.smallest_n} are needed"
    sign = "at most" if config.operator == "<=" else "at least"
    if misses(config, made):
        return f"{config.name}: {made.value:.6g} where {sign} {config.limit:g} is allowed"
    end = made.high if config.operator == "<=" else made.low
    return (
        f"{config.name}: {made.value:.6g} keeps the limit, {sign} {config.limit:g}, "
        f"but its interval goes to {end:.6g}"
    )


def _margin(config: FigureConfig, made: IntervalEstimate) -> float | None:
    """From the nearer end of the interval to the limit; negative where it is missed."""
    end = made.high if config.operator == "<=" else made.low
    return _finite(config.limit - end if config.operator == "<=" else end - config.limit)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def counts(outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    """How many claims there are of each outcome."""
    return {outcome: list(outcomes.values()).count(outcome) for outcome in OUTCOMES}
