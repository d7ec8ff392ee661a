"""The plots of a report, as SVG text that stands inside the HTML.

All of them share one time axis with the same margins, so that what stands above one another on the
page happened at the same time.  A day of 5 s samples is 17,280 points a line; a screen shows some
700.  Lines are thinned to the lowest and the highest sample of each interval, in the order in which
they came, so no spike is lost; response times show the highest, costs the mean (so that areas stay
right), and step lines with few steps are exact.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart; line styles,
markers and labels say the same again without colour.  Figures are drawn through `Figure` alone:
pyplot keeps global state and takes long to import.  The SVG is the same for the same record: no
date, no random ids, and coordinates in tenths of a unit.

It is long because each plot is a function of its own, over axes that all share.
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from engine.record.schema.events import Event
from engine.record.schema.summary import Percentiles
from reports import wording
from reports.run.ranking import NOT_DONE, is_emergency
from reports.run.reading import Record

FloatArray = NDArray[np.float64]

INK, MUTED, GRID = "#1c2024", "#5c636b", "#e3e5e8"
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#9aa0a6"
STACK = ("#7fc8f0", "#f0bd57", "#5cbf9f", "#f5ec82", "#5c9fce", "#dfa6c4", "#e58c4d", "#c3c7cc")
"""The colours of areas: those of Okabe and Ito in the same order, a little lighter."""

WIDTH, LEFT, RIGHT = 760, 58, 10
POINTS = 600
INTERVALS = POINTS // 2
STRIP = 1.25  # room above the lines of a capacity panel, for the marks of actions
DASHED, DOTTED = (0, (5, 2.5)), (0, (1.5, 2))
NAMED_FAULTS = 3
EMERGENCY_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend: what it means, and a small SVG of how it looks."""

    meaning: str
    swatch: str


@dataclass(frozen=True, slots=True)
class Plot:
    """An SVG element, a sentence that says what it shows, and its legend."""

    svg: str
    label: str
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Plots:
    """All plots of a report; None where the record has nothing to draw."""

    weddings: Plot | None
    services: dict[str, Plot]
    replications: Plot | None
    latency: Plot | None
    cost: Plot | None


@dataclass(frozen=True, slots=True)
class MarkedFault:
    """A fault from its start to its end (epoch seconds), with the letter that marks it."""

    letter: str
    name: str
    what: str
    detail: str
    start_s: float
    end_s: float
    ended: bool


def draw(record: Record) -> Plots:
    """Draw everything that the record has data for."""
    marked = faults(record)
    with look():
        services = {
            name: _service(record, name, part, marked)
            for name, part in record.by_service()
            if len(part) > 1
        }
        return Plots(
            weddings=_weddings(record, marked) if _has_events(record) else None,
            services=services,
            replications=_replications(record),
            latency=_latency(record),
            cost=_cost(record, marked) if services else None,
        )


def faults(record: Record) -> tuple[MarkedFault, ...]:
    """The faults of the run in the order of their start; one that never ended lasts to the end."""
    _, last_s = record.span_s
    spans: list[tuple[Event, float, bool, str]] = []
    open_: dict[tuple[str, str], list[int]] = {}
    for event in sorted(record.events, key=lambda event: event.time_s):
        key = (event.name, event.service)
        if event.kind == "fault_started":
            open_.setdefault(key, []).append(len(spans))
            spans.append((event, max(last_s, event.time_s), False, ""))
        elif event.kind == "fault_ended" and open_.get(key):
            index = open_[key].pop(0)
            spans[index] = (spans[index][0], event.time_s, True, event.detail)
        elif event.kind == "fault_fired":
            spans.append((event, event.time_s, True, ""))
    return tuple(
        MarkedFault(
            letter=_letter(i),
            name=event.name or event.kind,
            what=event.what,
            detail="; ".join(text for text in (event.service, event.detail, effect) if text),
            start_s=event.time_s,
            end_s=end_s,
            ended=ended,
        )
        for i, (event, end_s, ended, effect) in enumerate(spans)
    )


