"""The plot of one service: demand, capacity and response time, one above the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports import wording
from reports.drawing.axes import axis_top, figure_of, log_ticks
from reports.drawing.legend import CROSS, Key, band_key, line_key, swatch
from reports.drawing.style import BLUE, DASHED, GREEN, GREY, INK, MUTED, ORANGE, VERMILLION
from reports.drawing.svg import Plot, svg
from reports.drawing.thinning import FloatArray, envelope, interval_maxima, interval_means
from reports.run.faults import MarkedFault, fault_keys, mark_faults
from reports.run.ranking import NOT_DONE, is_emergency
from reports.run.reading import Record

STRIP = 1.25  # room above the lines of a capacity panel, for the marks of actions


_MARKS = (
    # meaning, matplotlib marker, SVG path of the swatch, size, colour
    ("scale out", "^", "M14 2 L18.5 10 L9.5 10 Z", 4.5, GREEN),
    ("scale in", "v", "M14 10 L18.5 2 L9.5 2 Z", 4.5, "#a8457f"),
    ("emergency", "D", "M14 0.5 L19.5 6 L14 11.5 L8.5 6 Z", 6.5, VERMILLION),
    ("rollback", "X", CROSS, 7.0, INK),
)


_SEVERITIES = (("info", GREY, 0.985), ("warning", ORANGE, 0.945), ("critical", VERMILLION, 0.905))
"""Severities of findings with their colours and heights above the arrivals."""


def service_plot(
    record: Record, name: str, part: pd.DataFrame, marked: Sequence[MarkedFault]
) -> Plot:
    """Demand, capacity and response time of one service, one above the other."""
    slo_s = record.summary.services[name].slo_p95_s
    figure, (demand, capacity, response) = figure_of((136, 142, 110), record.span_s)
    columns = {c: part[c].to_numpy() for c in part.columns if c != "service"}
    t = columns["time_s"]
    keys = _draw_demand(demand, t, columns)
    keys += _draw_capacity(capacity, t, columns)
    actions = record.actions
    keys += _draw_actions(capacity, actions[actions["service"] == name], record.span_s)
    findings = record.findings
    keys += _draw_findings(demand, findings[findings["service"] == name], record.span_s)
    keys += _draw_response(response, t, columns["p95_s"], slo_s)
    mark_faults((demand, capacity, response), marked, record.span_s)
    needed = ", ready and needed" if np.isfinite(columns["needed"]).any() else " and ready"
    label = (
        f"{name} over time: arrivals and their forecast, instances desired{needed}, "
        f"and the 95th percentile of the response time against its SLO of {wording.seconds(slo_s)}"
    )
    return Plot(svg(figure, f"service {name}", label), label, (*keys, *fault_keys(marked)))


def _draw_demand(axes: Axes, t: FloatArray, columns: dict[str, FloatArray]) -> list[Key]:
    keys = []
    axes.set_title("Arrivals, requests/s", loc="left")
    low, middle, high = (columns[f"forecast_q{q}"] for q in (10, 50, 90))
    if np.isfinite(middle).any():
        at, (low, middle, high) = interval_means(t, low, middle, high)
        axes.fill_between(at, low, high, color=ORANGE, alpha=0.35, linewidth=0)
        axes.plot(*envelope(t, columns["arrival_rate"]), color=BLUE, linewidth=1.0)
        axes.plot(at, middle, color="#7a4f00", linewidth=1.2, linestyle=DASHED)
        keys += [
            Key("forecast 15 min before, 10 – 90 %", band_key(ORANGE, 0.35)),
            Key("its median", line_key("#7a4f00", "5 2.5", 1.6)),
        ]
    else:
        axes.plot(*envelope(t, columns["arrival_rate"]), color=BLUE, linewidth=1.0)
    axes.set_ylim(0, axis_top(columns["arrival_rate"], high))
    return [Key("arrivals", line_key(BLUE, "", 1.8)), *keys]


def _draw_capacity(axes: Axes, t: FloatArray, columns: dict[str, FloatArray]) -> list[Key]:
    axes.set_title("Instances", loc="left")
    lines, keys = [], []
    if np.isfinite(columns["needed"]).any():  # nobody knows it of a live run
        at, needed = envelope(t, columns["needed"])
        axes.fill_between(at, needed, 0, color="#d3d6da", linewidth=0, step="post")
        lines += axes.plot(at, needed, color=MUTED, linewidth=0.7)
        keys.append(Key("needed (in hindsight)", band_key("#d3d6da", 1.0, edge=MUTED)))
    lines += axes.plot(*envelope(t, columns["ready"]), color=BLUE, linewidth=1.5)
    lines += axes.plot(*envelope(t, columns["desired"]), color=VERMILLION, lw=1.1, ls=DASHED)
    for line in lines:
        line.set_drawstyle("steps-post")
    most = axis_top(columns["needed"], columns["desired"], columns["ready"])
    axes.set_ylim(0, most * STRIP)
    ticks = MaxNLocator(4, integer=True).tick_values(0, most)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if 0.0 <= tick <= most]))
    return [
        *keys,
        Key("ready", line_key(BLUE, "", 2.2)),
        Key("desired", line_key(VERMILLION, "5 2.5", 1.6)),
    ]


def _draw_actions(axes: Axes, actions: pd.DataFrame, span_s: tuple[float, float]) -> list[Key]:
    """Mark each action above the lines, ups over downs; hollow when it was not carried out.

    Marks of one kind that would lie on one another (same 300th of the axis) are drawn once.
    """
    if actions.empty:
        return []
    at_s = actions["time_s"].to_numpy()
    out = (actions["to_instances"] >= actions["from_instances"]).to_numpy()
    height = np.where(out, 0.965, 0.885)
    urgent = is_emergency(actions)
    back = (actions["reason"] == "rollback").to_numpy() & ~urgent
    hollow = actions["outcome"].isin(NOT_DONE).to_numpy()
    kind = np.select([urgent, back, out], [2, 3, 0], default=1)
    bins = np.floor((at_s - span_s[0]) / max(span_s[1] - span_s[0], 1.0) * 300.0)
    keys = []
    for k, (meaning, marker, path, size, colour) in enumerate(_MARKS):
        for empty in (False, True):
            chosen = np.flatnonzero((kind == k) & (hollow == empty))
            if chosen.size == 0:
                continue
            _, first = np.unique(bins[chosen], return_index=True)
            chosen = chosen[first]
            axes.plot(
                at_s[chosen], height[chosen], linestyle="none", marker=marker, markersize=size,
                transform=axes.get_xaxis_transform(), clip_on=False,
                markerfacecolor="white" if empty else colour,
                markeredgecolor=colour if empty else "white", markeredgewidth=0.5, zorder=4 + k,
            )  # fmt: skip
            fill = f'fill="white" stroke="{colour}"' if empty else f'fill="{colour}"'
            suffix = ", not carried out" if empty else ""
            keys.append(Key(meaning + suffix, swatch(f'<path d="{path}" {fill}/>')))
    return keys


def _draw_findings(axes: Axes, findings: pd.DataFrame, span_s: tuple[float, float]) -> list[Key]:
    """A bar for each finding from the first sample that shows it to its end, a row a severity."""
    keys = []
    least_s = (span_s[1] - span_s[0]) / 300.0  # a short one is still a dot
    for severity, colour, height in _SEVERITIES:
        own = findings[findings["severity"] == severity]
        if own.empty:
            continue
        begin_s = np.maximum(own["since_s"].to_numpy(), span_s[0])
        end_s = np.where(np.isnan(own["ended_s"]), span_s[1], own["ended_s"])
        axes.hlines(
            np.full(len(own), height), begin_s, np.maximum(end_s, begin_s + least_s),
            colors=colour, linewidth=3.0, transform=axes.get_xaxis_transform(), zorder=5,
        )  # fmt: skip
        keys.append(Key(f"finding, {severity}", line_key(colour, "", 3.0)))
    return keys


def _draw_response(axes: Axes, t: FloatArray, p95_s: FloatArray, slo_s: float) -> list[Key]:
    axes.set_title("p95 response time", loc="left")
    axes.set_yscale("log")
    measured = np.where(p95_s > 0.0, p95_s, np.nan)
    at, highest = interval_maxima(t, measured)
    finite = highest[np.isfinite(highest)]
    low, high = (finite.min(), finite.max()) if finite.size else (slo_s, slo_s)
    low, high = min(low, slo_s) / 1.4, max(high, slo_s) * 1.6
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.seconds(value)))
    keys = [Key("p95, highest", line_key(BLUE, "", 1.8)), Key("SLO", line_key(INK, "7 3", 1.6))]
    if (finite > slo_s).any():
        over = np.where(highest > slo_s, highest, slo_s)
        axes.fill_between(at, slo_s, over, color=VERMILLION, alpha=0.45, linewidth=0)
        keys.append(Key("above the SLO", band_key(VERMILLION, 0.45)))
    axes.plot(at, highest, color=BLUE, linewidth=1.0)
    axes.axhline(slo_s, color=INK, linewidth=1.0, linestyle=(0, (7, 3)))
    axes.annotate(
        f"SLO {wording.seconds(slo_s)}", (1, slo_s), xycoords=("axes fraction", "data"),
        xytext=(-3, 3), textcoords="offset points", ha="right", va="bottom", color=INK, fontsize=9,
    )  # fmt: skip
    return keys
