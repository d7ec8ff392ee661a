"""The plots of a validation: every difference with its limits, and busy slots second by second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.drawing.legend import Key, dot_key, line_key
from reports.drawing.style import (
    BLUE,
    GREEN,
    GREY,
    LEFT,
    MUTED,
    ORANGE,
    RIGHT,
    VERMILLION,
    WIDTH,
    look,
)
from reports.drawing.svg import Plot, svg

COLOURS = {"equivalent": GREEN, "not shown": ORANGE, "different": VERMILLION}
ROW = 15.0
REACH = 2.5
"""Differences are drawn up to so many times the limit; what is further off ends at the edge."""


@dataclass(frozen=True, slots=True)
class ValidationPlots:
    """All plots; `events` by the name of the cell."""

    differences: dict[str, Plot]
    events: dict[str, Plot]
    closed: Plot | None


def draw(content: dict[str, Any]) -> ValidationPlots:
    """Draw what the validation holds."""
    with look():
        return ValidationPlots(
            {cell["name"]: differences(cell) for cell in content["cells"]},
            {cell["name"]: _busy(cell) for cell in content["cells"] if not cell["steady"]},
            _closed(content.get("closed_loop")),
        )


def differences(cell: dict[str, Any]) -> Plot:
    """Each figure's interval in units of its limit: inside the band it is equivalent."""
    rows = [
        (f"{service} {figure}", verdict)
        for service, figures in cell["verdicts"].items()
        for figure, verdict in figures.items()
    ]
    height = ROW * len(rows) + 58.0
    left = 150.0
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        (left / WIDTH, 40.0 / height, 1.0 - (left + RIGHT) / WIDTH, 1.0 - 52.0 / height)
    )
    axes.axvspan(-1.0, 1.0, color=GREEN, alpha=0.10, linewidth=0)
    axes.axvline(0.0, color=GREY, lw=0.8)
    for at, (_, verdict) in enumerate(rows):
        scale = verdict["limit"]
        colour = COLOURS[verdict["outcome"]]
        noise = min(verdict["noise"] / scale, REACH)
        axes.hlines(at, -noise, noise, color=GREY, lw=6, alpha=0.35)
        low, high = (float(np.clip(verdict[k] / scale, -REACH, REACH)) for k in ("low", "high"))
        axes.hlines(at, low, high, color=colour, lw=1.6)
        middle = float(np.clip(verdict["difference"] / scale, -REACH, REACH))
        axes.scatter([middle], [at], s=18, color=colour, zorder=3, linewidths=0)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-REACH, REACH)
    axes.set_xlabel("twin less live, in units of the limit", color=MUTED)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    label = f"{cell['name']}: differences between twin and live with their 90 % intervals"
    keys = (
        Key("equivalent", dot_key(GREEN)), Key("not shown", dot_key(ORANGE)),
        Key("different", dot_key(VERMILLION)),
        Key("what live runs differ by", line_key(GREY, "", 6)),
    )  # fmt: skip
    return Plot(svg(figure, f"differences-{_slug(cell)}", label), label, keys)


def _busy(cell: dict[str, Any]) -> Plot:
    """Busy share of the slots by second, mean over the repeats, one panel a service."""
    label = f"{cell['name']}: busy share of the slots, live and in the twin"
    return _side_by_side(cell["busy"], 1.0, f"busy-{_slug(cell)}", label, share=True)


def _closed(closed: dict[str, Any] | None) -> Plot | None:
    """Ready instances in the closed loop, mean over the runs, one panel a service."""
    if closed is None:
        return None
    label = "Closed loop: ready instances, live and in the twin"
    step_s = closed["seconds"] / len(next(iter(closed["ready"].values()))["live"])
    return _side_by_side(closed["ready"], step_s, "closed", label, share=False)


def _side_by_side(
    series: dict[str, dict[str, list[float | None]]],
    step_s: float,
    name: str,
    label: str,
    *,
    share: bool,
) -> Plot:
    panel, gap, foot = 62.0, 20.0, 36.0
    height = (panel + gap) * len(series) + foot
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    for number, (service, both) in enumerate(series.items()):
        bottom = foot + (panel + gap) * (len(series) - 1 - number)
        axes = figure.add_axes(
            (LEFT / WIDTH, bottom / height, 1.0 - (LEFT + RIGHT) / WIDTH, panel / height)
        )
        top = 1.0
        for world, colour, dash in (("live", BLUE, "-"), ("twin", VERMILLION, (0, (6, 2)))):
            values = np.array(
                [np.nan if value is None else value for value in both[world]], dtype=np.float64
            )
            axes.plot((np.arange(len(values)) + 0.5) * step_s, values, color=colour, lw=1.3,
                      ls=dash)  # fmt: skip
            top = max(top, float(np.nanmax(values)))
        axes.set_ylim(0.0, 1.05 * top)
        axes.set_xlim(0.0, len(values) * step_s)
        axes.set_title(service, loc="left")
        if share:
            axes.set_yticks([0.0, 0.5, 1.0])
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        else:
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        if number < len(series) - 1:
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel("s", color=MUTED)
    keys = (Key("live", line_key(BLUE, "", 1.6)), Key("twin", line_key(VERMILLION, "6 2", 1.6)))
    return Plot(svg(figure, name, label), label, keys)


def _slug(cell: dict[str, Any]) -> str:
    return "".join(c if c.isalnum() else "-" for c in cell["name"])