def _letter(index: int) -> str:
    """A to Z, then AA, AB and so on."""
    last = chr(ord("A") + index % 26)
    return last if index < 26 else _letter(index // 26 - 1) + last


def _service(record: Record, name: str, part: pd.DataFrame, marked: Sequence[MarkedFault]) -> Plot:
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
    _mark_faults((demand, capacity, response), marked, record.span_s)
    needed = ", ready and needed" if np.isfinite(columns["needed"]).any() else " and ready"
    label = (
        f"{name} over time: arrivals and their forecast, instances desired{needed}, "
        f"and the 95th percentile of the response time against its SLO of {wording.seconds(slo_s)}"
    )
    return Plot(svg(figure, f"service {name}", label), label, (*keys, *_fault_keys(marked)))


def _draw_demand(axes: Axes, t: FloatArray, columns: dict[str, FloatArray]) -> list[Key]:
    keys = []
    axes.set_title("Arrivals, requests/s", loc="left")
    low, middle, high = (columns[f"forecast_q{q}"] for q in (10, 50, 90))
    if np.isfinite(middle).any():
        at, (low, middle, high) = _means(t, low, middle, high)
        axes.fill_between(at, low, high, color=ORANGE, alpha=0.35, linewidth=0)
        axes.plot(*_envelope(t, columns["arrival_rate"]), color=BLUE, linewidth=1.0)
        axes.plot(at, middle, color="#7a4f00", linewidth=1.2, linestyle=DASHED)
        keys += [
            Key("forecast 15 min before, 10 – 90 %", _band(ORANGE, 0.35)),
            Key("its median", line_key("#7a4f00", "5 2.5", 1.6)),
        ]
    else:
        axes.plot(*_envelope(t, columns["arrival_rate"]), color=BLUE, linewidth=1.0)
    axes.set_ylim(0, _top(columns["arrival_rate"], high))
    return [Key("arrivals", line_key(BLUE, "", 1.8)), *keys]


def _draw_capacity(axes: Axes, t: FloatArray, columns: dict[str, FloatArray]) -> list[Key]:
    axes.set_title("Instances", loc="left")
    lines, keys = [], []
    if np.isfinite(columns["needed"]).any():  # nobody knows it of a live run
        at, needed = _envelope(t, columns["needed"])
        axes.fill_between(at, needed, 0, color="#d3d6da", linewidth=0, step="post")
        lines += axes.plot(at, needed, color=MUTED, linewidth=0.7)
        keys.append(Key("needed (in hindsight)", _band("#d3d6da", 1.0, edge=MUTED)))
    lines += axes.plot(*_envelope(t, columns["ready"]), color=BLUE, linewidth=1.5)
    lines += axes.plot(*_envelope(t, columns["desired"]), color=VERMILLION, lw=1.1, ls=DASHED)
    for line in lines:
        line.set_drawstyle("steps-post")
    most = _top(columns["needed"], columns["desired"], columns["ready"])
    axes.set_ylim(0, most * STRIP)
    ticks = MaxNLocator(4, integer=True).tick_values(0, most)
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if 0.0 <= tick <= most]))
    return [
        *keys,
        Key("ready", line_key(BLUE, "", 2.2)),
        Key("desired", line_key(VERMILLION, "5 2.5", 1.6)),
    ]


_MARKS = (
    # meaning, matplotlib marker, SVG path of the swatch, size, colour
    ("scale out", "^", "M14 2 L18.5 10 L9.5 10 Z", 4.5, GREEN),
    ("scale in", "v", "M14 10 L18.5 2 L9.5 2 Z", 4.5, "#a8457f"),
    ("emergency", "D", "M14 0.5 L19.5 6 L14 11.5 L8.5 6 Z", 6.5, VERMILLION),
    ("rollback", "X", "M9 3 L12 6 L9 9 L11 11 L14 8 L17 11 L19 9 L16 6 L19 3 L17 1 L14 4 L11 1 Z",
     7.0, INK),
)  # fmt: skip


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
            keys.append(Key(meaning + suffix, _swatch(f'<path d="{path}" {fill}/>')))
    return keys


