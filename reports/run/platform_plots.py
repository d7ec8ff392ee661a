"""Plots of the whole platform over the day: weddings by phase, and cost by service."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import wording
from reports.drawing.areas import stack
from reports.drawing.axes import axis_top, figure_of, largest
from reports.drawing.legend import Key, line_key
from reports.drawing.style import INK
from reports.drawing.svg import Plot, svg
from reports.drawing.thinning import INTERVALS, FloatArray, binned, envelope, interval_means
from reports.run.faults import MarkedFault, fault_keys, mark_faults
from reports.run.reading import Record


def weddings_plot(record: Record, marked: Sequence[MarkedFault]) -> Plot:
    """Weddings in progress, stacked by phase, the earliest phase at the bottom."""
    table = record.weddings.sort_values("time_s", kind="stable")
    t = table["time_s"].to_numpy()
    phases = [
        c for c in table.columns
        if c not in ("time_s", "in_progress") and pd.api.types.is_numeric_dtype(table[c])
    ]  # fmt: skip
    figure, (axes,) = figure_of((220,), record.span_s)
    at, layers = interval_means(t, *(table[c].to_numpy(float) for c in phases))
    total = table["in_progress"].to_numpy()
    keys = stack(axes, at, dict(zip(map(wording.words, phases), layers, strict=True)))
    axes.plot(*envelope(t, total), color=INK, linewidth=1.2)
    peak_s, peak = _peak(record, t, total)
    axes.set_ylim(0, 1.22 * max(peak, 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.plot([peak_s], [peak], marker="o", markersize=4, color=INK)
    side = "right" if peak_s > sum(record.span_s) / 2 else "left"
    axes.annotate(
        f"{peak:,.0f} at {wording.clock(peak_s)[:5]}", (peak_s, peak),
        xytext=(-6 if side == "right" else 6, 5), textcoords="offset points", ha=side,
        va="bottom", fontweight="bold", fontsize=11, zorder=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
    )  # fmt: skip
    mark_faults((axes,), marked, record.span_s, named=False)
    many = record.summary.noun.many
    label = f"{many} in progress by phase; the most at once were {peak:,.0f}"
    keys = [Key("all", line_key(INK, "", 1.8)), *keys]
    return Plot(svg(figure, "weddings", label), label, (*keys, *fault_keys(marked)))


def has_events(record: Record) -> bool:
    """Whether there was any wedding to draw."""
    return len(record.weddings) > 1 and bool((record.weddings["in_progress"] > 0).any())


def _peak(record: Record, t: FloatArray, total: FloatArray) -> tuple[float, float]:
    """When most weddings were in progress, and how many: to the second, as the summary has it."""
    highest = int(np.argmax(total))
    try:
        when = dt.datetime.fromisoformat(record.summary.weddings.peak_at)
    except ValueError:
        return float(t[highest]), float(total[highest])
    when = when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)
    return when.timestamp(), float(record.summary.weddings.peak_simultaneous)


def cost_plot(record: Record, marked: Sequence[MarkedFault]) -> Plot:
    """USD per hour, stacked by service, the dearest at the bottom; beyond seven "others"."""
    parts = {name: part for name, part in record.by_service() if len(part)}
    start_s, end_s = record.span_s
    edges = np.linspace(start_s, end_s, INTERVALS + 1)
    series = {
        name: binned(part["time_s"].to_numpy(), part["cost_per_hour"].to_numpy(), edges)
        for name, part in parts.items()
    }
    ranked = sorted(series, key=lambda name: (-float(np.nansum(series[name])), name))
    layers = {name: series[name] for name in ranked[:7]}
    if len(ranked) > 7:
        layers[f"{len(ranked) - 7} others"] = np.sum([series[name] for name in ranked[7:]], axis=0)
    at = (edges[:-1] + edges[1:]) / 2.0
    figure, (axes,) = figure_of((180,), record.span_s)
    keys = stack(axes, at, layers)
    total = np.sum(list(series.values()), axis=0)
    axes.plot(at, total, color=INK, linewidth=1.2)
    axes.set_ylim(0, axis_top(total))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${wording.compact(value)}"))
    axes.set_title("Cost, USD per hour", loc="left")
    mark_faults((axes,), marked, record.span_s, named=False)
    label = f"cost per hour by service; the most is {wording.usd(largest(total))} an hour"
    keys = [Key("total", line_key(INK, "", 1.8)), *keys]
    return Plot(svg(figure, "cost", label), label, (*keys, *fault_keys(marked)))
