"""The plots of a backtest: forecast against outcome, calibration, and error by horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

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
from reports.wording import compact

COLOURS = (VERMILLION, GREEN, ORANGE, PURPLE, SKY, GREY, "#6b4c9a", "#8c6d31")
SHARES = ((50, "q25", "q75"), (80, "q10", "q90"), (95, "q2.5", "q97.5"))
FAN_DAYS = 7
FANS = 6
FAN = "#f0bd57"


@dataclass(frozen=True, slots=True)
class BacktestPlots:
    """All plots; a fan for each of the cases that are shown."""

    fans: tuple[tuple[str, Plot], ...]
    calibration: Plot
    horizons: Plot


def draw(content: dict[str, Any], forecasts: pd.DataFrame) -> BacktestPlots:
    """Draw what the backtest holds."""
    with look():
        return BacktestPlots(
            tuple(_fans(content, forecasts)), _calibration(forecasts), _by_horizon(content)
        )


def title_of(case: dict[str, Any]) -> str:
    """Name of a case, with its service where it has one."""
    return f"{case['name']}, {case['service']}" if case["service"] else str(case["name"])


def _fans(content: dict[str, Any], forecasts: pd.DataFrame) -> list[tuple[str, Plot]]:
    """Forecast fans of the first cases, at each horizon, over the last week of the test."""
    fans = []
    for case in content["cases"][:FANS]:
        here = forecasts[
            (forecasts["case"] == case["name"]) & (forecasts["service"] == case["service"])
        ]
        last_s = float(here["time_s"].max())
        here = here[here["time_s"] > last_s - FAN_DAYS * 86_400.0]
        if here["actual"].notna().any():
            name = title_of(case)
            fans.append((name, _fan(name, here)))
    return fans


def _fan(name: str, here: pd.DataFrame) -> Plot:
    horizons = sorted(here["horizon_h"].unique())
    span = (float(here["time_s"].min()), float(here["time_s"].max()))
    figure, panels = figure_of([120.0] * len(horizons), span)
    for axes, horizon in zip(panels, horizons, strict=True):
        part = here[here["horizon_h"] == horizon].sort_values("time_s")
        t = part["time_s"].to_numpy()
        for (_, low, high), opacity in zip(reversed(SHARES), (0.3, 0.5, 0.8), strict=True):
            axes.fill_between(
                t, part[low].to_numpy(), part[high].to_numpy(), color=FAN, alpha=opacity, lw=0
            )
        axes.plot(t, part["q50"].to_numpy(), color="#7a4f00", lw=1.2, ls=(0, (5, 2.5)))
        axes.plot(t, part["actual"].to_numpy(), color=BLUE, lw=1.1)
        top = 1.25 * float(np.nanmax(part[["actual", "q50", "q90"]].to_numpy()))
        bottom = min(0.0, float(np.nanmin(part[["actual", "q50"]].to_numpy())))
        axes.set_ylim(bottom, top if top > bottom else bottom + 1.0)
        axes.set_title(f"{horizon:g} h ahead", loc="left")
    label = f"{name}: what was forecast against what came, by horizon"
    keys = (
        Key("what came", line_key(BLUE, "", 1.8)),
        Key("median forecast", line_key("#7a4f00", "5 2.5", 1.6)),
        Key("50, 80 and 95 % intervals", line_key(FAN, "", 8)),
    )
    return Plot(svg(figure, f"fan {name}", label), label, keys)


def _calibration(forecasts: pd.DataFrame) -> Plot:
    """Share of outcomes below each quantile, for each horizon, pooled over the cases."""
    figure, axes = _square("share of outcomes below it", "quantile forecast")
    levels = [column for column in forecasts.columns if column.startswith("q")]
    nominal = np.array([float(column[1:]) / 100.0 for column in levels])
    axes.plot([0, 1], [0, 1], color=GREY, lw=1.0, ls=(0, (4, 3)))
    keys = [Key("perfect", line_key(GREY, "4 3", 1.4))]
    for colour, (horizon, part) in zip(COLOURS, forecasts.groupby("horizon_h"), strict=False):
        complete = part.dropna(subset=["actual", *levels])
        if complete.empty:
            continue
        # Ties count half: a series of equal values lies on its quantiles, not below them.
        values, quantiles = complete[["actual"]].to_numpy(), complete[levels].to_numpy()
        below = (values < quantiles).mean(axis=0) + 0.5 * (values == quantiles).mean(axis=0)
        axes.plot(nominal, below, color=colour, lw=1.4, marker="o", markersize=4)
        keys.append(Key(f"{horizon:g} h ahead", dot_key(colour)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    label = "Calibration: share of outcomes below each forecast quantile"
    return Plot(svg(figure, "calibration", label), label, tuple(keys))


def _by_horizon(content: dict[str, Any]) -> Plot:
    """Median WAPE over the cases against the horizon, for everybody."""
    figure, axes = _square("WAPE, median over the series", "hours ahead", height=300.0)
    hours = [float(key) for key in content["overall"]]
    names = list(
        dict.fromkeys(n for own in content["overall"].values() for n in own["median_wape"])
    )
    owns = {case["own"] for case in content["cases"]}
    keys, most = [], 0.0
    colours = iter(COLOURS * 3)
    for name in names:
        values = [own["median_wape"].get(name) for own in content["overall"].values()]
        line = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        mine = name in owns
        colour = INK if mine else next(colours)
        axes.plot(hours, line, color=colour, lw=2.4 if mine else 1.2, marker="o",
                  markersize=6 if mine else 4)  # fmt: skip
        keys.append(Key(name, line_key(colour, "", 2.6 if mine else 1.6)))
        most = max(most, float(np.nanmax(line, initial=0.0)))
    if len(hours) > 1:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(hours))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} h"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{compact(100 * value)} %"))
    axes.set_ylim(0, 1.1 * most if most > 0.0 else 1.0)
    axes.margins(x=0.08)
    axes.autoscale(axis="x")
    label = "WAPE against the horizon, for every forecaster"
    return Plot(svg(figure, "horizons", label), label, tuple(keys))


def _square(upright: str, across: str, height: float = 330.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
    FigureCanvasSVG(figure)
    left = (LEFT + 14) / WIDTH
    axes = figure.add_axes((left, 46.0 / height, 1.0 - left - RIGHT / WIDTH, 0.82))
    axes.set_ylabel(upright, color=MUTED)
    axes.set_xlabel(across, color=MUTED)
    return figure, axes