_SEVERITIES = (("info", GREY, 0.985), ("warning", ORANGE, 0.945), ("critical", VERMILLION, 0.905))
"""Severities of findings with their colours and heights above the arrivals."""


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
    at, highest = _highest(t, measured)
    finite = highest[np.isfinite(highest)]
    low, high = (finite.min(), finite.max()) if finite.size else (slo_s, slo_s)
    low, high = min(low, slo_s) / 1.4, max(high, slo_s) * 1.6
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(_log_ticks(low, high)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.seconds(value)))
    keys = [Key("p95, highest", line_key(BLUE, "", 1.8)), Key("SLO", line_key(INK, "7 3", 1.6))]
    if (finite > slo_s).any():
        over = np.where(highest > slo_s, highest, slo_s)
        axes.fill_between(at, slo_s, over, color=VERMILLION, alpha=0.45, linewidth=0)
        keys.append(Key("above the SLO", _band(VERMILLION, 0.45)))
    axes.plot(at, highest, color=BLUE, linewidth=1.0)
    axes.axhline(slo_s, color=INK, linewidth=1.0, linestyle=(0, (7, 3)))
    axes.annotate(
        f"SLO {wording.seconds(slo_s)}", (1, slo_s), xycoords=("axes fraction", "data"),
        xytext=(-3, 3), textcoords="offset points", ha="right", va="bottom", color=INK, fontsize=9,
    )  # fmt: skip
    return keys


def _weddings(record: Record, marked: Sequence[MarkedFault]) -> Plot:
    """Weddings in progress, stacked by phase, the earliest phase at the bottom."""
    table = record.weddings.sort_values("time_s", kind="stable")
    t = table["time_s"].to_numpy()
    phases = [
        c for c in table.columns
        if c not in ("time_s", "in_progress") and pd.api.types.is_numeric_dtype(table[c])
    ]  # fmt: skip
    figure, (axes,) = figure_of((220,), record.span_s)
    at, layers = _means(t, *(table[c].to_numpy(float) for c in phases))
    total = table["in_progress"].to_numpy()
    keys = _stack(axes, at, dict(zip(map(wording.words, phases), layers, strict=True)))
    axes.plot(*_envelope(t, total), color=INK, linewidth=1.2)
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
    _mark_faults((axes,), marked, record.span_s, named=False)
    many = record.summary.noun.many
    label = f"{many} in progress by phase; the most at once were {peak:,.0f}"
    keys = [Key("all", line_key(INK, "", 1.8)), *keys]
    return Plot(svg(figure, "weddings", label), label, (*keys, *_fault_keys(marked)))


def _has_events(record: Record) -> bool:
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


def _cost(record: Record, marked: Sequence[MarkedFault]) -> Plot:
    """USD per hour, stacked by service, the dearest at the bottom; beyond seven "others"."""
    parts = {name: part for name, part in record.by_service() if len(part)}
    start_s, end_s = record.span_s
    edges = np.linspace(start_s, end_s, INTERVALS + 1)
    series = {
        name: _binned(part["time_s"].to_numpy(), part["cost_per_hour"].to_numpy(), edges)
        for name, part in parts.items()
    }
    ranked = sorted(series, key=lambda name: (-float(np.nansum(series[name])), name))
    layers = {name: series[name] for name in ranked[:7]}
    if len(ranked) > 7:
        layers[f"{len(ranked) - 7} others"] = np.sum([series[name] for name in ranked[7:]], axis=0)
    at = (edges[:-1] + edges[1:]) / 2.0
    figure, (axes,) = figure_of((180,), record.span_s)
    keys = _stack(axes, at, layers)
    total = np.sum(list(series.values()), axis=0)
    axes.plot(at, total, color=INK, linewidth=1.2)
    axes.set_ylim(0, _top(total))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${wording.compact(value)}"))
    axes.set_title("Cost, USD per hour", loc="left")
    _mark_faults((axes,), marked, record.span_s, named=False)
    label = f"cost per hour by service; the most is {wording.usd(_most(total))} an hour"
    keys = [Key("total", line_key(INK, "", 1.8)), *keys]
    return Plot(svg(figure, "cost", label), label, (*keys, *_fault_keys(marked)))


