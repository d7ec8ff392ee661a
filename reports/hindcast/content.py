"""What a hindcast says: how far the twin is from days that were measured, and how sure that is.

Everything is read from `hindcast.json`, so the report can be made again at any time.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from reports import rendering
from reports.drawing.style import look
from reports.drawing.svg import Plot
from reports.reading import pages_of
from reports.tables import TextTable
from reports.validation.content import SIGNS
from reports.validation.plots import differences
from reports.wording import plural

TITLE = "The twin against days that were measured"
FIGURES = {
    "throughput": "requests/s",
    "utilisation": "utilisation",
    "p95_s": "p95",
    "instances": "instances",
    "cost_usd": "cost",
}


def render(folder: Path) -> dict[str, str]:
    """The pages of the hindcast in `folder`: name and text of each."""
    return pages_of(folder / "hindcast.json", _pages)


def _pages(content: dict[str, Any]) -> dict[str, str]:
    lede, notes = _lede(content), _notes(content)
    sections = [(name, _table(one)) for name, one in content["controllers"].items()]
    with look():
        plots: dict[str, Plot] = {
            name: differences({"name": name, "verdicts": _named(one["verdicts"])})
            for name, one in content["controllers"].items()
            if one["verdicts"]
        }
    texts = {
        "title": TITLE, "lede": lede, "notes": notes, "sections": sections,
        "command": content["command"],
    }  # fmt: skip
    return {
        "report.html": rendering.page("hindcast", **texts, plots=plots),
        "report.md": rendering.text("hindcast", **texts),
    }


def _lede(content: dict[str, Any]) -> str:
    sentences = []
    for name, one in content["controllers"].items():
        outcomes = Counter(
            verdict["outcome"] for own in one["verdicts"].values() for verdict in own.values()
        )
        same, unsure, bad = (outcomes[outcome] for outcome in SIGNS)
        sentences.append(
            f"With {name}: of {plural(sum(outcomes.values()), 'figure')} {same} equivalent within "
            f"the limits, {unsure} not shown to be, {bad} different."
        )
    days = content["days"]
    return (
        f"{plural(len(days), 'day')}, {days[0]} to {days[-1]}, that the platform was not fitted to "
        f"(that was done on the {content['fitted_days']} before). {' '.join(sentences)}"
    )


def _notes(content: dict[str, Any]) -> list[str]:
    limits = content["limits"]
    notes = [
        f"Limits: requests/s ±{limits['throughput']:.0%}, utilisation "
        f"±{100 * limits['utilisation']:g} points, p95 ±{limits['p95_s']:.0%}, instances "
        f"±{limits['instances']:g}, cost ±{limits['cost_usd']:.0%}. Equivalent: the 90 % interval "
        "of the mean difference over the days lies wholly within them (two one-sided tests at "
        "5 %).",
        "Grey in the plots is what two measured days differ by in nine of ten cases: a Sunday "
        "is no Monday, so it says how much the days vary, not how well they were measured.",
        "A controller named …_as_measured has the counts that there were, so it shows the queues "
        "alone; one named …_hpas decides for itself, so every error feeds back.",
    ]
    if content["prices_assumed"]:
        notes.append(
            f"Prices of {', '.join(content['prices_assumed'])} are assumed. Both sides of a cost "
            "have the same price, so the comparison is one of instance-hours."
        )
    notes += [f"Left out: {why}." for why in content["left_out"]]
    return notes


def _named(verdicts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        service: {FIGURES[figure]: verdict for figure, verdict in own.items()}
        for service, own in verdicts.items()
    }


def _table(one: dict[str, Any]) -> TextTable:
    rows = []
    for row in one["rows"]:
        service, figure = row["service"], row["figure"]
        verdict = one["verdicts"][service][figure]
        pairs = [(a, b) for a, b in row["days"] if _finite(a) and _finite(b)]
        measured, twin = (sum(pair[k] for pair in pairs) / len(pairs) for k in (0, 1))
        rows.append(
            (
                f"{service} {FIGURES[figure]}",
                _value(figure, measured),
                _value(figure, twin),
                _signed(figure, verdict["difference"]),
                f"{_signed(figure, verdict['low'])} … {_signed(figure, verdict['high'])}",
                f"±{_share(figure, verdict['limit'])}",
                str(len(pairs)),
                SIGNS[verdict["outcome"]],
            )
        )
    headings = ("figure", "measured", "twin", "difference", "90 % interval", "limit", "days", "")
    return TextTable(headings, tuple(rows), (False, *(True,) * 6, False))


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _value(figure: str, value: float) -> str:
    if figure == "utilisation":
        return f"{value:.1%}"
    return f"{value:.2f} USD" if figure == "cost_usd" else f"{value:.3g}"


def _signed(figure: str, value: float) -> str:
    return ("+" if value >= 0.0 else "−") + _share(figure, abs(value))


def _share(figure: str, value: float) -> str:
    if figure == "instances":
        return f"{value:.2f}"
    return f"{100 * value:.1f} pt" if figure == "utilisation" else f"{100 * value:.1f} %"
