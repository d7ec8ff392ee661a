"""A sentence for each decision: which rule, which figures, how many weddings behind it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from engine.decide.rails.take_back import VANISHED
from engine.decide.recommend.manual import OVERRIDE
from engine.decide.recommend.own import PREFIX, rule_of
from engine.decide.sleep import ASLEEP
from engine.model import Reason, WeddingContext


def explain(
    service: str,
    from_instances: int,
    to_instances: int,
    reason: Reason,
    *,
    evidence: Mapping[str, float],
    weddings: WeddingContext,
    notes: str,
    noun: str = "weddings",
) -> str:
    """Say in one sentence why `service` goes from one count to the other.

    `noun` is what the events behind it are called, in the plural.
    """
    verb = "scale out" if to_instances > from_instances else "scale in"
    because = _because(reason, evidence)
    parts = [f"{service}: {verb} {from_instances} → {to_instances} because {because}"]
    if weddings.events >= 1.0:
        behind = f"{weddings.events:,.0f} {noun} booked then"
        if weddings.major_events >= 1.0:
            behind += f", {weddings.major_events:,.0f} of them major"
        parts.append(behind)
    if notes:
        parts.append(notes)
    return "; ".join(parts) + "."


def _because(reason: Reason, e: Mapping[str, float]) -> str:
    match reason:
        case Reason.CPU | Reason.MEMORY | Reason.REQUEST_RATE | Reason.QUEUE_DEPTH:
            name = reason.value.replace("_", " ")
            value, threshold = _get(e, reason.value), _get(e, "threshold")
            return f"{name} is {value:.2f} (threshold {threshold:.2f})"
        case Reason.RESPONSE_TIME:
            share, threshold = _get(e, reason.value), _get(e, "threshold")
            return f"p95 is {share:.2f} of its SLO (threshold {threshold:.2f})"
        case Reason.FORECAST:
            return _expected(e)
        case Reason.WEDDING_FLOOR:
            return _major(e)
        case Reason.COST:
            return f"{_less(e)}, trimming saves {_get(e, 'saving_usd_per_hour'):,.2f} USD/h"
        case Reason.EMERGENCY:
            return _urgent(e)
        case Reason.BOUNDS:
            return f"it is outside its bounds of {_get(e, 'min'):.0f} … {_get(e, 'max'):.0f}"
        case Reason.ROLLBACK:
            return _undone(e)
        case Reason.MANUAL:
            return _by_hand(e)
        case Reason.RULE:
            return _by_rule(e)
        case Reason.SURGE:
            return insured(e)


def _undone(e: Mapping[str, float]) -> str:
    if VANISHED in e:
        return f"what asked for more than {_get(e, VANISHED):.0f} is gone and less will do"
    return (
        f"the last step made things worse (p95 {_get(e, 'p95_s'):.2f} s, "
        f"{_get(e, 'error_rate'):.1%} failing)"
    )


def insured(e: Mapping[str, float]) -> str:
    """What is held warm is held for; `e` as `engine.decide.insure` has it."""
    factor, pays = _get(e, "factor"), f"{_get(e, 'hold_usd_per_day'):,.2f} USD a day for each"
    if not factor > 1.0:
        return f"no surge that doubles its load is frequent enough to be worth {pays}"
    return (
        f"they carry a surge of up to {factor:.1f} times its load; a greater one comes once in "
        f"{1.0 / _get(e, 'surges_per_day'):,.0f} days, and to hold more takes {pays}"
    )


def _less(e: Mapping[str, float]) -> str:
    """What is asked for is less than what is there, by whichever rule asks for most."""
    if ASLEEP in e:
        idle = _get(e, "unasked_s")
        return f"nobody has asked for it for {idle:.0f} s and nothing is booked"
    if "rate" in e:
        return _expected(e)
    return _major(e) if "major_rate" in e else "less will do"


def _urgent(e: Mapping[str, float]) -> str:
    if ASLEEP in e:
        return f"it sleeps and is wanted ({_wanted(e)})"
    if "passed_on_rate" in e:
        passed = _get(e, "passed_on_rate")
        return f"a drowning caller will pass on another {passed:,.0f} requests/s"
    return f"it is drowning ({_drowning(e)})"


def _by_hand(e: Mapping[str, float]) -> str:
    if "fallback" in e:
        return "its metrics are stale and the fallback is a fixed count"
    if "pinned" in e:
        return "it is pinned at this count"
    if "asked" in e:
        past = ", past steps, rests, budget and quota" if OVERRIDE in e else ""
        return f"somebody asked for {_get(e, 'asked'):.0f}{past}"
    return "somebody asked for this floor"


def _by_rule(e: Mapping[str, float]) -> str:
    name = rule_of(e)
    figures = ", ".join(
        f"{key.replace('_', ' ')} {value:,.4g}" for key, value in e.items() if key != PREFIX + name
    )
    asks = f"the rule {name} asks for {_get(e, PREFIX + name):.0f}"
    return f"{asks} ({figures})" if figures else asks


def _wanted(e: Mapping[str, float]) -> str:
    shown = [
        ("queue_depth", "{:,.3g} waiting"),
        ("request_rate", "{:,.3g} requests/s"),
        ("passed_on_rate", "callers will pass on {:,.3g} requests/s"),
    ]
    there = [text.format(e[name]) for name, text in shown if _get(e, name) > 0.0]
    return ", ".join(there) or "the first request has come"


def _drowning(e: Mapping[str, float]) -> str:
    """The figures that are there; what could not be measured is left out."""
    shown = [("queue_depth", "{:,.0f} waiting"), ("error_rate", "{:.1%} failing")]
    if math.isfinite(_get(e, "cpu")):
        shown.insert(0, ("cpu", "cpu {:.0%}"))
    else:
        shown[:0] = [("request_rate", "{:,.0f} requests/s"), ("p95_s", "p95 {:.2f} s")]
    return ", ".join(text.format(e[name]) for name, text in shown if math.isfinite(_get(e, name)))


def _expected(e: Mapping[str, float]) -> str:
    ahead = _get(e, "ahead_s") / 60.0
    when = f"in {ahead:.0f} min" if ahead >= 1.0 else "now"
    return f"{_get(e, 'rate'):,.0f} requests/s (± {_get(e, 'sd'):.0%}) are expected {when}"


def _major(e: Mapping[str, float]) -> str:
    return f"major events of the next two hours bring {_get(e, 'major_rate'):,.0f} requests/s"


def _get(evidence: Mapping[str, float], key: str) -> float:
    return evidence.get(key, math.nan)
