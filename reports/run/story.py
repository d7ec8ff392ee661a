"""What a report says, before it is a page or a Markdown text.

`tell` turns a record into sentences and tables of finished texts, so that the page and the text for
a pull request cannot differ in what they say, and each of the two only cares for how it looks.

It is long because it holds every sentence that the report can say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.record.schema.summary import (
    Interval,
    Outcome,
    Percentiles,
    Prediction,
    Service,
    Summary,
    Threshold,
)
from reports import wording
from reports.load import content as load
from reports.run import plots, ranking, readiness
from reports.run.reading import Record
from reports.wording import NOTHING, count, percent, plural, roughly, seconds, usd, words

EVENTS_SHOWN = 40

UNVERIFIED_SHOWN = 0.01
"""Share of the samples beyond what the fluid is verified for that is worth a warning."""


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
class TextTable:
    """Finished cells, the lines after the first in small; `numeric` columns are set flush right."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class ThresholdLine:
    """A threshold with its value, and whether it was kept."""

    name: str
    metric: str
    limit: str
    value: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class DecisionStory:
    """One of the decisions that mattered: what, why, and why it is on the list."""

    time: str
    service: str
    change: str
    facts: tuple[str, ...]
    tags: tuple[str, ...]
    explanation: str


@dataclass(frozen=True, slots=True)
class ServiceStory:
    """One service in one line."""

    name: str
    line: str


@dataclass(frozen=True, slots=True)
class PrescalingSection:
    """How ready the capacity for major events was."""

    title: str
    sentence: str
    services: TextTable
    groups: TextTable
    note: str


