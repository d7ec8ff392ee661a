"""The plots of a comparison: cost against SLO, capacity against need, where the SLO was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from reports import wording
from reports.drawing.axes import figure_of
from reports.drawing.legend import Key, dot_key, line_key
from reports.drawing.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LEFT,
    MUTED,
    ORANGE,
    PURPLE,
    RIGHT,
    SKY,
    VERMILLION,
    WIDTH,
    look,
)
from reports.drawing.svg import Plot, svg

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, "#6b4c9a", "#8c6d31")
DASHES = ("", "6 2", "2 2", "6 2 2 2", "8 3 2 3", "1 2", "4 4", "10 2")
LEAST_RATIO = 1e-6
OUTLIER = 4.0
"""What is more than so many times the median is named at the edge instead of shrinking the rest."""


@dataclass(frozen=True, slots=True)
class ComparisonPlots:
    """All plots."""

    front: Plot
    capacity: Plot
    losses: Plot | None


def draw(content: dict[str, Any], minutes: pd.DataFrame) -> ComparisonPlots:
    """Draw what the comparison holds."""
    styles = _styles(content)
    with look():
        return ComparisonPlots(
            _front(content, styles), _capacity(content, minutes, styles), _losses(content, minutes)
        )


def scatter(costs: pd.Series, bads: pd.Series) -> Plot:
    """Cost against violations of any number of runs."""
    with look():
        height = 300.0
        figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
        FigureCanvasSVG(figure)
        left = (LEFT + 14) / WIDTH
        axes = figure.add_axes((left, 46.0 / height, 1.0 - left - RIGHT / WIDTH, 0.82))
        axes.set_yscale("log")
        axes.scatter(costs, bads.clip(lower=LEAST_RATIO), s=22, color=BLUE, alpha=0.7, linewidths=0)
        axes.margins(x=0.06, y=0.15)
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.usd(value)))
        _in_percent(axes)
        axes.set_ylabel("requests that missed the SLO", color=MUTED)
        axes.set_xlabel("cost", color=MUTED)
        label = "Cost against SLO violations of each run; left and low is better"
        return Plot(svg(figure, "sweep", label), label, (Key("a run", dot_key(BLUE)),))


def _in_percent(axes: Axes) -> None:
    """Label a logarithmic axis of ratios: the decades, and what lies between if there is but one.

    Without a minor formatter of our own matplotlib writes formulas, which the SVG would show raw.
    """
    low, high = axes.get_ylim()
    few = high < 10.0 * low
    plain = FuncFormatter(lambda value, _: f"{100 * value:.3g} %")
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter(plain if few else NullFormatter())


def _is_front(name: str) -> bool:
    """Whether it is another target of hpa, drawn with it and not for itself."""
    return name.startswith("hpa@")


def _styles(content: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each contestant; a bound is black, `kpa@300s` coloured as `kpa`."""
    styles: dict[str, tuple[str, str]] = {}
    colours, dashes = cycle(COLOURS), cycle(DASHES)
    for name, about in content["controllers"].items():
        if about["foresight"]:
            styles[name] = (INK, "1.5 2")
        elif not _is_front(name):
            origin = styles.get(name.partition("@")[0])
            styles[name] = (origin[0] if origin else next(colours), next(dashes))
    for name in content["controllers"]:
        if _is_front(name):
            styles[name] = styles.get("hpa", (GREY, ""))
    return styles


def _front(content: dict[str, Any], styles: dict[str, tuple[str, str]]) -> Plot:
    """Cost against violations, with intervals, hpa's settings joined and the Pareto front."""
    height = 400.0
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(
        ((LEFT + 14) / WIDTH, 46.0 / height, 1.0 - (LEFT + 14 + RIGHT) / WIDTH, 0.86)
    )
    axes.set_yscale("log")
    points = {}
    for name, own in content["figures"].items():
        cost, bad = own["cost.total_usd"], own["slo.violation_ratio"]
        points[name] = (cost["mean"], max(bad["mean"], LEAST_RATIO))
        colour = styles[name][0]
        if cost["low"] is not None:
            axes.plot([cost["low"], cost["high"]], [points[name][1]] * 2, color=colour, lw=1.2)
            ends = [max(bad["low"], LEAST_RATIO), max(bad["high"], LEAST_RATIO)]
            axes.plot([points[name][0]] * 2, ends, color=colour, lw=1.2)
        small = _is_front(name)
        marker = "D" if content["controllers"][name]["foresight"] else "o"
        axes.scatter(*points[name], s=14 if small else 40, color=colour, marker=marker, zorder=3,
                     linewidths=0)  # fmt: skip
    curve = sorted(points[name] for name in points if name == "hpa" or _is_front(name))
    if len(curve) > 1:
        axes.plot(*zip(*curve, strict=True), color=styles["hpa"][0], lw=1.0, alpha=0.6)
    front = sorted(points[name] for name in content["pareto"])
    if front:
        steps = np.array(front)
        axes.step(steps[:, 0], steps[:, 1], where="post", color=GREY, lw=5, alpha=0.35, zorder=0)
    dearest = _within_reason([cost for cost, _ in points.values()])
    _label(axes, {name: point for name, point in points.items() if point[0] <= dearest}, styles)
    for name, (cost, bad) in points.items():
        if cost > dearest:
            axes.annotate(
                f"{name}: {wording.usd(cost)} →", (1.0, bad), xycoords=("axes fraction", "data"),
                xytext=(-4, 4), textcoords="offset points", ha="right", fontsize=10,
                color=styles[name][0],
            )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.usd(value)))
    _in_percent(axes)
    costs, bads = np.array(list(points.values())).T
    room = 0.12 * ((dearest - float(costs.min())) or float(costs[0]))
    axes.set_xlim(max(float(costs.min()) - room, 0.0), dearest + room)
    axes.set_ylim(float(bads.min()) / 3.0, min(float(bads.max()) * 8.0, 2.0))
    axes.set_ylabel("requests that missed the SLO", color=MUTED)
    axes.set_xlabel("cost", color=MUTED)
    label = "Cost against SLO violations of each controller; left and low is better"
    keys = [Key("Pareto front: nobody is both cheaper and better", line_key(GREY, "", 5)),
            Key("mean, with the 95 % interval of each axis", dot_key(BLUE))]  # fmt: skip
    if len(curve) > 1:
        keys.append(Key("hpa with other CPU targets", line_key(styles["hpa"][0], "", 1.0)))
    return Plot(svg(figure, "front", label), label, tuple(keys))


