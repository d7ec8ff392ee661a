"""What a bundle of evidence says to people and build servers.

Everything is read from `results.json` and the bundle's hash from `statement.json`, so the page can
be made again at any time, also as of another day.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any
from xml.etree import ElementTree as xml

from engine.record.schema.claims import GROUPS, Outcome, outcome_on, readiness
from reports import rendering
from reports.drawing.svg import Plot
from reports.errors import RecordError
from reports.evidence.plots import draw
from reports.wording import plural

CLASSES = {
    "shown": "good",
    "shown in simulation only": "neutral",
    "not shown": "bad",
    "expired": "bad",
}
SIGNS = {
    "shown": "✓ shown",
    "shown in simulation only": "◐ simulation only",
    "not shown": "✗ not shown",
    "expired": "⌛ expired",
}
LEADING = (
    ("1.3", "missed", "Requests missed on the busiest Saturday"),
    ("5.3", "surge", "From surge to accepted action"),
    ("1.3", "cost", "Cost against the clairvoyant"),
)
"""The three figures of the first page: claim, figure, heading."""

SMALLER = " (smaller runs, not meant for a signature)"

SHARE = "share"
"""The unit of fractions, which people read in per cent."""

MOST_RISKS = 5
MOST_REASON = 90
"""Characters of a reason on the first page."""


@dataclass(frozen=True, slots=True)
class FigureText:
    """A figure in words."""

    says: str
    value: str
    interval: str
    limit: str
    margin: str
    n: str
    kept: bool


@dataclass(frozen=True, slots=True)
class ClaimText:
    """A claim in words, with its plot."""

    content: dict[str, Any]
    outcome: Outcome
    sign: str
    mark: str
    figures: list[FigureText]
    control: list[FigureText]
    wider: str
    plot: Plot | None


@dataclass(frozen=True, slots=True)
class EvidenceTexts:
    """The page in words."""

    verdict: str
    mark: str
    headline: str
    about: str
    leading: list[tuple[str, str, str]]
    groups: list[tuple[str, list[ClaimText]]]
    risks: list[tuple[str, str, str]]
    untested: list[tuple[str, str, str]]
    reasons: list[tuple[str, str]]
    """Why claims are not shown, in short, each with the ids of those for which it is why."""
    signer: str
    bundle: str
    plan: dict[str, Any]
    as_of: str
    command: str


def render(folder: Path) -> dict[str, str]:
    """The pages of the bundle in `folder`, as of the day of its plan; raises RecordError."""
    results, digest = _read(folder)
    day = results["plan"]["fixed_at"][:10]
    return {
        "evidence.html": _page(results, digest, day),
        "evidence.md": rendering.text("evidence", texts=tell(results, digest, day)),
        "junit.xml": _junit(results),
    }


def page(folder: Path, day: str) -> str:
    """The page as of `day` (ISO); raises RecordError."""
    results, digest = _read(folder)
    return _page(results, digest, day)


def _read(folder: Path) -> tuple[dict[str, Any], str]:
    path = folder / "results.json"
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        path = folder / "statement.json"
        statement = json.loads(path.read_text(encoding="utf-8"))
        return results, statement["subject"][0]["digest"]["sha256"]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise RecordError(f"{path}: {error}") from error


def _page(results: dict[str, Any], digest: str, day: str) -> str:
    texts = tell(results, digest, day)
    return rendering.page("evidence", texts=texts)


def tell(results: dict[str, Any], digest: str, day: str) -> EvidenceTexts:
    """The page in words, as of `day`."""
    plan = results["plan"]
    claims = {name: _claim(claim, day) for name, claim in results["claims"].items()}
    verdict = readiness((c.outcome, c.content["required"]) for c in claims.values())
    groups: dict[int, list[ClaimText]] = {}
    for claim in claims.values():
        groups.setdefault(claim.content["group"], []).append(claim)
    lacking = [claim for claim in claims.values() if claim.mark == "bad"]
    risks = sorted(lacking, key=lambda claim: not claim.content["required"])[:MOST_RISKS]
    return EvidenceTexts(
        verdict=verdict,
        mark={"ready": "good", "ready, but": "neutral"}.get(verdict, "bad"),
        headline=_headline(claims, plan),
        about=_about(results, day),
        leading=[_leading(claims, *wanted) for wanted in LEADING],
        groups=[(GROUPS.get(number, f"Group {number}"), each) for number, each in groups.items()],
        risks=[(c.content["id"], c.content["title"], c.content["why"]) for c in risks],
        untested=[(c.content["id"], c.content["title"], c.content["reason"]) for c in lacking],
        reasons=_reasons(lacking),
        signer=plan["signer"],
        bundle=digest,
        plan=plan,
        as_of=day,
        command=f"python -m twin evidence level={plan['level']} seed={plan['seed']}",
    )


def _reasons(lacking: Sequence[ClaimText]) -> list[tuple[str, str]]:
    """Each reason once, cut to what a page has room for, with its claims' ids."""
    ids: dict[str, list[str]] = {}
    for claim in lacking:
        reason = shorten(claim.content["reason"] or claim.outcome, MOST_REASON, placeholder=" …")
        ids.setdefault(reason, []).append(claim.content["id"])
    return [(", ".join(names), reason) for reason, names in ids.items()]