@dataclass(frozen=True, slots=True)
class LoadTestSection:
    """The load of a load test, as sent and as felt."""

    sentence: str
    services: TextTable
    limits: TextTable
    reasons: TextTable | None
    note: str


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that a report says; `occasions` is what took place ("Weddings"), if anything."""

    title: str
    occasions: str
    eyebrow: str
    verdict: VerdictBadge
    headline: str
    description: str
    partial_note: str
    limits: tuple[ThresholdLine, ...]
    key_figures: tuple[KeyFigure, ...]
    services: tuple[ServiceStory, ...]
    service_table: TextTable
    replications: TextTable | None
    replications_note: str
    latency_table: TextTable
    reasons: str
    cost_line: str
    decisions: tuple[DecisionStory, ...]
    decisions_note: str
    declined: TextTable | None
    declined_note: str
    prediction: TextTable | None
    forecaster: str
    prescaling: PrescalingSection | None
    sent: LoadTestSection | None
    findings: TextTable | None
    findings_note: str
    faults: TextTable | None
    events: TextTable | None
    events_note: str
    thinning: str
    caveats: tuple[str, ...]
    reproduce: str
    command: str
    run: TextTable
    versions: TextTable
    config: str


def tell(record: Record) -> Story:
    """The story of `record`."""
    summary = record.summary
    declined = ranking.declined(record)
    decisions = tuple(_decision(ranked, summary) for ranked in ranking.most_important(record))
    return Story(
        title=summary.scenario,
        occasions=_occasions(summary),
        eyebrow=_eyebrow(record),
        verdict=_verdict(summary),
        headline=_headline(record),
        description=" ".join(summary.description.split()),
        partial_note=_partial_note(record),
        limits=tuple(_limit(threshold) for threshold in summary.thresholds),
        key_figures=_key_figures(summary),
        services=tuple(
            ServiceStory(name, _service_line(service)) for name, service in summary.services.items()
        ),
        service_table=_service_table(record),
        replications=_replications_table(summary),
        replications_note=_replications_note(summary),
        latency_table=_latency_table(summary),
        reasons=_reasons(summary),
        cost_line=_cost_line(summary),
        decisions=decisions,
        decisions_note=ranking.RANKING_EXPLAINED if decisions else "The controller took no action.",
        declined=_declined_table(declined, summary),
        declined_note=_declined_note(declined),
        prediction=_prediction_table(summary.prediction),
        forecaster=_forecaster(summary),
        prescaling=_prescaled(record),
        sent=_sent(record),
        findings=_findings_table(record),
        findings_note=_findings_note(record),
        faults=_faults_table(record),
        events=_events_table(record),
        events_note=_events_note(record),
        thinning=_thinning(record),
        caveats=tuple(_caveats(record)),
        reproduce=_reproduce(summary),
        command=summary.command,
        run=_run_table(summary),
        versions=_table(("package", "version"), "  ", sorted(summary.versions.items())),
        config=record.config_text,
    )


def _verdict(summary: Summary) -> VerdictBadge:
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


def _eyebrow(record: Record) -> str:
    summary = record.summary
    day = wording.date(record.span_s[0]) if record.span_s[1] > 0.0 else "no samples"
    return " · ".join(
        (day, f"controller {summary.controller}", f"seed {summary.seed}", summary.world)
    )


def _headline(record: Record) -> str:
    summary = record.summary
    platform = record.config.get("platform")
    name = platform.get("name") if isinstance(platform, dict) else None
    who = f"The {name} platform" if isinstance(name, str) and name else "The platform"
    noun, most = summary.noun, summary.weddings.peak_simultaneous
    carried = (
        f"{plural(most, noun.one, noun.many)} at once"
        if _has_events(summary)
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


def _partial_note(record: Record) -> str:
    if not record.summary.partial:
        return ""
    lasted = seconds(record.summary.simulation.simulated_s)
    return (
        f"This run was interrupted after {lasted}. All figures are those of this part; limits "
        "that it keeps might not have been kept by the whole."
    )


def _limit(threshold: Threshold) -> ThresholdLine:
    unit = wording.figure_of(threshold.metric, threshold.limit)
    return ThresholdLine(
        name=words(threshold.name),
        metric=threshold.metric,
        limit=f"{_OPERATORS.get(threshold.operator, threshold.operator)} {unit}",
        value=wording.figure_of(threshold.metric, threshold.value),
        outcome=threshold.outcome,
        reason=threshold.reason or "",
    )


_OPERATORS = {"<=": "≤", ">=": "≥", "==": "="}


def _key_figures(summary: Summary) -> tuple[KeyFigure, ...]:
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
        *((at_once,) if _has_events(summary) else ()),
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
            _each(summary) or f"{usd(_per_million(summary))} a million requests",
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


def _has_events(summary: Summary) -> bool:
    """Whether there was anything but load; a live run may not know how many events there were."""
    return summary.weddings.total != 0


def _occasions(summary: Summary) -> str:
    many = summary.noun.many
    return many[:1].upper() + many[1:] if _has_events(summary) else ""


def _each(summary: Summary) -> str:
    """What one event cost; empty without any."""
    if not _has_events(summary):
        return ""
    return f"{usd(summary.cost.per_wedding_usd)} a {summary.noun.one}"


def _per_million(summary: Summary) -> float | None:
    total, cost = summary.requests.total, summary.cost.total_usd
    return 1e6 * cost / total if total and cost is not None else None


def _said(summary: Summary, text: str) -> str:
    """A text of the engine, in which events go by the name of this record's."""
    if summary.noun.one == "wedding":
        return text
    return text.replace("weddings", summary.noun.many).replace("wedding", summary.noun.one)


def _forecaster(summary: Summary) -> str:
    """With what the engine forecast, where that is not the schedule alone as usual."""
    forecaster = summary.forecaster
    if forecaster.refused:
        return (
            f"The model {forecaster.artefact} was refused, so the engine went by the schedule "
            f"alone: {forecaster.refused}"
        )
    if forecaster.kind == "learned":
        learned = forecaster.artefact
        return f"With what {learned} learned about how departures from the outlook go on."
    return ""


def _prescaled(record: Record) -> PrescalingSection | None:
    texts = readiness.tell(record)
    if texts is None:
        return None
    return PrescalingSection(
        title=f"Ready when {record.summary.noun.many} began",
        sentence=texts.sentence,
        services=_table(texts.services[0], "  ####", texts.services[1]),
        groups=_table(texts.groups[0], "## ###", texts.groups[1]),
        note=texts.note,
    )


