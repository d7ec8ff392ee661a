"""The plot of a load test: what was due and what came back, and how long it felt."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from reports.drawing.axes import figure_of
from reports.drawing.legend import Key, line_key
from reports.drawing.style import BLUE, GREEN, INK, ORANGE, PURPLE, VERMILLION, look
from reports.drawing.svg import Plot, svg
from reports.drawing.thinning import FloatArray
from reports.load.content import LoadTest
from reports.wording import seconds

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, INK)
DASHES: tuple[tuple[str, tuple[int, tuple[float, ...]] | str], ...] = (
    ("", "-"), ("6 2.5", (0, (6, 2.5))), ("2 2", (0, (2, 2))), ("8 2 2 2", (0, (8, 2, 2, 2))),
    ("1 1.5", (0, (1, 1.5))),
)  # fmt: skip
POINTS = 300


def draw(load: LoadTest) -> Plot | None:
    """Requests a second and felt response times over the time of the test; None without rows."""
    if len(load.seconds) < 2:
        return None
    with look():
        return _drawn(load)


def _drawn(load: LoadTest) -> Plot:
    frame = load.seconds
    span = (float(frame["time_s"].min()), float(frame["time_s"].max()) + 1.0)
    figure, (rate, felt) = figure_of((150, 150), span)
    step_s = max(np.ceil((span[1] - span[0]) / POINTS), 1.0)
    frame = frame.assign(bin=((frame["time_s"] - span[0]) // step_s).astype(int))
    keys = _rates(rate, frame, span[0], step_s)
    keys += _times(felt, frame, load, span[0], step_s=step_s)
    label = (
        "the load test over time: requests due and answered well a second, and by service the "
        "95th percentile of the response time, felt and from sending"
    )
    return Plot(svg(figure, "load", label), label, tuple(keys))


def _rates(axes: Axes, frame: pd.DataFrame, start_s: float, step_s: float) -> list[Key]:
    axes.set_title("Requests/s, all services", loc="left")
    total = frame.groupby("bin")[["intended", "ok"]].sum() / step_s
    at_s = start_s + (total.index.to_numpy() + 0.5) * step_s
    axes.plot(at_s, total["intended"], color=INK, linewidth=1.2)
    axes.plot(at_s, total["ok"], color=ORANGE, linewidth=1.8, linestyle=(0, (4, 2)))
    axes.set_ylim(0.0, 1.18 * max(float(total.to_numpy().max()), 1.0))
    return [
        Key("due", line_key(INK, "", 1.8)),
        Key("of them answered well, retries included", line_key(ORANGE, "4 2", 2.2)),
    ]


def _times(
    axes: Axes, frame: pd.DataFrame, load: LoadTest, start_s: float, *, step_s: float
) -> list[Key]:
    """The worst second of each interval, as a share of the SLO would hide its size."""
    axes.set_title("Response time felt, 95th percentile (thin: from sending)", loc="left")
    keys, most = [], 1e-3
    for i, (name, part) in enumerate(frame.groupby("service", sort=False, observed=True)):
        colour, (dash, style) = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        worst = part.groupby("bin")[["p95_s", "answered_p95_s"]].max()
        at_s = start_s + (worst.index.to_numpy() + 0.5) * step_s
        felt = worst["p95_s"].to_numpy(np.float64)
        axes.plot(at_s, felt, color=colour, linewidth=1.3, linestyle=style)
        axes.plot(at_s, worst["answered_p95_s"], color=colour, linewidth=0.6, alpha=0.7)
        most = max(most, _largest(felt))
        slo = load.summary.services[str(name)].slo_p95_s if name in load.summary.services else None
        limit = "" if slo is None else f" (SLO {seconds(slo)})"
        keys.append(Key(f"{name}{limit}", line_key(colour, dash, 1.8)))
    axes.set_ylim(0.0, 1.18 * most)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value) if value else "0"))
    return keys


def _largest(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0