def _replications(record: Record) -> Plot | None:
    """Each replication as a dot, this run's in colour, with the interval of the mean below."""
    replications = record.summary.replications
    if replications is None:
        return None
    panels = [
        ("SLO violation ratio", "slo.violation_ratio", replications.slo["violation_ratio"],
         lambda value, _: wording.percent(value)),
        ("Cost, USD", "cost.total_usd", replications.cost["total_usd"],
         lambda value, _: wording.usd(value)),
    ]  # fmt: skip
    figure = Figure(figsize=(WIDTH / 72.0, 190.0 / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    for i, (title, column, interval, shown) in enumerate(panels):
        bottom = (122.0 - 92.0 * i) / 190.0
        axes = figure.add_axes((LEFT / WIDTH, bottom, 1.0 - (LEFT + RIGHT) / WIDTH, 0.2))
        values = record.replications[column].dropna().to_numpy()
        heights = 0.55 + 0.3 * np.sin(2.4 * np.arange(len(values)))  # side by side, not on top
        axes.scatter(values, heights, s=16, color=GREY, linewidths=0)
        axes.scatter(values[:1], heights[:1], s=34, color=VERMILLION, linewidths=0, zorder=3)
        if interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [0.05, 0.05], color=INK, linewidth=2.2)
        axes.scatter([interval.mean], [0.05], s=26, color=INK, marker="|", zorder=3)
        low, high = float(values.min()), float(values.max())
        room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        axes.set_xlim(min(low, interval.low or low) - room, max(high, interval.high or high) + room)
        axes.set_ylim(-0.15, 1.0)
        axes.yaxis.set_visible(False)
        axes.spines[["left"]].set_visible(False)
        axes.grid(visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(shown))
        axes.set_title(title, loc="left")
    label = f"SLO violation ratio and cost of {replications.count} replications"
    keys = (
        Key("this run", dot_key(VERMILLION)), Key("another seed", dot_key(GREY)),
        Key("mean with its 95 % interval", line_key(INK, "", 2.2)),
    )  # fmt: skip
    return Plot(svg(figure, "replications", label), label, keys)


def _latency(record: Record) -> Plot | None:
    """Percentiles of each latency on one log axis; below, the share of actions done in time."""
    decision = record.summary.decision
    rows: list[tuple[str, Percentiles]] = [
        ("compute a plan", decision.compute_s),
        ("trigger → accepted", decision.trigger_to_execution_s),
        ("the same, emergencies", decision.emergency_s),
    ]
    rows = [(name, row) for name, row in rows if any(_points(row))]
    actions = record.actions
    waited = (actions["accepted_s"] - actions["trigger_s"]).to_numpy()
    urgent = is_emergency(actions)
    accepted = np.isfinite(waited) & (waited >= 0.0)
    if not rows and not accepted.any():
        return None
    values = [v for _, row in rows for v in _points(row) if v > 0.0] + list(waited[accepted])
    least = min((v for v in values if v > 0.0), default=1e-3)
    low, high = least / 2.0, max([*values, EMERGENCY_LIMIT_S]) * 2.0
    heights = [34.0 * len(rows) + 10] * bool(rows) + [130.0] * bool(accepted.any())
    figure, axes = figure_of(heights, (low, high), time_axis=False)
    keys = []
    names, colours = ("p50", "p95", "p99", "max"), (BLUE, ORANGE, GREEN, VERMILLION)
    marks = tuple(zip(names, "osDX", colours, strict=True))
    for i, (_, row) in enumerate(rows):
        points = _points(row)
        axes[0].plot([max(min(points), low), max(points)], [i, i], color=GREY, linewidth=1.5)
        for (_, marker, colour), value in zip(marks, points, strict=True):
            axes[0].plot(
                [max(value, low)], [i], marker=marker, color=colour, markersize=7,
                markeredgecolor="white", markeredgewidth=0.7,
            )  # fmt: skip
        axes[0].annotate(
            rows[i][0], (0, i), xycoords=("axes fraction", "data"), xytext=(4, 7),
            textcoords="offset points", fontsize=10, color=INK,
        )  # fmt: skip
    if rows:
        axes[0].set_title("Percentiles", loc="left")
        axes[0].set_ylim(len(rows) - 0.6, -0.75)
        axes[0].yaxis.set_major_locator(NullLocator())
        shapes = {
            "o": '<circle cx="14" cy="6" r="4.5" fill="{}"/>',
            "s": '<rect x="9.5" y="1.5" width="9" height="9" fill="{}"/>',
            "D": '<path d="M14 0.5 L19.5 6 L14 11.5 L8.5 6 Z" fill="{}"/>',
            "X": f'<path d="{_MARKS[3][2]}" fill="{{}}"/>',
        }
        keys += [Key(text, _swatch(shapes[m].format(c))) for text, m, c in marks]
    for ax in axes:
        ax.axvline(EMERGENCY_LIMIT_S, color=INK, linewidth=1.0, linestyle=DOTTED)
    keys.append(Key("30 s, the limit for emergencies", line_key(INK, "1.5 2", 1.6)))
    if accepted.any():
        axes[-1].set_title("Actions accepted within …, share", loc="left")
        axes[-1].set_ylim(0, 1.04)
        axes[-1].yaxis.set_major_locator(FixedLocator([0.0, 0.5, 1.0]))
        axes[-1].yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0%}"))
        styles = ((accepted & ~urgent, "others", BLUE, "-", ""),
                  (accepted & urgent, "emergencies", VERMILLION, DASHED, "5 2.5"))  # fmt: skip
        for chosen, name, colour, line, dash in styles:
            if not chosen.any():
                continue
            x = np.sort(np.maximum(waited[chosen], low))
            share = np.arange(1, len(x) + 1) / len(x)
            kept = np.unique(np.linspace(0, len(x) - 1, 300).astype(int))
            axes[-1].plot(
                np.concatenate(([x[0]], x[kept], [high])),
                np.concatenate(([0.0], share[kept], [1.0])),
                color=colour, linestyle=line, linewidth=1.7, drawstyle="steps-post",
            )  # fmt: skip
            keys.append(Key(f"actions: {name} ({chosen.sum():,})", line_key(colour, dash, 2.0)))
    label = "decision latency: percentiles of the compute time and of trigger to accepted action"
    return Plot(svg(figure, "latency", label), label, tuple(keys))


