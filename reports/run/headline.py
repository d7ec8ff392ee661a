"""The top of a report: verdict, headline, limits and key figures."""

from __future__ import annotations

from dataclasses import dataclass

from engine.record.schema.summary import Outcome, Summary, Threshold
from reports import wording
from reports.run.occasions import cost_of_each, has_events
from reports.run.reading import Record
from reports.wording import count, percent, plural, seconds, usd, words

_OPERATORS = {"<=": "≤", ">=": "≥", "==": "="}


@dataclass(frozen=True, slots=True)
class VerdictBadge:
    """One word with a symbol, and the tone in which to show it: good, bad or neutral."""

    word: str
    symbol: str
    tone: str


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A figure that stands for itself, with what to compare it to."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class ThresholdLine:
    """A threshold with its value, and whether it was kept."""

    name: str
    metric: str
    limit: str
    value: str
    outcome: Outcome
    reason: str


def verdict(summary: Summary) -> VerdictBadge:
    """One word for the whole run."""
    outcomes = [threshold.outcome for threshold in summary.thresholds]
    if "failed" in outcomes:
        return VerdictBadge("failed", "✗", "bad")
    if summary.partial:
        return VerdictBadge("partial", "◐", "neutral")
    if not summary.thresholds:
        return VerdictBadge("no limits set", "○", "neutral")
    if set(outcomes) == {"not judged"}:
        return VerdictBadge("not judged", "○", "neutral")
    return VerdictBadge("passed", "✓", "good")


def eyebrow(record: Record) -> str:
    """Day, controller, seed and world in one line."""
    summary = record.summary
    day = wording.date(record.span_s[0]) if record.span_s[1] > 0.0 else "no samples"
    return " · ".join(
        (day, f"controller {summary.controller}", f"seed {summary.seed}", summary.world)
    )


def headline(record: Record) -> str:
    """The run in one sentence, with the limits that were not kept."""
    summary = record.summary
    platform = record.config.get("platform")
    name = platform.get("name") if isinstance(platform, dict) else None
    who = f"The {name} platform" if isinstance(name, str) and name else "The platform"
    noun, most = summary.noun, summary.weddings.peak_simultaneous
    carried = (
        f"{plural(most, noun.one, noun.many)} at once"
        if has_events(summary)
        else f"up to {count(summary.requests.peak_rate_per_s)} requests a second"
    )
    cost = usd(summary.cost.total_usd)
    if summary.slo.violation_ratio is None:
        sentence = f"{who} carried {carried}; it cost {cost}"
    else:
        missed = percent(summary.slo.violation_ratio) if summary.slo.violation_ratio else "none"
        sentence = (
            f"{who} carried {carried}; {missed} of the requests missed their SLO; it cost {cost}"
        )
    for outcome, said in (("failed", "not kept"), ("not judged", "not judged")):
        names = [words(one.name) for one in summary.thresholds if one.outcome == outcome]
        if names:
            of_all = f"{len(names)} of {plural(len(summary.thresholds), 'limit')} {said}"
            sentence += f". {of_all}: {', '.join(names)}"
    return f"{sentence}."


def partial_note(record: Record) -> str:
    """What holds for an interrupted run; empty for a whole one."""
    if not record.summary.partial:
        return ""
    lasted = seconds(record.summary.simulation.simulated_s)
    return (
        f"This run was interrupted after {lasted}. All figures are those of this part; limits "
        "that it keeps might not have been kept by the whole."
    )


def limit_line(threshold: Threshold) -> ThresholdLine:
    """A threshold in the units of its figure."""
    unit = wording.figure_of(threshold.metric, threshold.limit)
    return ThresholdLine(
        name=words(threshold.name),
        metric=threshold.metric,
        limit=f"{_OPERATORS.get(threshold.operator, threshold.operator)} {unit}",
        value=wording.figure_of(threshold.metric, threshold.value),
        outcome=threshold.outcome,
        reason=threshold.reason or "",
    )


def key_figures(summary: Summary) -> tuple[KeyFigure, ...]:
    """The figures that stand for themselves."""
    weddings, requests, slo = summary.weddings, summary.requests, summary.slo
    decision = summary.decision
    emergencies = decision.emergency_s
    ended = [x for x in (requests.failed, requests.shed, requests.timed_out) if x is not None]
    minutes = slo.violation_minutes
    at_once = KeyFigure(
        f"{summary.noun.many} at once",
        count(weddings.peak_simultaneous),
        f"at {wording.moment(weddings.peak_at)}"
        + ("" if weddings.total is None else f"; {count(weddings.total)} in all")
        + ("" if summary.live is None else ", as booked"),
    )
    return (
        *((at_once,) if has_events(summary) else ()),
        KeyFigure(
            "user requests",
            wording.large(requests.total),
            f"up to {count(requests.peak_rate_per_s)} a second",
        ),
        KeyFigure(
            "missed their SLO",
            percent(slo.violation_ratio),
            "" if minutes is None else f"{plural(minutes, 'minute')} with more than 1 %",
        ),
        KeyFigure(
            "availability",
            percent(slo.availability),
            f"{count(sum(ended))} failed, shed or timed out" if ended else "",
        ),
        KeyFigure(
            "cost",
            usd(summary.cost.total_usd),
            cost_of_each(summary) or f"{usd(_per_million(summary))} a million requests",
        ),
        *_ceremonies(summary),
        KeyFigure(
            "scaling actions",
            count(decision.actions),
            f"{plural(emergencies.count, 'emergency', 'emergencies')}; "
            f"{plural(decision.cycles, 'cycle')}",
        ),
        KeyFigure(
            "time to decide, p99",
            seconds(decision.compute_s.p99),
            f"median {seconds(decision.compute_s.p50)}",
        ),
        _pace(summary),
    )


def _ceremonies(summary: Summary) -> tuple[KeyFigure, ...]:
    """Those that were cut short, where the platform can tell which instance carries which."""
    own = summary.ceremonies
    if own is None:
        return ()
    lost = f", {count(own.lost)} lost otherwise" if own.lost else ""
    return (
        KeyFigure(
            "ceremonies cut by a step in",
            count(own.cut),
            f"of {count(own.carried)} on instances{lost}; "
            f"waiting for their end cost {usd(own.held_usd)}",
        ),
    )


def _pace(summary: Summary) -> KeyFigure:
    run = summary.simulation
    if summary.live is not None:
        restarts = summary.live.restarts
        return KeyFigure(
            "ran for",
            seconds(run.wall_s),
            f"the engine was restarted {count(restarts)} times" if restarts else "in one piece",
        )
    return KeyFigure(
        "faster than real time",
        f"{count(run.speedup)} ×" if run.speedup else wording.NOTHING,
        f"{seconds(run.simulated_s)} in {seconds(run.wall_s)}",
    )


def _per_million(summary: Summary) -> float | None:
    total, cost = summary.requests.total, summary.cost.total_usd
    return 1e6 * cost / total if total and cost is not None else None