def _sent(record: Record) -> LoadTestSection | None:
    if record.load is None:
        return None
    texts = load.tell(record.load)
    return LoadTestSection(
        sentence=texts.sentence,
        services=_table(texts.services[0], " " + "#" * 14, texts.services[1]),
        limits=_table(texts.limits[0], " # ", texts.limits[1]),
        reasons=_table(texts.reasons[0], " #", texts.reasons[1]) if texts.reasons[1] else None,
        note=texts.note,
    )


def _service_line(service: Service) -> str:
    short = service.under_provisioned_share
    line = (
        f"p95 {seconds(service.p95_s)} (SLO {seconds(service.slo_p95_s)}), up to "
        f"{plural(service.instances_max, 'instance')}, {usd(service.cost_usd)}"
    )
    return line if short is None else f"{line}, short of need {percent(short)} of the time"


def _service_table(record: Record) -> TextTable:
    headings = (
        "service", "users wait", "p50", "p95", "p99", "SLO p95", "missed SLO", "cpu mean",
        "cpu max", "most instances", "instance-hours", "cost", "short of need", "above need",
    )  # fmt: skip
    # An hour of a test stack is no whole number of instance-hours.
    hours = wording.figure if record.summary.live is not None else count
    rows = [
        (
            name, _user_facing(record.config, name), seconds(s.p50_s), seconds(s.p95_s),
            seconds(s.p99_s), seconds(s.slo_p95_s), percent(s.violation_ratio),
            roughly(s.cpu_mean), roughly(s.cpu_max), count(s.instances_max),
            hours(s.instance_hours), usd(s.cost_usd), percent(s.under_provisioned_share),
            roughly(s.over_provisioned_share),
        )
        for name, s in record.summary.services.items()
    ]  # fmt: skip
    filled = [k for k in range(len(headings)) if k < 2 or any(row[k] != NOTHING for row in rows)]
    return _table(
        tuple(headings[k] for k in filled),
        "".join("  ############"[k] for k in filled),
        [tuple(row[k] for k in filled) for row in rows],
    )


def _user_facing(config: dict[str, Any], name: str) -> str:
    """Whether the configuration says that users wait for this service."""
    value: Any = config
    for key in ("platform", "services", name, "user_facing"):
        if not isinstance(value, dict) or key not in value:
            return wording.NOTHING
        value = value[key]
    return "yes" if value else "no"


def _latency_table(summary: Summary) -> TextTable:
    decision = summary.decision
    stages: list[tuple[str, Percentiles]] = [
        ("compute a plan", decision.compute_s),
        ("trigger to accepted action", decision.trigger_to_execution_s),
        (f"the same, {plural(decision.emergency_s.count, 'emergency', 'emergencies')}",
         decision.emergency_s),
    ]  # fmt: skip
    if decision.stages is not None:
        served = decision.stages.accepted_to_served_s
        stages += [
            ("of it: sample to decision", decision.stages.sample_to_decision_s),
            ("of it: decision to accepted", decision.stages.decision_to_accepted_s),
            (f"accepted to first request served, {plural(served.count, 'action')}", served),
        ]
    if summary.live is not None:
        stages.append(("age of the newest sample at a step", summary.live.sample_age_s))
    rows = [
        (name, *(seconds(value) for value in (p.p50, p.p95, p.p99, p.max))) for name, p in stages
    ]
    return _table(("", "p50", "p95", "p99", "max"), " ####", rows)


def _reasons(summary: Summary) -> str:
    reasons = sorted(summary.decision.by_reason.items(), key=lambda item: (-item[1], item[0]))
    if not reasons:
        return ""
    parts = (f"{_said(summary, words(name))} {count(n)}" for name, n in reasons)
    return "Actions by reason: " + ", ".join(parts) + "."


