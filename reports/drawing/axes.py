"""Panels above one another that share one horizontal axis, with the same margins in all plots.

What stands above one another on the page happened at the same time.  Figures are drawn through
`Figure` alone: pyplot keeps global state and takes long to import.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports import wording
from reports.drawing.style import LEFT, MUTED, RIGHT, WIDTH
from reports.drawing.thinning import FloatArray


def figure_of(
    heights: Sequence[float], span: tuple[float, float], time_axis: bool = True
) -> tuple[Figure, tuple[Axes, ...]]:
    """Panels of `heights` units above one another that share the horizontal axis `span`."""
    gap, bottom, head = 30.0, 42.0 if time_axis else 26.0, 24.0
    height = head + sum(heights) + gap * (len(heights) - 1) + bottom
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    top, panels = height - head, []
    ticks = _time_ticks(*span) if time_axis else log_ticks(*span)
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


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten between the limits; with 2 and 5 of each when there are few."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1,), (1, 3), (1, 2, 5)):
        ticks = [m * 10.0**e for e in exponents for m in mantissas if low <= m * 10.0**e <= high]
        if len(ticks) >= 3:
            break
    every = math.ceil(len(ticks) / 8) if ticks else 1
    return ticks[::every]


def axis_top(*series: FloatArray) -> float:
    """Where an axis ends that shows all of `series` with some room above."""
    return max([1.18 * largest(values) for values in series] + [1e-9])


def largest(values: FloatArray) -> float:
    """The largest finite value; 0 without any."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0
