"""`report.md`: the report without its pictures, to paste into a pull request.

Texts of the record are escaped, so that a name with a pipe does not break a table and one with an
at-sign calls nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from reports.run.story import DecisionStory, Story, TextTable
from reports.wording import OUTCOMES


def render(story: Story) -> str:
    """The report as GitHub-flavoured Markdown."""
    return "\n".join(_lines(story)).rstrip("\n") + "\n"


def _lines(story: Story) -> Iterator[str]:
    yield from _head(story)
    yield from _limits(story)
    yield from _services(story)
    yield from _decisions(story)
    yield from _forecasts(story)
    yield from _load(story)
    yield from _readiness(story)
    yield from _events(story)


def _head(story: Story) -> Iterator[str]:
    verdict = story.verdict
    yield f"# {text(story.title)}: {verdict.symbol} {verdict.word}\n"
    yield f"**{text(story.headline)}**\n"
    yield f"{text(story.eyebrow)}\n"
    for paragraph in (story.description, story.partial_note):
        if paragraph:
            yield f"{text(paragraph)}\n"


def _limits(story: Story) -> Iterator[str]:
    yield "## Limits\n"
    if story.limits:
        rows = tuple(
            ("✗ **FAILED**" if limit.outcome == "failed" else OUTCOMES[limit.outcome],
             text(f"{limit.name} ({limit.reason})" if limit.reason else limit.name),
             code(limit.metric), text(limit.value), text(limit.limit))
            for limit in story.limits
        )  # fmt: skip
        flags = (False, False, False, True, True)
        yield from _raw_table(("", "limit", "figure", "value", "allowed"), rows, flags)
    else:
        yield "This run has no limits to keep.\n"


def _services(story: Story) -> Iterator[str]:
    yield "## Key figures\n"
    figures = tuple(
        (text(k.label), f"**{text(k.value)}**", text(k.note)) for k in story.key_figures
    )
    yield from _raw_table(("", "", ""), figures, (False, True, False))

    yield "## Services\n"
    yield from _table(story.service_table)
    yield "The plots of demand, capacity and response time are in `report.html`.\n"

    if story.replications is not None:
        yield "## Other seeds\n"
        yield f"{text(story.replications_note)}\n"
        yield from _table(story.replications)


def _decisions(story: Story) -> Iterator[str]:
    yield "## Decision latency\n"
    yield from _table(story.latency_table)
    if story.reasons:
        yield f"{text(story.reasons)}\n"

    yield "## Cost\n"
    yield f"{text(story.cost_line)}\n"

    yield "## The decisions that mattered most\n"
    for number, decision in enumerate(story.decisions, 1):
        yield from _decision(number, decision)
    yield f"{text(story.decisions_note)}\n"

    yield "## What was declined\n"
    if story.declined is not None:
        yield from _table(story.declined)
    yield f"{text(story.declined_note)}\n"


def _forecasts(story: Story) -> Iterator[str]:
    yield "## Accuracy of the forecasts\n"
    if story.forecaster:
        yield f"{text(story.forecaster)}\n"
    if story.prediction is not None:
        yield from _table(story.prediction)
    else:
        yield "No forecast fell due in this run.\n"


def _load(story: Story) -> Iterator[str]:
    if story.sent is not None:
        yield "## Load as sent and as felt\n"
        yield f"{text(story.sent.sentence)}\n"
        yield from _table(story.sent.limits)
        yield from _table(story.sent.services)
        if story.sent.reasons is not None:
            yield from _table(story.sent.reasons)
        yield f"{text(story.sent.note)}\n"


def _readiness(story: Story) -> Iterator[str]:
    if story.prescaling is not None:
        yield f"## {text(story.prescaling.title)}\n"
        yield f"{text(story.prescaling.sentence)}\n"
        yield from _table(story.prescaling.services)
        yield from _table(story.prescaling.groups)
        yield f"{text(story.prescaling.note)}\n"


def _events(story: Story) -> Iterator[str]:
    if story.findings_note:
        yield "## Findings\n"
        yield f"{text(story.findings_note)}\n"
        if story.findings is not None:
            yield from _table(story.findings)
    yield "## Faults and events\n"
    for table in (story.faults, story.events):
        if table is not None:
            yield from _table(table)
    if story.events_note:
        yield f"{text(story.events_note)}\n"

    yield "## What this does not show\n"
    yield "\n".join(f"- {text(caveat)}" for caveat in story.caveats) + "\n"

    yield "## Reproduce\n"
    yield f"{text(story.reproduce)}\n"
    yield from _fenced(story.command, "sh")
    yield from _table(story.run)
    yield from _table(story.versions)
    yield "<details><summary>Configuration (config.yaml)</summary>\n"
    yield from _fenced(story.config, "yaml")
    yield "</details>\n"


def text(value: str) -> str:
    """`value` as plain words: on one line, with nothing in it that Markdown or HTML acts on."""
    value = " ".join(value.split())
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    value = re.sub(r"([\\`*\[\]|~#])", r"\\\1", value).replace("@", "&#64;")
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", value)


def code(value: str) -> str:
    """`value` as a code span that is safe in a table."""
    return f"`{' '.join(value.split()).replace('`', chr(39)).replace('|', '¦')}`"


def _decision(number: int, decision: DecisionStory) -> Iterator[str]:
    facts = " · ".join(text(fact) for fact in decision.facts)
    tags = ", ".join(text(tag) for tag in decision.tags)
    yield (
        f"{number}. **{text(decision.time)} {text(decision.service)} {text(decision.change)}** "
        f"({facts})  \n   {text(decision.explanation)}  \n   *Here because: {tags}.*"
    )
    yield ""


def _table(table: TextTable) -> Iterator[str]:
    rows = tuple(tuple(text(cell) for cell in row) for row in table.rows)
    yield from _raw_table(tuple(text(heading) for heading in table.headings), rows, table.numeric)


def _raw_table(
    headings: tuple[str, ...], rows: tuple[tuple[str, ...], ...], numeric: tuple[bool, ...]
) -> Iterator[str]:
    """A table of cells that are Markdown already."""
    yield f"| {' | '.join(headings)} |"
    yield f"| {' | '.join('---:' if flag else '---' for flag in numeric)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _fenced(source: str, language: str) -> Iterator[str]:
    """A code block with a fence longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}{language}\n{source.rstrip()}\n{fence}\n"