def _claim(claim: dict[str, Any], day: str) -> ClaimText:
    outcome = outcome_on(day, claim["outcome"], claim["valid_until"])
    return ClaimText(
        content=claim,
        outcome=outcome,
        sign=SIGNS[outcome],
        mark=CLASSES[outcome],
        figures=[_figure(figure) for figure in claim["figures"]],
        control=[_figure(figure) for figure in claim["control"]["figures"]],
        wider=""
        if claim["wider"] is None or not claim["figures"]
        else f"Intervals are about {claim['wider']:.1f} times as wide as with level=full.",
        plot=draw(claim["figures"], claim["control"]["figures"]),
    )


def _headline(claims: dict[str, ClaimText], plan: dict[str, Any]) -> str:
    shown = sum(claim.mark == "good" for claim in claims.values())
    simulated = sum(claim.mark == "neutral" for claim in claims.values())
    lacking = sum(claim.mark == "bad" for claim in claims.values())
    load = f" with {plan['load']}" if plan["load"] else ""
    return (
        f"For {_day(plan['day'])}{load}: of {plural(len(claims), 'claim')} {shown} shown, "
        f"{simulated} shown in simulation only, {lacking} not shown."
    )


def _about(results: dict[str, Any], day: str) -> str:
    plan = results["plan"]
    until = results["valid_until"]
    version = plan["versions"].get("wedtwin", "unknown")
    return (
        f"Limits fixed {plan['fixed_at'].replace('T', ' ')[:16]} UTC, before the measurement. "
        f"WedTwin {version}, code {plan['versions'].get('code_sha256', 'unknown')[:12]}, "
        f"level {plan['level']}{SMALLER if plan['level'] == 'quick' else ''}, seed {plan['seed']}. "
        + (f"Valid until {_day(until)}. " if until else "Nothing is valid. ")
        + f"As of {_day(day)}."
    )


def _leading(
    claims: dict[str, ClaimText], name: str, figure: str, heading: str
) -> tuple[str, str, str]:
    claim = claims.get(name)
    if claim is None or claim.outcome == "expired":
        return heading, "–", "not measured" if claim is None else "expired"
    for config, text in zip(claim.content["figures"], claim.figures, strict=True):
        if config["name"] == figure:
            return heading, text.value, f"{text.interval}; limit {text.limit}, margin {text.margin}"
    return heading, "–", "not measured"


def _figure(figure: dict[str, Any]) -> FigureText:
    unit = figure["unit"]
    low, high = _number(figure["low"], unit), _number(figure["high"], unit)
    sign = "≤" if figure["operator"] == "<=" else "≥"
    return FigureText(
        says=figure["says"],
        value=_number(figure["value"], unit),
        interval=f"95 % interval {low} … {high}",
        limit=f"{sign} {_number(figure['limit'], unit)}",
        margin=_number(figure["margin"], unit),
        n=f"{figure['n']:,}",
        kept=figure["kept"],
    )


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == SHARE:
        return f"{100.0 * value:.3g} %"
    return f"{value:,.4g} {unit}".strip()


def _day(iso: str) -> str:
    day = dt.date.fromisoformat(iso)
    return f"{day.day} {day:%B %Y}"


def _junit(results: dict[str, Any]) -> str:
    """A test case for each claim: what could not be measured is skipped, never passed."""
    claims = results["claims"]
    failed = [c for c in claims.values() if c["outcome"] == "not shown" and c["figures"]]
    skipped = [c for c in claims.values() if c["outcome"] == "not shown" and not c["figures"]]
    suite = xml.Element(
        "testsuite", name="evidence", tests=str(len(claims)), failures=str(len(failed)),
        errors="0", skipped=str(len(skipped)), timestamp=results["plan"]["fixed_at"][:19],
    )  # fmt: skip
    for name, claim in claims.items():
        case = xml.SubElement(
            suite, "testcase", classname="evidence", name=f"{name} {claim['title']}"
        )
        if claim in failed:
            xml.SubElement(case, "failure", message=claim["reason"])
        elif claim in skipped:
            xml.SubElement(case, "skipped", message=claim["reason"])
    xml.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring(suite, "unicode") + "\n"
