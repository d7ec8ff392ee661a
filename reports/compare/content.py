"""What a comparison of controllers says, as data for the page and the text.

Everything is read from the comparison's files (`comparison.json`, `minutes.parquet`,
`runs.parquet`), so that the report can be made again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports import rendering
from reports.compare import plots as comparison_plots
from reports.errors import RecordError
from reports.tables import TextTable
from reports.wording import clock, count, moment, percent, plural, seconds, usd

ELASTICITY = ("accuracy_under", "accuracy_over", "timeshare_under", "timeshare_over", "instability")
COST, VIOLATION = "cost.total_usd", "slo.violation_ratio"
LOSSES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison as it lies on the disk."""

    content: dict[str, Any]
    minutes: pd.DataFrame
    runs: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """The contestants, in the order in which they were given."""
        return list(self.content["controllers"])

    def mean(self, name: str, path: str) -> float | None:
        """Mean of a figure over the replications; None if it does not exist."""
        interval = self.content["figures"][name].get(path)
        return None if interval is None else float(interval["mean"])

    def is_bound(self, name: str) -> bool:
        """Whether it knew what was to come."""
        return bool(self.content["controllers"][name]["foresight"])


@dataclass(frozen=True, slots=True)
class ComparisonTexts:
    """The finished texts."""

    title: str
    eyebrow: str
    headline: str
    description: str
    main: TextTable
    pairs: TextTable
    elasticity: TextTable
    readiness: TextTable | None
    losses: TextTable | None
    notes: tuple[str, ...]
    command: str


