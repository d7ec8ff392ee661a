"""The plot of decision latency: percentiles, and the share of actions done in time."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from engine.record.schema.summary import Percentiles
from reports.drawing.axes import figure_of
from reports.drawing.legend import CROSS, Key, line_key, swatch
from reports.drawing.style import BLUE, DASHED, DOTTED, GREEN, GREY, INK, ORANGE, VERMILLION
from reports.drawing.svg import Plot, svg
from reports.run.ranking import is_emergency
from reports.run.reading import Record

EMERGENCY_LIMIT_S = 30.0


def latency_plot(record: Record) -> Plot | None:
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
            "X": f'<path d="{CROSS}" fill="{{}}"/>',
        }
        keys += [Key(text, swatch(shapes[m].format(c))) for text, m, c in marks]
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