def _points(row: Percentiles) -> list[float]:
    values = (row.p50, row.p95, row.p99, row.max)
    points = [v for v in values if v is not None and math.isfinite(v)]
    return points if len(points) == len(values) else []


def _stack(axes: Axes, at: FloatArray, layers: dict[str, FloatArray]) -> list[Key]:
    """Areas on top of one another with white lines between; wide ones say their name.

    A name is left out where it would not fit into its area (all are in the legend).
    """
    if not layers:
        return []
    tops = np.cumsum([np.nan_to_num(layer) for layer in layers.values()], axis=0)
    high = max(float(tops[-1].max(initial=0.0)), 1e-12)
    bottom = np.zeros(len(at))
    keys = []
    for i, (name, top) in enumerate(zip(layers, tops, strict=True)):
        colour = STACK[i % len(STACK)]
        axes.fill_between(at, bottom, top, color=colour, linewidth=0)
        axes.plot(at, top, color="white", linewidth=0.8)
        middle, y, room = _roomiest(bottom, top, 0.0105 * len(name))
        if room > 0.06 * high:
            axes.annotate(
                name, (at[middle], y), ha="center", va="center", fontsize=10.5, color=INK
            )  # fmt: skip
        keys.append(Key(name, _band(colour, 1.0)))
        bottom = top
    return keys