def load(folder: Path) -> Comparison:
    """Read a comparison; raises RecordError naming what is missing or malformed."""
    path = folder / "comparison.json"
    try:
        content = json.loads(path.read_text())
        return Comparison(
            content,
            pd.read_parquet(folder / "minutes.parquet"),
            pd.read_parquet(folder / "runs.parquet"),
        )
    except OSError as error:
        raise RecordError(f"{error.filename or path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error


def render(folder: Path) -> dict[str, str]:
    """The pages of the comparison in `folder`: name and text of each."""
    comparison = load(folder)
    texts = tell(comparison)
    plots = comparison_plots.draw(comparison.content, comparison.minutes)
    page = rendering.page("comparison", texts=texts, plots=plots)
    return {"report.html": page, "report.md": rendering.text("comparison", texts=texts)}


def tell(comparison: Comparison) -> ComparisonTexts:
    """Say it."""
    content = comparison.content
    replications = content["replications"]
    return ComparisonTexts(
        title=f"{content['scenario']}: controllers compared",
        eyebrow=f"{plural(len(comparison.names), 'controller')} · seed {content['seed']} · "
        f"{plural(replications, 'replication')} · {moment(content['started_at'])}",
        headline=_headline(comparison),
        description=content["description"],
        main=_main(comparison),
        pairs=_pairs(comparison),
        elasticity=_elasticity(comparison),
        readiness=_readiness(comparison),
        losses=_losses(comparison),
        notes=tuple(_notes(comparison)),
        command=content["command"],
    )


def _headline(comparison: Comparison) -> str:
    own = "engine" if "engine" in comparison.names else comparison.names[0]
    cost, bad = comparison.mean(own, COST), comparison.mean(own, VIOLATION)
    text = f"{own}: {percent(bad)} of the requests missed the SLO, for {usd(cost)}."
    pairs = comparison.content["paired"][own]
    for reference in ("hpa", "clairvoyant"):
        if reference in pairs:
            ratio = pairs[reference]["cost_ratio"]["mean"]
            than = "what clairvoyance would cost" if reference == "clairvoyant" else "hpa's cost"
            text += f" That is {ratio:.2f} times {than}"
            text += (
                "."
                if reference == "clairvoyant"
                else (f" ({percent(comparison.mean('hpa', VIOLATION))} missed).")
            )
    return text


def _main(comparison: Comparison) -> TextTable:
    front = comparison.content["pareto"]
    rows = []
    for name in comparison.names:
        mark = " (bound)" if comparison.is_bound(name) else " ★" if name in front else ""
        rows.append(
            (
                name + mark,
                _with_half(comparison, name, VIOLATION, percent),
                _with_half(comparison, name, "slo.violation_minutes", lambda x: f"{x:.3g}"),
                seconds(comparison.mean(name, "slo.longest_violation_s")),
                _with_half(comparison, name, COST, usd),
                _ratio(comparison, name, "clairvoyant"),
                _ratio(comparison, name, "hpa"),
                _ratio(comparison, name, "static"),
                count(comparison.mean(name, "decision.actions")),
                count(comparison.mean(name, "decision.flaps")),
                count(comparison.mean(name, "decision.reversals")),
            )
        )
    headings = (
        "controller", "SLO violations", "violation minutes", "longest", "cost",
        "× clairvoyant", "× hpa", "× static", "actions", "flaps", "reversals",
    )  # fmt: skip
    return TextTable(headings, tuple(rows), (False, *(True,) * 10))


def _pairs(comparison: Comparison) -> TextTable:
    rows = []
    for name in comparison.names:
        if name.startswith("hpa@"):
            continue  # their ratios are in the first table
        for reference, pair in comparison.content["paired"][name].items():
            rows.append(
                (
                    name,
                    reference,
                    _interval(pair["cost_ratio"], lambda x: f"{x:.3f}"),
                    _interval(pair["cost_difference"], lambda x: usd(x, signed=True)),
                    _interval(pair["violation_difference"], _points),
                )
            )
    headings = (
        "controller",
        "against",
        "cost ratio",
        "cost difference",
        "violations, percentage points",
    )
    return TextTable(headings, tuple(rows), (False, False, True, True, True))


def _elasticity(comparison: Comparison) -> TextTable:
    rows = [
        (name, *(percent(comparison.mean(name, f"elasticity.{key}")) for key in ELASTICITY))
        for name in comparison.names
    ]
    headings = (
        "controller", "short by", "above by", "time short", "time above", "instability",
    )  # fmt: skip
    return TextTable(headings, tuple(rows), (False, *(True,) * 5))


def _losses(comparison: Comparison) -> TextTable | None:
    rows = [
        (
            name,
            f"{clock(loss['from_s'])[:5]}–{clock(loss['to_s'])[:5]}",
            percent(loss["worst_share"]),
            count(loss["requests"]),
            ", ".join(loss["services"]),
        )
        for name in comparison.names
        for loss in comparison.content["losses"].get(name, [])[:LOSSES_SHOWN]
    ]
    headings = ("controller", "time, UTC", "worst minute", "requests", "services")
    return TextTable(headings, tuple(rows), (False, False, True, True, False)) if rows else None


def _notes(comparison: Comparison) -> Iterable[str]:
    if comparison.content["replications"] == 1:
        yield "One replication: there are no confidence intervals. Run with replications=20."
    bounds = [name for name in comparison.names if comparison.is_bound(name)]
    if bounds:
        yield (
            f"{', '.join(bounds)} knows the load and each boot time beforehand: a bound, not a "
            "controller. It does not foresee faults, so with faults it need not be the best."
        )
    if comparison.content["faults"]:
        kinds = ", ".join(sorted({fault["kind"] for fault in comparison.content["faults"]}))
        yield f"Faults in this scenario: {kinds}."
    yield (
        f"All contestants meet the same {_events(comparison)}arrivals, boot-time draws and faults "
        "in each replication; differences are taken replication by replication, intervals are 95 %."
    )
    yield "Losses and capacities are those of the first replication."


def _events(comparison: Comparison) -> str:
    """What takes place, if anything, for a list."""
    if comparison.content.get("replay"):
        return "recorded load, "
    return "weddings, "


def _readiness(comparison: Comparison) -> TextTable | None:
    """Whether the capacity stood ready when events began; None without any."""
    rows = [
        (
            name,
            percent(comparison.mean(name, "prescaling.ready_share")),
            _bare(comparison.mean(name, "prescaling.worst_ready_ratio")),
            percent(comparison.mean(name, "prescaling.excess_share")),
        )
        for name in comparison.names
        if comparison.mean(name, "prescaling.ready_share") is not None
    ]
    many = comparison.content.get("noun", {}).get("many", "weddings")
    headings = ("controller", f"{many} with all ready", "least ready ÷ needed", "cost above need")
    return TextTable(headings, tuple(rows), (False, True, True, True)) if rows else None


def _bare(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _with_half(comparison: Comparison, name: str, path: str, shown: Any) -> str:
    interval = comparison.content["figures"][name].get(path)
    if interval is None:
        return "–"
    text = str(shown(interval["mean"]))
    if interval["low"] is not None and interval["high"] > interval["low"]:
        text += f" ± {shown((interval['high'] - interval['low']) / 2.0)}"
    return text


def _ratio(comparison: Comparison, name: str, reference: str) -> str:
    if name == reference:
        return "1"
    pair = comparison.content["paired"][name].get(reference)
    return "–" if pair is None else f"{pair['cost_ratio']['mean']:.3f}"


def _interval(interval: dict[str, Any], shown: Any) -> str:
    text = str(shown(interval["mean"]))
    if interval["low"] is not None:
        text += f" ({shown(interval['low'])} … {shown(interval['high'])})"
    return text


def _points(value: float) -> str:
    """Percentage points; what no day's requests could show counts as nothing."""
    return "0" if abs(100.0 * value) < 5e-6 else f"{100.0 * value:+.2g}"
