"""What the controller decided and what it declined, how fast, and how well it forecast."""

from __future__ import annotations

from dataclasses import dataclass

from engine.record.schema.summary import Percentiles, Prediction, Summary
from reports import wording
from reports.run import ranking
from reports.run.occasions import in_its_words
from reports.tables import TextTable, table
from reports.wording import count, plural, roughly, seconds, usd, words


@dataclass(frozen=True, slots=True)
class DecisionStory:
    """One of the decisions that mattered: what, why, and why it is on the list."""

    time: str
    service: str
    change: str
    facts: tuple[str, ...]
    tags: tuple[str, ...]
    explanation: str


def decision_story(ranked: ranking.Ranked, summary: Summary) -> DecisionStory:
    """One of the decisions that mattered, in finished texts."""
    row = ranked.row
    before, after = row["from_instances"], row["to_instances"]
    sign = "+" if after >= before else "−"
    facts = [
        in_its_words(summary, words(row["reason"])),
        words(row["category"]),
        words(row["outcome"]),
    ]
    facts.append(f"{usd(row['cost_per_hour'], signed=True)}/h")
    facts.append(f"confidence {roughly(row['confidence'])}")
    waited = row["accepted_s"] - row["trigger_s"]
    if waited == waited:
        facts.append(f"accepted {seconds(max(waited, 0.0))} after its trigger")
    seen: dict[str, None] = dict.fromkeys(text for text in facts if text)
    explanation = row["explanation"].removeprefix(f"{row['service']}: ") or (
        f"{count(before)} → {count(after)} because of {facts[0]}."
    )
    return DecisionStory(
        time=wording.clock(row["time_s"]),
        service=row["service"],
        change=f"{count(before)} → {count(after)} ({sign}{count(abs(after - before))})",
        facts=tuple(seen),
        tags=ranked.because,
        explanation=explanation[:1].upper() + explanation[1:],
    )


def latency_table(summary: Summary) -> TextTable:
    """How long deciding and acting took, by stage."""
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
    return table(("", "p50", "p95", "p99", "max"), " ####", rows)


def reasons(summary: Summary) -> str:
    """Actions by reason, the most frequent first; empty without any."""
    reasons = sorted(summary.decision.by_reason.items(), key=lambda item: (-item[1], item[0]))
    if not reasons:
        return ""
    parts = (f"{in_its_words(summary, words(name))} {count(n)}" for name, n in reasons)
    return "Actions by reason: " + ", ".join(parts) + "."


def declined_table(groups: tuple[ranking.DeclinedGroup, ...], summary: Summary) -> TextTable | None:
    """What was declined, by reason; None if nothing was."""
    rows = [
        (in_its_words(summary, group.why), count(group.times), ", ".join(group.services))
        for group in groups
    ]
    return table(("why it was declined", "times", "services"), " # ", rows) if rows else None


def declined_note(groups: tuple[ranking.DeclinedGroup, ...]) -> str:
    """How many recommendations were declined."""
    if not groups:
        return "No recommendation was declined."
    total = sum(group.times for group in groups)
    return (
        f"{plural(total, 'recommendation was', 'recommendations were')} declined or cut. One that "
        "lasts for an hour is counted in each cycle of that hour."
    )


def prediction_table(prediction: dict[str, Prediction]) -> TextTable | None:
    """How far the forecasts were off, by horizon; None where none fell due."""

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
    return table(headings, "####", rows) if rows else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def forecaster_note(summary: Summary) -> str:
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
