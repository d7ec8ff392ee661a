"""What a validation says: how far the twin is from the live stack, and how sure that is.

Everything is read from `validation.json`, so the report can be made again at any time.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from reports import rendering
from reports.reading import pages_of
from reports.tables import TextTable
from reports.validation import plots as validation_plots
from reports.wording import plural

FIGURES = {
    "throughput": "throughput",
    "utilisation": "utilisation",
    "p50": "p50",
    "p95": "p95",
}
SIGNS = {"equivalent": "✓ equivalent", "not shown": "· not shown", "different": "✗ different"}


def render(folder: Path) -> dict[str, str]:
    """The pages of the validation in `folder`: name and text of each."""
    return pages_of(folder / "validation.json", _pages)


def _pages(content: dict[str, Any]) -> dict[str, str]:
    lede, notes = _lede(content), _notes(content)
    sections = [(cell["name"], _cell_table(cell)) for cell in content["cells"]]
    tables = {"summary": _summary(content), "calibration": _calibration(content)}
    closed = _closed(content.get("closed_loop"))
    plots = validation_plots.draw(content)
    texts = {
        "lede": lede, "notes": notes, "tables": tables, "sections": sections, "closed": closed,
        "command": content["command"],
    }  # fmt: skip
    return {
        "report.html": rendering.page("validation", **texts, plots=plots),
        "report.md": rendering.text("validation", **texts),
    }


def _verdicts(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        verdict
        for cell in content["cells"]
        for figures in cell["verdicts"].values()
        for verdict in figures.values()
    ]


def _lede(content: dict[str, Any]) -> str:
    outcomes = Counter(verdict["outcome"] for verdict in _verdicts(content))
    total = sum(outcomes.values())
    equivalent, unsure, bad = (outcomes[name] for name in SIGNS)
    repeats = plural(content["repeats"], "live repeat")
    return (
        f"Of {plural(total, 'compared figure')}: {equivalent} shown to be equivalent within "
        f"the limits, {unsure} not shown to be, {bad} different; {repeats} of each "
        "cell, each with its own arrivals and calls replayed in the twin."
    )


def _notes(content: dict[str, Any]) -> list[str]:
    limits = content["limits"]
    noisy = [v for v in _verdicts(content) if v["noise"] > v["limit"]]
    unsure = [v for v in noisy if v["outcome"] == "not shown"]
    return [
        f"Limits: throughput ±{limits['throughput']:.0%}, utilisation "
        f"±{100 * limits['utilisation']:g} points, p50 ±{limits['p50']:.0%}, "
        f"p95 ±{limits['p95']:.0%}. Equivalent: the 90 % interval of the mean paired difference "
        "lies wholly within them (two one-sided tests at 5 %).",
        "Noise is what two live runs with the same arrivals differ by in nine of ten cases. It is "
        f"above the limit for {plural(len(noisy), 'figure')}, {len(unsure)} of those that are not "
        "shown; more or longer repeats would settle them, a better model would not.",
        "The twin never saw these loads: it was calibrated at "
        + ", ".join(f"{level:.0%}" for level in content["calibration"]["levels"])
        + " of the knee, on service, boot and hop times only.",
        "The load's own lateness was at most "
        f"{1000 * max(cell['late_p99_s'] for cell in content['cells']):.0f} ms for 99 % of the "
        "requests.",
    ]


def _summary(content: dict[str, Any]) -> TextTable:
    """One row a cell: how many of its figures are equivalent, by kind."""
    rows = []
    for cell in content["cells"]:
        row = [cell["name"]]
        for figure in FIGURES:
            verdicts = [f[figure] for f in cell["verdicts"].values() if figure in f]
            good = sum(verdict["outcome"] == "equivalent" for verdict in verdicts)
            bad = sum(verdict["outcome"] == "different" for verdict in verdicts)
            worst = max(verdicts, key=lambda v: abs(v["difference"]), default=None)
            text = f"{good} of {len(verdicts)}" + (f", {bad} different" if bad else "")
            if worst is not None:
                text += f" (≤ {_share(figure, abs(worst['difference']))})"
            row.append(text)
        rows.append(tuple(row))
    headings = ("cell", *FIGURES.values())
    return TextTable(headings, tuple(rows), (False,) * len(headings))


def _cell_table(cell: dict[str, Any]) -> TextTable:
    rows = []
    for service, figures in cell["verdicts"].items():
        for figure, verdict in figures.items():
            live = [run[figure][service] for run in cell["live"]]
            twin = [run[figure][service] for run in cell["twin"]]
            rows.append(
                (
                    f"{service} {FIGURES[figure]}",
                    _value(figure, live),
                    _value(figure, twin),
                    _signed(figure, verdict["difference"]),
                    f"{_signed(figure, verdict['low'])} … {_signed(figure, verdict['high'])}",
                    f"±{_share(figure, verdict['limit'])}",
                    _share(figure, verdict["noise"]),
                    SIGNS[verdict["outcome"]],
                )
            )
    headings = ("figure", "live", "twin", "difference", "90 % interval", "limit", "noise", "")
    return TextTable(headings, tuple(rows), (False, *(True,) * 6, False))


def _calibration(content: dict[str, Any]) -> TextTable:
    def shown(estimate: dict[str, float]) -> str:
        return f"{estimate['value']:.3g} ± {estimate['half_width']:.1g}"

    fitted = content["calibration"]
    rows = [
        (
            name,
            *(
                shown(fit[key])
                for key in (
                    "service_s", "service_scv", "boot_median_s", "boot_p95_s", "warmup_s",
                )
            ),
        )
        for name, fit in fitted["services"].items()
    ]  # fmt: skip
    headings = ("service", "service time s", "SCV", "boot median s", "boot p95 s", "warm-up s")
    return TextTable(headings, tuple(rows), (False, *(True,) * 5))


def _closed(closed: dict[str, Any] | None) -> TextTable | None:
    if closed is None:
        return None
    rows = [
        (row["what"], row["live"], row["twin"], row["difference"], row["limit"],
         "✓ within" if row["within"] else "✗ outside")
        for row in closed["rows"]
    ]  # fmt: skip
    headings = ("figure", "live", "twin", "difference", "limit", "")
    return TextTable(headings, tuple(tuple(row) for row in rows), (False, *(True,) * 4, False))


def _value(figure: str, values: list[float | None]) -> str:
    present = [value for value in values if value is not None]
    if not present:
        return "–"
    average = sum(present) / len(present)
    return f"{average:.1%}" if figure == "utilisation" else f"{average:.3g}"


def _signed(figure: str, value: float) -> str:
    sign = "+" if value >= 0.0 else "−"
    return sign + _share(figure, abs(value))


def _share(figure: str, value: float) -> str:
    return f"{100 * value:.1f} pt" if figure == "utilisation" else f"{100 * value:.1f} %"
