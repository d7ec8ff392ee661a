"""A claim's figures against their limits, beside what its negative control gave."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from reports.drawing.legend import Key, diamond_key, dot_key, line_key
from reports.drawing.style import GREEN, GREY, LABEL_GAP, MUTED, RIGHT, VERMILLION, WIDTH, look
from reports.drawing.svg import Plot, svg

ROW, LEFT = 38.0, 110.0
REACH = 2.5
"""Figures are drawn up to so many times the limit; what is further off ends at the edge."""


def draw(figures: list[dict[str, Any]], control: list[dict[str, Any]]) -> Plot | None:
    """Each figure's interval in units of its limit; None where nothing was measured."""
    rows = [figure for figure in figures if figure["value"] is not None and figure["limit"] > 0.0]
    if not rows:
        return None
    opposite = {figure["name"]: figure for figure in control if figure["value"] is not None}
    height = ROW * len(rows) + 56.0
    with look():
        figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(
            (LEFT / WIDTH, 48.0 / height, 1.0 - (LEFT + RIGHT) / WIDTH, 1.0 - 52.0 / height)
        )
        for at, row in enumerate(rows):
            below = row["operator"] == "<="
            axes.add_patch(
                Rectangle(
                    (0.0 if below else 1.0, at - 0.4), 1.0 if below else REACH - 1.0, 0.8,
                    color=GREEN, alpha=0.10, linewidth=0,
                )
            )  # fmt: skip
            axes.vlines(1.0, at - 0.4, at + 0.4, color=GREY, lw=1.2)
            colour = GREEN if row["kept"] else VERMILLION
            limit = row["limit"]
            low = 0.0 if row["low"] is None else _within(row["low"] / limit)
            high = REACH if row["high"] is None else _within(row["high"] / limit)
            axes.hlines(at, low, high, color=colour, lw=2.4)
            axes.scatter([_within(row["value"] / limit)], [at], s=34, color=colour, zorder=3)
            other = opposite.get(row["name"])
            if other is not None:
                axes.scatter(
                    [_within(other["value"] / limit)], [at], s=42, marker="D", zorder=4,
                    facecolors="white", edgecolors=MUTED, linewidths=1.4, clip_on=False,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.set_xlim(0.0, REACH)
        axes.set_xlabel("in units of the limit", color=MUTED, labelpad=LABEL_GAP)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        label = "Figures with their intervals, in units of the limit, and the negative control"
        drawn = svg(figure, "evidence-" + "-".join(row["name"] for row in rows), label)
    keys = (
        Key("limit kept, with the interval", dot_key(GREEN)),
        Key("not kept", dot_key(VERMILLION)),
        Key("negative control", diamond_key(MUTED)),
        Key("limit", line_key(GREY, "", 1.2)),
    )
    return Plot(drawn, label, keys)


def _within(value: float) -> float:
    return min(max(value, 0.0), REACH)