def _roomiest(bottom: FloatArray, top: FloatArray, width: float) -> tuple[int, float, float]:
    """Where an area has most room for a text of `width` (share of the axis): index, y, height."""
    window = max(math.ceil(width * len(top)), 1)
    if window > len(top):
        return 0, 0.0, 0.0
    ceiling = np.lib.stride_tricks.sliding_window_view(top, window).min(axis=1)
    floor = np.lib.stride_tricks.sliding_window_view(bottom, window).max(axis=1)
    best = int(np.argmax(ceiling - floor))
    height = float(ceiling[best] - floor[best])
    return best + window // 2, float(ceiling[best] + floor[best]) / 2.0, height


def _mark_faults(
    panels: Sequence[Axes],
    marked: Sequence[MarkedFault],
    span_s: tuple[float, float],
    named: bool = True,
) -> None:
    """Shade each fault in all panels and label it by its letter; a few are named in the first."""
    middle_s = sum(span_s) / 2.0
    for i, fault in enumerate(marked):
        start_s, end_s = max(fault.start_s, span_s[0]), min(fault.end_s, span_s[1])
        if end_s < start_s:
            continue
        named_here = named and len(marked) <= NAMED_FAULTS
        for k, axes in enumerate(panels):
            axes.axvspan(start_s, end_s, color=YELLOW, alpha=0.28, linewidth=0, zorder=0)
            axes.axvline(start_s, color=MUTED, linewidth=0.8, linestyle=DOTTED, zorder=1)
            if end_s > start_s:
                axes.axvline(end_s, color=MUTED, linewidth=0.8, linestyle=DOTTED, zorder=1)
            text = f"{fault.letter} {wording.words(fault.name)}" if named_here else fault.letter
            late = start_s > middle_s
            axes.annotate(
                text if k == 0 else fault.letter, (start_s, 1), xycoords=("data", "axes fraction"),
                xytext=(-3 if late else 3, (-26 if k == 1 else -4) - 15 * (i % 4)),
                textcoords="offset points",
                ha="right" if late else "left", va="top", fontsize=9, fontweight="bold", color=INK,
            )  # fmt: skip


def _fault_keys(marked: Sequence[MarkedFault]) -> list[Key]:
    keys = []
    for fault in marked[:8]:
        when = wording.clock(fault.start_s)[:5]
        if not fault.ended:
            when += " – the end"
        elif fault.end_s > fault.start_s:
            when += f" – {wording.clock(fault.end_s)[:5]}"
        keys.append(Key(f"fault {fault.letter}: {wording.words(fault.name)}, {when}", _FAULT))
    if len(marked) > 8:
        keys.append(Key(f"{len(marked) - 8} more faults: see the list of faults", _FAULT))
    return keys


def figure_of(
    heights: Sequence[float], span: tuple[float, float], time_axis: bool = True
) -> tuple[Figure, tuple[Axes, ...]]:
    """Panels of `heights` units above one another that share the horizontal axis `span`."""
    gap, bottom, head = 30.0, 42.0 if time_axis else 26.0, 24.0
    height = head + sum(heights) + gap * (len(heights) - 1) + bottom
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    top, panels = height - head, []
    ticks = _time_ticks(*span) if time_axis else _log_ticks(*span)
    for i, tall in enumerate(heights):
        box = (LEFT / WIDTH, (top - tall) / height, (WIDTH - LEFT - RIGHT) / WIDTH, tall / height)
        axes = figure.add_axes(box)
        top -= tall + gap
        if not time_axis:
            axes.set_xscale("log")
        axes.set_xlim(span[0], span[1] if span[1] > span[0] else span[0] + 1.0)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.compact(value)))
        label = _time_label if time_axis else lambda value, _: wording.seconds(value)
        axes.xaxis.set_major_formatter(FuncFormatter(label))
        if i < len(heights) - 1:
            axes.tick_params(axis="x", labelbottom=False)
        panels.append(axes)
    if time_axis:
        panels[-1].annotate(
            f"{wording.date(span[0])}, UTC", (0, 0), xycoords="axes fraction",
            xytext=(0, -38), textcoords="offset points", ha="left", va="baseline",
            fontsize=9.5, color=MUTED,
        )  # fmt: skip
    return figure, tuple(panels)


