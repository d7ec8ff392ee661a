"""Limits on figures: one grammar and one judgement, for simulated runs, live runs and load tests.

A limit is `figure operator number`, such as `slo.availability >= 0.9999`.  The figure is a path in
the summary; `slo.`, `services.` and `requests.` may be left out.  One that the summary cannot have
is refused before the run.  One that it can have but has not is judged by one rule: *where there
was nothing to judge* (no emergency, no request, no major event) *the limit is not judged; where
there was something that nobody measured, it failed.*  Not judged is neither: it fails no run, and
nothing says that it was kept.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from pydantic import ConfigDict, model_validator

from engine.record.schema.parts import Part
from engine.record.schema.paths import Possible, RunScope, elsewhere, figures_of, possible
from engine.record.schema.summary import Outcome, Threshold

Operator = Literal["<=", ">=", "==", "<", ">"]

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
SHORT_FOR = ("", "slo.", "services.", "requests.")
"""What may be left out before a figure."""

SHOWN = 12

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
GRAMMAR = re.compile(rf"\s*([^\s<>=]+)\s*(<=|>=|==|<|>)\s*({_NUMBER})\s*")


class ThresholdConfig(Part):
    """A limit on one figure of the summary; also made of a text as above."""

    model_config = ConfigDict(extra="forbid")

    metric: str
    """A path in the summary, as the record's reference has them."""
    operator: Operator
    """How the figure has to stand to the limit."""
    limit: float
    """The limit."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        match = GRAMMAR.fullmatch(given)
        if match is None:
            raise ValueError('give a path, an operator and a figure: "slo.availability >= 0.9999"')
        metric, sign, limit = match.groups()
        return {"metric": metric, "operator": sign, "limit": limit}


Limits = Iterable[tuple[str, ThresholdConfig]]
"""Limits with their names."""


def check(limits: Limits, scope: RunScope, section: str = "thresholds") -> None:
    """Find out before a run whether its summary can have each figure; raises ValueError if not.

    The message names the limit in its `section` of the configuration, and the figures near it.
    """
    figures = possible(scope)
    what = "a live run" if scope.world == "live" else "a run of the twin"
    for name, limit in limits:
        try:
            path_of(limit.metric, figures, what)
        except ValueError as error:
            reason = next(
                (why for short in SHORT_FOR if (why := elsewhere(short + limit.metric, scope))), ""
            )
            text = (
                f'"{limit.metric}" is not in the summary of {what}: {reason}' if reason else error
            )
            raise ValueError(f"{section}.{name}: {text}") from None


def path_of(metric: str, figures: Possible, what: str) -> str:
    """The path that `metric` is short for; raises ValueError with those near it."""
    for short in SHORT_FOR:
        if short + metric in figures:
            return short + metric
    raise ValueError(f'"{metric}" is not in the summary of {what}{_near(metric, figures)}')


def judge(
    limits: Limits, summary: Part, figures: Possible, counts: Mapping[str, float] | None = None
) -> tuple[Threshold, ...]:
    """Each limit with its value in `summary`; a figure that is not there is no error.

    `figures` are those that the summary could have had, `counts` what is known besides of how much
    there was to judge, by path.
    """
    values = figures_of(summary)
    by_path: dict[str, float | None] = {**values, **(counts or {})}
    judged = []
    for name, limit in limits:
        path = next((s + limit.metric for s in SHORT_FOR if s + limit.metric in figures), "")
        value = values.get(path, 0 if path and figures[path] == path else None)
        counted = figures.get(path, "")
        outcome: Outcome = "failed"
        reason = None
        if value is not None:
            if COMPARISONS[limit.operator](value, limit.limit):
                outcome = "passed"
        elif by_path.get(counted) == 0:
            outcome, reason = "not judged", f"there was nothing to judge: {counted} is 0"
        judged.append(
            Threshold(
                name=name,
                metric=limit.metric,
                operator=limit.operator,
                limit=limit.limit,
                value=value,
                outcome=outcome,
                reason=reason,
            )
        )
    return tuple(judged)


def _near(metric: str, figures: Possible) -> str:
    """The paths that are like it, by the whole and by the last word; or where to begin."""
    shorter = {path: path for path in figures}
    for short in SHORT_FOR[1:]:
        shorter |= {p.removeprefix(short): p for p in figures if p.startswith(short)}
    close = difflib.get_close_matches(metric, shorter, n=3, cutoff=0.6)
    if close:
        return f"; did you mean {' or '.join(dict.fromkeys(shorter[name] for name in close))}?"
    inside = [path for path in figures if path.startswith(f"{metric.partition('.')[0]}.")]
    if inside:
        more = " …" if len(inside) > SHOWN else ""
        return f"; there are {', '.join(inside[:SHOWN])}{more}"
    return f"; its sections are {', '.join(dict.fromkeys(p.partition('.')[0] for p in figures))}"