def _label(
    axes: Axes, points: dict[str, tuple[float, float]], styles: dict[str, tuple[str, str]]
) -> None:
    """Names beside the points; those at nearly the same height are set above one another."""
    taken: list[tuple[float, float]] = []
    costs = [cost for cost, _ in points.values()]
    span = (max(costs) - min(costs)) or 1.0
    for name, (cost, bad) in sorted(points.items(), key=lambda item: item[1]):
        text = name.removeprefix("hpa") if _is_front(name) else name
        lift = 7.0
        while any(
            abs(cost - other) < 0.14 * span and abs(np.log10(bad) * 40 + lift - height) < 11.0
            for other, height in taken
        ):
            lift += 11.0
        taken.append((cost, float(np.log10(bad) * 40 + lift)))
        axes.annotate(
            text, (cost, bad), xytext=(0, lift), textcoords="offset points", ha="center",
            fontsize=9 if _is_front(name) else 10, color=styles[name][0],
        )  # fmt: skip


def _capacity(
    content: dict[str, Any], minutes: pd.DataFrame, styles: dict[str, tuple[str, str]]
) -> Plot:
    """Ready instances of every contestant above the need, one panel a service."""
    services = list(dict.fromkeys(minutes["service"]))
    times = minutes["time_s"].to_numpy()
    span = (float(times.min()) - 60.0, float(times.max()))
    figure, panels = figure_of([96.0] * len(services), span)
    shown = [name for name in content["controllers"] if not _is_front(name)]
    for axes, service in zip(panels, services, strict=True):
        here = minutes[minutes["service"] == service]
        need = here[here["controller"] == shown[0]]
        axes.fill_between(need["time_s"], need["needed"], color=GREY, alpha=0.35, linewidth=0)
        tops = []
        for name in shown:
            own = here[here["controller"] == name]
            colour, dash = styles[name]
            pattern = (0, tuple(float(x) for x in dash.split())) if dash else "-"
            axes.plot(own["time_s"], own["ready"], color=colour, lw=1.3, ls=pattern)
            if name != "static":
                tops.append(float(own["ready"].max()))
        axes.set_ylim(0.0, 1.08 * max(_within_reason(tops), 1.0))
        axes.set_title(service, loc="left")
    keys = [Key("needed", line_key(GREY, "", 7))]
    keys += [Key(name, line_key(*styles[name], 1.6)) for name in shown]
    label = "Ready instances of each controller against the need, by service"
    return Plot(svg(figure, "capacity", label), label, tuple(keys))


def _within_reason(values: Sequence[float]) -> float:
    """The largest value that is no more than `OUTLIER` times the median."""
    given = np.array(values) if values else np.zeros(1)
    return float(given[given <= OUTLIER * np.median(given)].max())


def _losses(content: dict[str, Any], minutes: pd.DataFrame) -> Plot | None:
    """A strip for each contestant: the share of requests that missed the SLO, minute by minute."""
    facing = minutes[minutes["user_facing"]]
    sums = facing.groupby(["controller", "time_s"])[["bad", "done"]].sum()
    share = (sums["bad"] / sums["done"].clip(lower=1.0)).unstack("time_s")
    names = [name for name in content["controllers"] if content["losses"].get(name)]
    if not names:
        return None
    times = share.columns.to_numpy(dtype=np.float64)
    figure, panels = figure_of([18.0 * len(names)], (float(times[0]) - 60.0, float(times[-1])))
    axes = panels[0]
    for row, name in enumerate(names):
        values = share.loc[name].to_numpy()
        at = -float(row)
        axes.hlines(at, times[0], times[-1], color="#e3e5e8", lw=9)
        for low, high, colour in (
            (0.01, 0.05, ORANGE), (0.05, 0.25, VERMILLION), (0.25, 2.0, "#7a1f00"),
        ):  # fmt: skip
            hit = times[(values > low) & (values <= high)]
            axes.hlines(np.full(len(hit), at), hit - 60.0, hit, color=colour, lw=9)
        axes.annotate(name, (0, at), xycoords=("axes fraction", "data"), xytext=(-4, 0),
                      textcoords="offset points", ha="right", va="center", fontsize=8.5,
                      color=MUTED)  # fmt: skip
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.yaxis.set_visible(False)
    label = "Minutes in which more than 1 % of the requests missed the SLO, by controller"
    keys = (
        Key("1–5 % missed", line_key(ORANGE, "", 8)), Key("5–25 %", line_key(VERMILLION, "", 8)),
        Key("more", line_key("#7a1f00", "", 8)),
    )  # fmt: skip
    return Plot(svg(figure, "losses", label), label, keys)
