"""From the runs with and without a rule to what the rule costs and what it saves.

A *price* is with the rule minus without it: USD a day, and as a share of the bill without.  What is
*saved* is without it minus with it: violations, minutes of breach, ceremonies cut, where the
platform can tell of them; readiness is the other way
round, so that more is better.  All are means of differences seed by seed, with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twin.runs.replications import interval

COST, VIOLATION, MINUTES = "cost.total_usd", "slo.violation_ratio", "slo.violation_minutes"
READY, ACTIONS, REVERSALS = "prescaling.ready_share", "decision.actions", "decision.reversals"
CUT = "ceremonies.cut"
LOOKED_AT = (COST, VIOLATION, MINUTES, READY, ACTIONS, REVERSALS, CUT)
ENGINE, FREE, WITHIN = "engine", "clairvoyant", "clairvoyant_within_rules"

NO_COST = 2e-4
"""A share of the bill that counts as nothing."""
NO_VIOLATION = 2e-6
"""A share of the requests that counts as nothing."""
NO_READINESS = 1e-3
NO_MINUTES = 0.5
NO_CEREMONIES = 0.5

PAYS, COSTS, HARMS, TRADES = "pays", "costs", "harms", "trades"
NOTHING, UNSURE = "nothing", "unsure"


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What is kept of one run, by path in the summary, and how many days it was."""

    figures: Mapping[str, float | None]
    days: float

    def a_day(self, path: str) -> float:
        """A figure that adds up over time, for each day of it."""
        return float(self.figures[path] or 0.0) / self.days


def alone(rule: str) -> str:
    """The name of the variant without this rule."""
    return f"without {rule}"


def before(rule: str) -> str:
    """The name of the variant without this rule and all that come after it."""
    return f"before {rule}"


def of_place(runs: Mapping[str, Sequence[RunFigures]], rules: Sequence[str]) -> dict[str, Any]:
    """The contestants, each rule by itself, the waterfall from clairvoyant to engine."""
    own = runs[ENGINE]
    return {
        "contestants": {name: figures_of(runs[name]) for name in (FREE, WITHIN, ENGINE)},
        "ratios": {
            bound: _interval(_each(own, runs[bound], lambda a, b: a.a_day(COST) / b.a_day(COST)))
            for bound in (FREE, WITHIN)
        },
        "rules": {name: difference(own, runs[alone(name)]) for name in rules},
        "waterfall": _waterfall(runs, rules),
    }


def of_threat(own: Sequence[RunFigures], bare: Sequence[RunFigures]) -> dict[str, Any]:
    """What the rule is worth where its threat comes true."""
    result = difference(own, bare)
    return {
        "with": figures_of(own),
        "without": figures_of(bare),
        **result,
        "verdict": verdict(result),
    }


def figures_of(runs: Sequence[RunFigures]) -> dict[str, Any]:
    """Means with intervals; None for what a run has not got."""
    result: dict[str, Any] = {"usd_a_day": _interval([run.a_day(COST) for run in runs])}
    for path in LOOKED_AT[1:]:
        values = [value for run in runs if (value := run.figures.get(path)) is not None]
        result[path] = _interval(values) if len(values) == len(runs) else None
    return result


def difference(own: Sequence[RunFigures], bare: Sequence[RunFigures]) -> dict[str, Any]:
    """What a rule costs and saves: `own` are runs with it, `bare` the same without."""

    def saved(path: str, sign: float = 1.0) -> dict[str, Any] | None:
        pairs = list(zip(own, bare, strict=True))
        if any(one.figures[path] is None for pair in pairs for one in pair):
            return None
        return _interval(
            [sign * (b.figures[path] - a.figures[path]) for a, b in pairs]  # type: ignore[operator]
        )

    return {
        "usd_a_day": _interval(_each(own, bare, lambda a, b: a.a_day(COST) - b.a_day(COST))),
        "share": _interval(_each(own, bare, lambda a, b: a.a_day(COST) / b.a_day(COST) - 1.0)),
        "violations_saved": saved(VIOLATION),
        "minutes_saved": saved(MINUTES),
        "readiness_gained": saved(READY, -1.0),
        "reversals_saved": saved(REVERSALS),
        "ceremonies_saved": _ceremonies(own, bare),
    }


