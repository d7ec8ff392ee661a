"""The plot of replications: where this run lies among runs with other seeds."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import wording
from reports.drawing.legend import Key, dot_key, line_key
from reports.drawing.style import GREY, INK, LEFT, RIGHT, VERMILLION, WIDTH
from reports.drawing.svg import Plot, svg
from reports.run.reading import Record


def replications_plot(record: Record) -> Plot | None:
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