def _cost_line(summary: Summary) -> str:
    services = sorted(summary.services.items(), key=lambda item: -item[1].cost_usd)
    total = summary.cost.total_usd
    shares = [
        f"{name} {usd(service.cost_usd)} ({roughly(service.cost_usd / total)})"
        for name, service in services[:3]
        if total > 0.0
    ]
    text = f"{usd(total)} in all, {_each(summary)}" if _each(summary) else f"{usd(total)} in all"
    text = f"{text}. Most of it: {', '.join(shares)}." if shares else f"{text}."
    return text + _warm_words(summary)


def _warm_words(summary: Summary) -> str:
    """What was paid for instances held warm, where any can be."""
    warm_usd = summary.cost.warm_usd
    if warm_usd is None:
        return ""
    names = [name for name, service in summary.services.items() if service.warm_usd is not None]
    share = f" ({percent(warm_usd / summary.cost.total_usd)})" if summary.cost.total_usd else ""
    return f" Of it {usd(warm_usd)}{share} is for instances of {', '.join(names)} held warm."


def _decision(ranked: ranking.Ranked, summary: Summary) -> DecisionStory:
    row = ranked.row
    before, after = row["from_instances"], row["to_instances"]
    sign = "+" if after >= before else "−"
    facts = [_said(summary, words(row["reason"])), words(row["category"]), words(row["outcome"])]
    facts.append(f"{usd(row['cost_per_hour'], signed=True)}/h")
    facts.append(f"confidence {roughly(row['confidence'])}")
    waited = row["accepted_s"] - row["trigger_s"]
    if waited == waited:
        facts.append(f"accepted {seconds(max(waited, 0.0))} after its trigger")
    seen: dict[str, None] = dict.fromkeys(text for text in facts if text)
    explanation = row["explanation"].removeprefix(f"{row['service']}: ") or (
        f"{count(before)} → {count(after)} because of {_said(summary, words(row['reason']))}."
    )
    return DecisionStory(
        time=wording.clock(row["time_s"]),
        service=row["service"],
        change=f"{count(before)} → {count(after)} ({sign}{count(abs(after - before))})",
        facts=tuple(seen),
        tags=ranked.because,
        explanation=explanation[:1].upper() + explanation[1:],
    )


def _declined_table(
    groups: tuple[ranking.DeclinedGroup, ...], summary: Summary
) -> TextTable | None:
    rows = [
        (_said(summary, group.why), count(group.times), ", ".join(group.services))
        for group in groups
    ]
    return _table(("why it was declined", "times", "services"), " # ", rows) if rows else None


def _declined_note(groups: tuple[ranking.DeclinedGroup, ...]) -> str:
    if not groups:
        return "No recommendation was declined."
    total = sum(group.times for group in groups)
    return (
        f"{plural(total, 'recommendation was', 'recommendations were')} declined or cut. One that "
        "stands for an hour is counted in each cycle of that hour."
    )


def _replications_table(summary: Summary) -> TextTable | None:
    replications = summary.replications
    if replications is None:
        return None
    lines: list[tuple[str, float | None, Interval, Callable[[float | None], str]]] = [
        ("requests that missed the SLO", summary.slo.violation_ratio,
         replications.slo["violation_ratio"], percent),
        ("minutes that missed the SLO", summary.slo.violation_minutes,
         replications.slo["violation_minutes"], wording.figure),
        ("availability", summary.slo.availability, replications.slo["availability"], percent),
        ("cost", summary.cost.total_usd, replications.cost["total_usd"], usd),
        ("most requests a second", summary.requests.peak_rate_per_s,
         replications.requests["peak_rate_per_s"], count),
    ]  # fmt: skip
    lines += [
        (f"{name}: p95", summary.services[name].p95_s, figures["p95_s"], seconds)
        for name, figures in replications.services.items()
        if "p95_s" in figures and name in summary.services
    ]
    rows = [
        (
            label,
            show(value),
            show(interval.mean),
            "–" if interval.low is None else f"{show(interval.low)} … {show(interval.high)}",
            f"{show(interval.min)} … {show(interval.max)}",
        )
        for label, value, interval, show in lines
    ]
    level = f"{replications.confidence:.0%}"
    headings = ("", "this run", "mean", f"{level} interval of the mean", "range")
    return _table(headings, " ####", rows)


