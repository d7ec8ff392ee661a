"""The plots of a capacity plan: need against limits, where the money goes, what gives way first."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports import wording
from reports.drawing.legend import Key, dot_key, line_key
from reports.drawing.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LEFT,
    ORANGE,
    RIGHT,
    STACK,
    VERMILLION,
    WIDTH,
    look,
)
from reports.drawing.svg import Plot, svg


@dataclass(frozen=True, slots=True)
class PlanPlots:
    """All plots."""

    need: Plot
    weddings: Plot
    cost: Plot
    ladder: Plot | None


def draw(content: dict[str, Any]) -> PlanPlots:
    """Draw what the plan holds."""
    with look():
        return PlanPlots(
            need=_need(content),
            weddings=_weddings(content),
            cost=_cost(content),
            ladder=_ladder(content) if content["bottlenecks"]["ladder"] else None,
        )


def _panels(
    heights: list[float], left: float = LEFT, gap: float = 34.0
) -> tuple[Figure, list[Axes]]:
    """Panels above one another, without any axis shared."""
    head, bottom = 24.0, 30.0
    height = head + sum(heights) + gap * (len(heights) - 1) + bottom
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    top, panels = height - head, []
    for tall in heights:
        width = (WIDTH - left - RIGHT) / WIDTH
        panels.append(figure.add_axes((left / WIDTH, (top - tall) / height, width, tall / height)))
        top -= tall + gap
    return figure, panels


def _month_axis(axes: Axes, months: list[str], *, named: bool) -> None:
    axes.set_xlim(0.0, float(len(months)))
    axes.xaxis.set_major_locator(FixedLocator([i + 0.5 for i in range(len(months))]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: _month(months[min(int(value), len(months) - 1)]))
    )
    axes.tick_params(axis="x", length=0, labelbottom=named)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(4, min_n_ticks=2, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.compact(value)))


def _month(name: str) -> str:
    return f"{dt.date.fromisoformat(f'{name}-01'):%b}"


def _steps(axes: Axes, values: list[float], **style: Any) -> None:
    """A level for each month."""
    at = np.arange(len(values) + 1, dtype=np.float64)
    axes.plot(at, [*values, values[-1]], drawstyle="steps-post", **style)


def _need(content: dict[str, Any]) -> Plot:
    """For each service what a month takes at the most, and the limits that are recommended."""
    months, services = content["months"], content["plan"]["services"]
    figure, panels = _panels([92.0] * len(services))
    for axes, (name, service) in zip(panels, services.items(), strict=True):
        _month_axis(axes, months, named=name == list(services)[-1])
        for i, need in enumerate(service["need"]):
            axes.fill_between([i + 0.18, i + 0.82], need["q10"], need["q90"], color=ORANGE,
                              alpha=0.5, linewidth=0)  # fmt: skip
            axes.plot([i + 0.18, i + 0.82], [need["q50"]] * 2, color="#7a4f00", linewidth=1.6)
        _steps(axes, service["maximum"], color=VERMILLION, linewidth=1.6)
        _steps(axes, service["minimum"], color=BLUE, linewidth=1.6, linestyle=(0, (5, 2.5)))
        axes.fill_between([0, len(months)], service["reserved"], color=GREY, alpha=0.35,
                          linewidth=0)  # fmt: skip
        axes.set_ylim(0.0, 1.12 * max(service["maximum"]))
        size = "" if service["size"] == 1.0 else f", instances {service['size']:g} × today's size"
        axes.set_title(f"{name}{size}", loc="left")
    keys = (
        Key("most of the month, 10 – 90 %", line_key(ORANGE, "", 8)),
        Key("its median", line_key("#7a4f00", "", 1.8)),
        Key("recommended maximum", line_key(VERMILLION, "", 1.8)),
        Key("recommended minimum", line_key(BLUE, "5 2.5", 1.8)),
        Key("reserved", line_key(GREY, "", 8)),
    )
    label = "Instances that each month takes at the most, and the recommended limits, by service"
    return Plot(svg(figure, "plan need", label), label, keys)


def _weddings(content: dict[str, Any]) -> Plot:
    """Most weddings at once, week by week, and how many are booked, month by month."""
    figure, (weekly, monthly) = _panels([130.0, 110.0], gap=58.0)
    weeks = content["forecast"]["weekly"]
    first = dt.date.fromisoformat(weeks[0]["from"])
    starts = [(dt.date.fromisoformat(week["from"]) - first).days for week in weeks]
    at = np.array([*starts, starts[-1] + 7], dtype=np.float64)
    quantiles = {q: np.array([week["at_once"][q] for week in weeks]) for q in ("q10", "q50", "q90")}
    padded = {q: np.append(values, values[-1]) for q, values in quantiles.items()}
    weekly.fill_between(at, padded["q10"], padded["q90"], step="post", color=ORANGE, alpha=0.4,
                        linewidth=0)  # fmt: skip
    weekly.plot(at, padded["q50"], drawstyle="steps-post", color="#7a4f00", linewidth=1.4)
    weekly.set_title("Most weddings at once, by week", loc="left")
    months = content["months"]
    edges = [(max(dt.date.fromisoformat(f"{name}-01"), first) - first).days for name in months]
    weekly.set_xlim(0.0, float(at[-1]))
    weekly.xaxis.set_major_locator(FixedLocator([float(edge) for edge in edges]))
    weekly.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: _month(months[edges.index(round(value))]))
    )
    weekly.set_ylim(0.0, 1.1 * float(quantiles["q90"].max()))
    weekly.yaxis.set_major_locator(MaxNLocator(4))
    weekly.yaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.compact(value)))
    _month_axis(monthly, months, named=True)
    for i, month in enumerate(content["forecast"]["monthly"]):
        low, middle, high = (month["weddings"][q] for q in ("q10", "q50", "q90"))
        monthly.bar(i + 0.5, middle, width=0.64, color="#f0d9a8", linewidth=0)
        monthly.bar(i + 0.5, min(month["booked"], middle), width=0.64, color=GREEN, linewidth=0)
        monthly.plot([i + 0.5] * 2, [low, high], color="#7a4f00", linewidth=1.6)
    monthly.set_title("Weddings of the month, and how many are booked", loc="left")
    keys = (
        Key("expected, 10 – 90 %", line_key(ORANGE, "", 8)),
        Key("median", line_key("#7a4f00", "", 1.6)),
        Key("booked so far", line_key(GREEN, "", 8)),
        Key("still to come", line_key("#f0d9a8", "", 8)),
    )
    label = "Forecast of the weddings: most at once by week, and by month with those booked so far"
    return Plot(svg(figure, "plan weddings", label), label, keys)


def _cost(content: dict[str, Any]) -> Plot:
    """On-demand cost by month and service on top of the reserved base."""
    months, services = content["months"], content["plan"]["services"]
    figure, (axes,) = _panels([190.0])
    _month_axis(axes, months, named=True)
    middle = np.arange(len(months)) + 0.5
    bottom = np.full(len(months), content["plan"]["reserved_usd"] / len(months))
    axes.bar(middle, bottom, width=0.72, color=GREY, linewidth=0)
    keys = [Key("reserved, all services", line_key(GREY, "", 8))]
    ranked = sorted(services, key=lambda name: -sum(services[name]["on_demand_usd"]))
    for i, name in enumerate(ranked):
        usd = np.array(services[name]["on_demand_usd"])
        colour = STACK[i % len(STACK)]
        axes.bar(middle, usd, width=0.72, bottom=bottom, color=colour, linewidth=0)
        bottom = bottom + usd
        keys.append(Key(f"{name}, on demand", line_key(colour, "", 8)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${wording.compact(value)}"))
    axes.set_ylim(0.0, 1.08 * float(bottom.max()))
    axes.set_title("USD per month", loc="left")
    label = "Expected cost of each month: the reserved base, and each service on demand above it"
    return Plot(svg(figure, "plan cost", label), label, tuple(keys))


def _ladder(content: dict[str, Any]) -> Plot:
    """Each limit at the weddings that reach it, on a log axis, with the twin's verdict."""
    bottlenecks = content["bottlenecks"]
    rungs = bottlenecks["ladder"]
    figure, (axes,) = _panels([36.0 * len(rungs) + 10.0], left=14.0)
    checks = {(c["service"], c["limit"]): c for c in bottlenecks.get("checks", ())}
    expected = max(bottlenecks["expected_at_once"], 1.0)
    figures = [max(rung[key], 1.0) for rung in rungs for key in ("safe", "lost_low", "lost_high")]
    low, high = min([*figures, expected]) / 1.6, max([*figures, expected]) * 1.6
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.axvline(expected, color=INK, linewidth=1.2, linestyle=(0, (1.5, 2)))
    for row, rung in enumerate(rungs):
        at = -float(row)
        safe, lost = max(rung["safe"], 1.0), max(rung["lost"], 1.0)
        axes.plot([max(rung["lost_low"], 1.0), max(rung["lost_high"], 1.0)], [at, at],
                  color=VERMILLION, linewidth=5, alpha=0.35, solid_capstyle="butt")  # fmt: skip
        axes.plot([safe, lost], [at, at], color=ORANGE, linewidth=2.2)
        axes.plot([safe], [at], "o", color="white", markeredgecolor=ORANGE, markersize=7)
        axes.plot([lost], [at], "o", color=VERMILLION, markersize=7)
        check = checks.get((rung["service"], rung["limit"]))
        if check is not None and check["below"] is not None:
            for side, marker, colour in (("below", "^", GREEN), ("above", "v", INK)):
                axes.plot([check[side]["weddings"]], [at - 0.34], marker, color=colour,
                          markersize=6)  # fmt: skip
        axes.annotate(
            _rung_name(rung), (low, at), xytext=(2, 7), textcoords="offset points",
            ha="left", va="bottom", fontsize=10, color=INK,
            zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
        )  # fmt: skip
    axes.set_ylim(-len(rungs) + 0.35, 0.85)
    axes.yaxis.set_visible(False)
    axes.xaxis.set_minor_locator(NullLocator())
    ticks = [t for e in range(13) for t in (10.0**e,) if low <= t <= high]
    if len(ticks) < 3:
        ticks = [m * 10.0**e for e in range(13) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.compact(value)))
    axes.set_title("Weddings at once", loc="left")
    keys = [
        Key("reserve used up", dot_key(ORANGE)),
        Key("SLO lost", dot_key(VERMILLION)),
        Key("by how the day responds, 10 – 90 %", line_key("#eab599", "", 6)),
        Key("expected at the busiest instant", line_key(INK, "1.5 2", 1.6)),
    ]
    if checks:
        keys += [
            Key("twin ran just below", _triangle(GREEN, up=True)),
            Key("and just above", _triangle(INK, up=False)),
        ]
    label = "The weddings at once at which each service reaches its limit"
    return Plot(svg(figure, "plan ladder", label), label, tuple(keys))


def _rung_name(rung: dict[str, Any]) -> str:
    allowed = wording.count(rung["allowed"])
    if rung["limit"] == "budget":
        return f"all services: budget of {wording.usd(rung['allowed'])} per hour"
    if rung["limit"] == "quota":
        return f"all services: quota of {allowed} instances"
    return f"{rung['service']}: at most {allowed} instances"


def _triangle(colour: str, *, up: bool) -> str:
    path = "M14 1.5 L19 10.5 L9 10.5 Z" if up else "M14 10.5 L19 1.5 L9 1.5 Z"
    shape = f'<path d="{path}" fill="{colour}"/>'
    return f'<svg class="key" viewBox="0 0 28 12" aria-hidden="true">{shape}</svg>'