_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200,
)  # fmt: skip


def _time_ticks(start_s: float, end_s: float) -> list[float]:
    """At most seven round times; beyond some days, whole days."""
    length_s = end_s - start_s
    step_s = next((s for s in _STEPS_S if length_s / s <= 7), 0)
    if step_s == 0:
        step_s = 86400 * math.ceil(length_s / 86400 / 7)
    first = math.ceil(start_s / step_s) * step_s
    return [float(first + i * step_s) for i in range(8) if first + i * step_s <= end_s]


def _time_label(time_s: float, _: Any = None) -> str:
    when = dt.datetime.fromtimestamp(round(time_s), dt.UTC)
    if when.hour == when.minute == when.second == 0:
        return f"{when.day} {when:%b}"
    return f"{when:%H:%M:%S}" if when.second else f"{when:%H:%M}"


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between the limits; with 2 and 5 of each when there are few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1,), (1, 3), (1, 2, 5)):
        ticks = [m * 10.0**e for e in exponents for m in mantissas if low <= m * 10.0**e <= high]
        if len(ticks) >= 3:
            break
    every = math.ceil(len(ticks) / 8) if ticks else 1
    return ticks[::every]


def _envelope(t: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The line through the lowest and highest sample of each interval, in their own order.

    Where the values change at few points, exactly these points instead (for step lines).
    """
    if len(t) <= POINTS:
        return t, values
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    changes = np.flatnonzero(~same) + 1
    if len(changes) <= POINTS // 2:
        kept = np.unique(np.concatenate(([0], changes - 1, changes, [len(t) - 1])))
        return t[kept], values[kept]
    edges = np.linspace(0, len(t), INTERVALS + 1).astype(int)
    kept_list: list[int] = []
    for first, last in itertools.pairwise(edges):
        piece = values[first:last]
        finite = np.isfinite(piece)
        if not finite.any():
            kept_list.append(first)
            continue
        low = first + int(np.argmin(np.where(finite, piece, np.inf)))
        high = first + int(np.argmax(np.where(finite, piece, -np.inf)))
        kept_list += sorted({low, high})
    kept = np.array(kept_list)
    return t[kept], values[kept]


def _highest(t: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The highest sample of each interval, at the middle of the interval; NaN where none is."""
    if len(t) <= POINTS:
        return t, values
    starts = np.linspace(0, len(t), POINTS + 1).astype(int)[:-1]
    return np.add.reduceat(t, starts) / np.diff([*starts, len(t)]), np.fmax.reduceat(values, starts)


def _means(t: FloatArray, *values: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
    """The mean of each interval, over what is not NaN."""
    if len(t) <= INTERVALS:
        return t, list(values)
    starts = np.linspace(0, len(t), INTERVALS + 1).astype(int)[:-1]
    at = np.add.reduceat(t, starts) / np.diff([*starts, len(t)])
    means = []
    for series in values:
        finite = np.isfinite(series)
        number = np.add.reduceat(finite.astype(float), starts)
        total = np.add.reduceat(np.where(finite, series, 0.0), starts)
        means.append(np.divide(total, number, out=np.full(len(at), np.nan), where=number > 0))
    return at, means


def _binned(t: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """The mean in each bin of time; a bin without a sample has that of the one before."""
    where = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, len(edges) - 2)
    finite = np.isfinite(values)
    number = np.bincount(where[finite], minlength=len(edges) - 1)
    total = np.bincount(where[finite], values[finite], minlength=len(edges) - 1)
    last = np.maximum.accumulate(np.where(number > 0, np.arange(len(number)), 0))
    return np.divide(total, number, out=np.zeros(len(number)), where=number > 0)[last]


def _top(*series: FloatArray) -> float:
    return max([1.18 * _most(values) for values in series] + [1e-9])


def _most(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0


@contextmanager
def look() -> Iterator[None]:
    """The look of all plots, for as long as they are drawn."""
    look: dict[str, Any] = {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlepad": 8,
        # No axis is on top.  To find that out by itself takes Matplotlib a tenth of the drawing.
        "axes.titley": 1.0,
        "axes.titlecolor": INK,
        "axes.xmargin": 0,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.major.size": 4,
        "ytick.major.size": 0,
        "xtick.major.pad": 7,
        "lines.solid_joinstyle": "round",
        "path.simplify": True,
        "axes.unicode_minus": True,
    }
    with mpl.rc_context(cast(Any, look)), warnings.catch_warnings():
        # A name in a script that the layout font lacks is measured a little wrong, no more: the
        # text is set by the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


_PROLOGUE = re.compile(r"^.*?<svg[^>]*>", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_GROUP_ID = re.compile(r'<g id="[^"]*"')
_PATH = re.compile(r' d="([^"]*)"')
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_TEXT = re.compile(r'<text style="([^"]*)"([^>]*)>')
_UNTURNED = re.compile(r' transform="rotate\(-?0(?:\.0+)? [^)]*\)"')
_BLANK = re.compile(r"\s*\n\s*")


def svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an `<svg>` element: small, the same each time, its texts left to the page."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    width, height = figure.get_size_inches() * 72.0
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )
    body = _PROLOGUE.sub("", buffer.getvalue(), count=1)
    body = _COMMENT.sub("", _METADATA.sub("", body))
    body = _GROUP_ID.sub("<g", body).replace("xlink:href", "href")
    body = _PATH.sub(lambda m: f' d="{_NUMBER.sub(_rounded, m[1])}"', body)
    body = _TEXT.sub(_plain_text, body)
    return head + _BLANK.sub("\n", body).strip()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _plain_text(text: re.Match[str]) -> str:
    """A text with attributes in place of styles, so that the page's CSS can set its size."""
    style = dict(part.split(":", 1) for part in text[1].split(";") if ":" in part)
    style = {key.strip(): value.strip() for key, value in style.items()}
    font = style.get("font", "")
    size = re.search(r"([\d.]+)px", font or style.get("font-size", ""))
    attributes = f' font-size="{size[1]}"' if size else ""
    if re.search(r"\b(?:bold|[67]00)\b", font.split("px")[0] + style.get("font-weight", "")):
        attributes += ' font-weight="600"'
    for key in ("text-anchor", "fill"):
        if key in style:
            attributes += f' {key}="{style[key]}"'
    rest = _UNTURNED.sub("", text[2])
    return f'<text font-family="sans-serif"{attributes}{_NUMBER.sub(_rounded, rest)}>'


def _swatch(shape: str) -> str:
    return f'<svg class="key" viewBox="0 0 28 12" aria-hidden="true">{shape}</svg>'


def line_key(colour: str, dash: str, width: float) -> str:
    """A line for a legend."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    path = f'<path d="M1 6 H27" stroke="{colour}" stroke-width="{width}"{dashes} fill="none"/>'
    return _swatch(path)


def dot_key(colour: str) -> str:
    """A dot for a legend."""
    return _swatch(f'<circle cx="14" cy="6" r="4" fill="{colour}"/>')


def _band(colour: str, opacity: float, edge: str = "none") -> str:
    return _swatch(
        f'<rect x="2" y="1" width="24" height="10" fill="{colour}" fill-opacity="{opacity:g}" '
        f'stroke="{edge}"/>'
    )


_FAULT = _swatch(
    f'<rect x="3" y="0" width="22" height="12" fill="{YELLOW}" fill-opacity="0.35"/>'
    f'<path d="M3 0 V12 M25 0 V12" stroke="{MUTED}" stroke-dasharray="1.5 2" fill="none"/>'
)