def _replications_note(summary: Summary) -> str:
    replications = summary.replications
    if replications is None:
        return ""
    return (
        f"{plural(replications.count, 'replication')} of this run, the first of them this one, "
        f"each with a seed of its own: other {_drawn(summary)}arrivals and draws, the same "
        "scenario. The interval is "
        "Student's, for the mean; a single day can lie anywhere in the range and beyond."
    )


def _is_replay(record: Record) -> bool:
    """Whether the load is a recorded trace."""
    return isinstance(record.config.get("trace"), dict)


def _drawn(summary: Summary) -> str:
    """The events that another seed draws; matches and the like are what they were."""
    return "weddings, " if summary.noun.one == "wedding" else ""


def _prediction_table(prediction: dict[str, Prediction]) -> TextTable | None:
    def horizon(item: tuple[str, Prediction]) -> tuple[float, str]:
        return (_number(item[0]), item[0])

    rows = [
        (
            seconds(_number(name)) if _number(name) >= 0.0 else name,
            roughly(p.wape),
            roughly(p.coverage_80),
            wording.figure(None if p.pinball is None else round(p.pinball, 4)),
        )
        for name, p in sorted(prediction.items(), key=horizon)
    ]
    headings = ("ahead", "error (WAPE)", "inside the 80 % interval", "pinball loss")
    return _table(headings, "####", rows) if rows else None


def _unverified(summary: Summary) -> Iterable[str]:
    """A warning where the fluid was used beyond what it is verified for."""
    long = {
        name: service.unverified_share
        for name, service in summary.services.items()
        if (service.unverified_share or 0.0) > UNVERIFIED_SHOWN
    }
    if long:
        shares = ", ".join(f"{name} {percent(share)}" for name, share in long.items())
        yield (
            "Warning: with few slots, or few of them free, the fluid's response times are not "
            f"verified to 10 % at p95 (docs/background/fidelity.md). That was so for part of the "
            f"time: {shares}. Ask for resolution=request where these response times matter."
        )


