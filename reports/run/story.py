"""What a report says, before it is a page or a Markdown text.

`tell` turns a record into sentences and tables of finished texts, so that the page and the text for
a pull request cannot differ in what they say, and each of the two only cares for how it looks.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.load import content as load
from reports.run import ranking, readiness
from reports.run.caveats import caveats, thinning_note
from reports.run.decided import (
    DecisionStory,
    decision_story,
    declined_note,
    declined_table,
    forecaster_note,
    latency_table,
    prediction_table,
    reasons,
)
from reports.run.happenings import (
    events_note,
    events_table,
    faults_table,
    findings_note,
    findings_table,
)
from reports.run.headline import (
    KeyFigure,
    ThresholdLine,
    VerdictBadge,
    eyebrow,
    headline,
    key_figures,
    limit_line,
    partial_note,
    verdict,
)
from reports.run.occasions import occasions
from reports.run.provenance import how_to_repeat, run_table
from reports.run.reading import Record
from reports.run.services import (
    ServiceStory,
    cost_line,
    replications_note,
    replications_table,
    service_line,
    service_table,
)
from reports.tables import TextTable, table


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
    decisions = tuple(decision_story(ranked, summary) for ranked in ranking.most_important(record))
    return Story(
        title=summary.scenario,
        occasions=occasions(summary),
        eyebrow=eyebrow(record),
        verdict=verdict(summary),
        headline=headline(record),
        description=" ".join(summary.description.split()),
        partial_note=partial_note(record),
        limits=tuple(limit_line(threshold) for threshold in summary.thresholds),
        key_figures=key_figures(summary),
        services=tuple(
            ServiceStory(name, service_line(service)) for name, service in summary.services.items()
        ),
        service_table=service_table(record),
        replications=replications_table(summary),
        replications_note=replications_note(summary),
        latency_table=latency_table(summary),
        reasons=reasons(summary),
        cost_line=cost_line(summary),
        decisions=decisions,
        decisions_note=ranking.RANKING_EXPLAINED if decisions else "The controller took no action.",
        declined=declined_table(declined, summary),
        declined_note=declined_note(declined),
        prediction=prediction_table(summary.prediction),
        forecaster=forecaster_note(summary),
        prescaling=_prescaled(record),
        sent=_sent(record),
        findings=findings_table(record),
        findings_note=findings_note(record),
        faults=faults_table(record),
        events=events_table(record),
        events_note=events_note(record),
        thinning=thinning_note(record),
        caveats=tuple(caveats(record)),
        reproduce=how_to_repeat(summary),
        command=summary.command,
        run=run_table(summary),
        versions=table(("package", "version"), "  ", sorted(summary.versions.items())),
        config=record.config_text,
    )


def _prescaled(record: Record) -> PrescalingSection | None:
    texts = readiness.tell(record)
    if texts is None:
        return None
    return PrescalingSection(
        title=f"Ready when {record.summary.noun.many} began",
        sentence=texts.sentence,
        services=table(texts.services[0], "  ####", texts.services[1]),
        groups=table(texts.groups[0], "## ###", texts.groups[1]),
        note=texts.note,
    )


def _sent(record: Record) -> LoadTestSection | None:
    if record.load is None:
        return None
    texts = load.tell(record.load)
    return LoadTestSection(
        sentence=texts.sentence,
        services=table(texts.services[0], " " + "#" * 14, texts.services[1]),
        limits=table(texts.limits[0], " # ", texts.limits[1]),
        reasons=table(texts.reasons[0], " #", texts.reasons[1]) if texts.reasons[1] else None,
        note=texts.note,
    )