def _ceremonies(own: Sequence[RunFigures], bare: Sequence[RunFigures]) -> dict[str, Any] | None:
    """Ceremonies a day that are not cut; None where no platform tells of any."""
    if any(run.figures.get(CUT) is None for run in (*own, *bare)):
        return None
    return _interval(_each(own, bare, lambda a, b: b.a_day(CUT) - a.a_day(CUT)))


def verdict(result: Mapping[str, Any]) -> str:
    """In one word whether a rule pays, from what all seeds agree on or the interval excludes."""
    better = (
        _sign(result["violations_saved"], NO_VIOLATION),
        _sign(result["minutes_saved"], NO_MINUTES),
        _sign(result["readiness_gained"], NO_READINESS),
        _sign(result["ceremonies_saved"], NO_CEREMONIES),
    )
    cost = _sign(result["share"], NO_COST)
    if 1 in better and -1 in better:
        return TRADES
    if 1 in better:
        return PAYS
    if -1 in better:
        return HARMS
    if None in better or cost is None:
        return UNSURE
    return {0: NOTHING, 1: COSTS, -1: PAYS}[cost]


def idle(places: Sequence[Mapping[str, Any]], rules: Sequence[str]) -> list[str]:
    """The rules that cost and save nothing anywhere: no day and no threat tells them apart."""
    return [
        name
        for name in rules
        if all(
            verdict(one) == NOTHING
            for place in places
            for one in (place["rules"][name], *_only(place["threats"].get(name)))
        )
    ]


def _only(one: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [] if one is None else [one]


def _waterfall(
    runs: Mapping[str, Sequence[RunFigures]], rules: Sequence[str]
) -> list[dict[str, Any]]:
    """USD a day from the free clairvoyant over not knowing and each rule to the engine.

    Each bar is a paired difference, and they add up: the rules are put on in their order.
    """
    last = runs[before(rules[0])]
    bars = [("not knowing", last, runs[FREE])]
    for place, name in enumerate(rules):
        after = runs[before(rules[place + 1])] if place + 1 < len(rules) else runs[ENGINE]
        bars.append((name, after, last))
        last = after
    result = [
        {
            "name": FREE,
            "usd_a_day": _interval([one.a_day(COST) for one in runs[FREE]]),
            "violations": figures_of(runs[FREE])[VIOLATION],
        }
    ]
    return result + [
        {
            "name": name,
            "usd_a_day": _interval(_each(own, less, lambda a, b: a.a_day(COST) - b.a_day(COST))),
            "violations": figures_of(own)[VIOLATION],
        }
        for name, own, less in bars
    ]


def _each(
    own: Sequence[RunFigures],
    other: Sequence[RunFigures],
    taken: Callable[[RunFigures, RunFigures], float],
) -> list[float]:
    return [taken(a, b) for a, b in zip(own, other, strict=True)]


def _sign(one: Mapping[str, Any] | None, nothing: float) -> int | None:
    """1 or -1 where the difference is surely more than nothing, 0 where it is nothing.

    It is sure where it is so with each seed, or where the interval of the mean excludes 0 (which
    takes more than a few seeds); None where it is neither sure nor nothing.
    """
    if one is None:
        return 0
    for sign, nearest, bound in ((1, one["min"], one["low"]), (-1, one["max"], one["high"])):
        each = sign * nearest > nothing
        mean = bound is not None and sign * bound > 0.0 and sign * one["mean"] > nothing
        if each or mean:
            return sign
    return 0 if abs(one["mean"]) <= nothing else None


def _interval(values: Sequence[float]) -> dict[str, Any]:
    return interval(values).model_dump()