def _hybrid(record: Record) -> str:
    """Which part of the platform was followed request by request."""
    asked = record.config.get("request")
    asked = asked if isinstance(asked, dict) else {}
    when = asked.get("at")
    window = "all the time" if when is None else f"for {asked.get('duration_s')} s from {when}"
    return (
        f"{asked.get('simulated')} of {asked.get('cells')} equal cells of users and instances were "
        f"followed request by request {window}; all else flowed through queues in small steps of "
        "time, and the figures are those of both parts together."
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _faults_table(record: Record) -> TextTable | None:
    rows = [
        (
            fault.letter,
            words(fault.name),
            wording.clock(fault.start_s),
            wording.clock(fault.end_s) if fault.ended else "did not end",
            "; ".join(t for t in (words(fault.what), fault.detail) if t and t != words(fault.name)),
        )
        for fault in plots.faults(record)[:EVENTS_SHOWN]
    ]
    return _table(("", "fault", "from (UTC)", "to (UTC)", "what"), "     ", rows) if rows else None


def _findings_table(record: Record) -> TextTable | None:
    """The worst findings, in the order in which they were noticed."""
    table = record.findings
    worst = table.assign(rank=table["severity"].map({"critical": 0, "warning": 1}).fillna(2))
    chosen = worst.sort_values(["rank", "time_s"], kind="stable").head(EVENTS_SHOWN)
    rows = [
        (
            wording.clock(row["time_s"]),
            "lasts" if math.isnan(row["ended_s"]) else wording.clock(row["ended_s"]),
            row["service"],
            words(row["kind"]),
            row["severity"],
            f"{words(row['cause'])} at {row['cause_service']}",
            _shown_figure(row),
            row["recommendation"],
        )
        for row in chosen.sort_values("time_s", kind="stable").to_dict("records")
    ]
    headings = (
        "noticed (UTC)", "ended", "service", "finding", "severity", "likely cause", "figure",
        "what to do",
    )  # fmt: skip
    return _table(headings, " " * len(headings), rows) if rows else None


def _shown_figure(row: Mapping[Hashable, Any]) -> str:
    """The figure against its threshold, or against the band that it left."""
    value = f"{words(row['figure'])} {row['value']:.3g}"
    if not math.isnan(row["limit"]):
        return f"{value}, threshold {row['limit']:.3g}"
    edges = ["…" if math.isnan(row[edge]) else f"{row[edge]:.3g}" for edge in ("low", "high")]
    return f"{value}, band {' – '.join(edges)}"


def _findings_note(record: Record) -> str:
    """How the monitor fared, where it ran."""
    own = record.summary.detection
    if own is None:
        return ""
    faults = sum(fault.noticed for fault in own.faults.values())
    after = [fault.after_s for fault in own.faults.values() if fault.after_s is not None]
    times = f", the first alarm after {seconds(min(after))}" if after else ""
    hidden = max(len(record.findings) - EVENTS_SHOWN, 0)
    rest = f" {count(hidden)} more are in findings.parquet." if hidden else ""
    return (
        f"{plural(own.findings, 'finding')} of the monitor, {count(own.alarms)} of them a warning "
        f"or worse; {faults} of {plural(own.faults_seen, 'fault')} noticed{times}; "
        f"{plural(own.false_alarms, 'false alarm')}.{rest}"
    )


def _other_events(record: Record) -> list[Any]:
    return [event for event in record.events if not event.kind.startswith("fault_")]


def _events_table(record: Record) -> TextTable | None:
    rows = [
        (
            wording.clock(event.time_s),
            words(event.kind),
            words(event.name),
            "; ".join(t for t in (event.service, words(event.what), event.detail) if t),
        )
        for event in _other_events(record)[:EVENTS_SHOWN]
    ]
    return _table(("time (UTC)", "event", "name", "what"), "    ", rows) if rows else None


def _events_note(record: Record) -> str:
    hidden = max(len(_other_events(record)) - EVENTS_SHOWN, 0)
    hidden += max(len(plots.faults(record)) - EVENTS_SHOWN, 0)
    if hidden:
        return f"{count(hidden)} more are in events.jsonl."
    if record.events:
        return ""
    if record.summary.live is not None:
        return "Nothing was in trouble in this run."
    return "Nothing was broken on purpose in this run."


def _thinning(record: Record) -> str:
    longest = max((len(part) for _, part in record.by_service()), default=0)
    if longest <= plots.POINTS:
        return "Every sample is drawn. Times are UTC."
    start_s, end_s = record.span_s
    interval = seconds((end_s - start_s) / plots.INTERVALS)
    half = seconds((end_s - start_s) / plots.POINTS)
    return (
        f"Each line joins the lowest and the highest sample of every {interval}, so no spike is "
        f"lost; p95 is the highest of every {half}, forecasts are means. Times are UTC."
    )


_DRAWN = (
    "This is a simulation. The numbers of weddings rest on public figures, but how many "
    "requests people make is an assumption, and so are the services' times and prices."
)
_REPLAYED = (
    "This is a simulation. The load is a recorded one, of another service or another time: "
    "multiplied by one factor and split over the services by fixed shares, which are assumptions, "
    "as are the services' times and prices. Users come as they came then, however they are served."
)


def _caveats(record: Record) -> Iterable[str]:
    summary = record.summary
    if summary.partial:
        yield "The run was interrupted: what came after is not in any figure here."
    if summary.foresight:
        yield (
            f"{summary.controller} is no controller but a bound: it knew the load and the boot "
            "times beforehand, which nobody can."
        )
    if summary.world == "twin":
        yield _REPLAYED if _is_replay(record) else _DRAWN
        if summary.resolution == "fluid":
            yield (
                "At the fluid resolution requests flow through queues in small steps of time "
                "instead of one by one: response times are quantiles of a queueing model, the "
                "instances of a service share its load evenly, and no single request can be "
                "followed."
            )
        elif summary.resolution == "hybrid":
            yield _hybrid(record)
        else:
            yield (
                f"At the {summary.resolution} resolution each service is a queue before its "
                "instances: the network, operating systems and uneven load between instances are "
                "not in it."
            )
    yield from _unverified(summary)
    if idle := [words(name) for name, fault in summary.faults.items() if not fault.fired]:
        yield (
            f"Warning: {', '.join(idle)} met nothing to spoil, so this run does not show how the "
            "platform takes it."
        )
    if summary.live is not None:
        yield from _live_caveats(summary)
    else:
        yield (
            f"It is one run with one seed ({summary.seed}). Another seed draws other "
            f"{_drawn(summary)}arrivals and boot times: differences between controllers need "
            "several seeds."
        )
        yield (
            "“Needed” is known in hindsight only: the fewest instances that would have carried "
            "what arrived. Nobody could have followed it, with boot times of minutes."
        )
    yield "Costs are instance-hours alone: no traffic, storage, licences or people."
    yield (
        "Times to compute and the speed of the run are those of the machine that ran it; all other "
        "figures are the same on every run of this command."
        if summary.world == "twin"
        else "Times to compute are those of the machine that ran the controller."
    )
    conservation = summary.conservation
    if conservation.checked:
        worst = conservation.worst_relative_error
        yield (
            "Requests were counted in and out: arrived = served + failed + shed + timed out + "
            f"queued + in flight, with a relative error of at most {wording.figure(worst)}."
        )
    else:
        yield "That no request was lost or counted twice was not checked in this run."


def _live_caveats(summary: Summary) -> Iterable[str]:
    yield (
        "This ran on real instances, and what is not here was not measured: how many instances "
        "were needed in hindsight, and what became of each single request, only a simulation knows."
    )
    yield (
        "Requests and response times are those that the metrics source gives for the services "
        "themselves; what users waited for on the way there is not in them."
    )
    yield "Weddings are those that were booked; how many really took place is not known here."
    yield "It is one run: another one on the same stack differs, and by how much takes several."
    troubles = summary.live.troubles if summary.live is not None else {}
    if troubles:
        listed = ", ".join(f"{words(name)} {count(times)}" for name, times in troubles.items())
        yield f"Something was in trouble for a while, so often: {listed}."


def _reproduce(summary: Summary) -> str:
    if summary.world != "twin":
        return "This was started. Traffic that comes from outside does not come again."
    return (
        "The same command with the same versions gives the same run, apart from what was measured "
        "by the clock."
    )


def _run_table(summary: Summary) -> TextTable:
    run = summary.simulation
    rows = [
        ("scenario", summary.scenario),
        ("controller", summary.controller),
        ("seed", str(summary.seed)),
        ("resolution", summary.resolution),
        ("world", summary.world),
        ("started", wording.moment(summary.started_at)),
        (
            "took",
            seconds(run.wall_s)
            if summary.live is not None
            else f"{seconds(run.wall_s)} for {seconds(run.simulated_s)}",
        ),
        ("most memory", f"{count(run.peak_rss_mib)} MiB"),
        ("record schema", str(summary.schema_version)),
        *_trace_rows(summary),
    ]
    return _table(("", "this run"), "  ", rows)


def _trace_rows(summary: Summary) -> Iterable[tuple[str, str]]:
    """Which file the load comes from, and how it was understood."""
    trace = summary.trace
    if trace is None:
        return
    yield "trace", trace.file
    yield "read as", "; ".join(trace.read_as)
    if trace.calendar is not None:
        yield "calendar", f"{trace.calendar}: {trace.calendar_read_as}"
    yield "times without a zone", trace.time_zone


def _table(headings: tuple[str, ...], numeric: str, rows: Iterable[tuple[str, ...]]) -> TextTable:
    """A table; `numeric` has a "#" for each column that is set flush right."""
    flags = tuple(mark == "#" for mark in numeric)
    assert len(flags) == len(headings), headings
    return TextTable(headings, tuple(rows), flags)
