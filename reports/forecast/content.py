"""What a forecast says, as a page and as text; read from its `forecast.json` alone."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from reports import rendering
from reports.drawing.legend import Key, line_key
from reports.drawing.style import INK, WIDTH, look
from reports.drawing.svg import Plot, svg
from reports.errors import RecordError
from reports.tables import TextTable

FAN = "#f0bd57"
MEDIAN = "#7a4f00"
INTERVALS = (("0.025", "0.975", 0.3), ("0.1", "0.9", 0.5), ("0.25", "0.75", 0.8))


def render(folder: Path) -> dict[str, str]:
    """The pages of the forecast in `folder`; raises RecordError for what is malformed."""
    path = folder / "forecast.json"
    try:
        content = json.loads(path.read_text())
        tables = [
            (table["name"], TextTable(tuple(table["headings"]), tuple(map(tuple, table["rows"])),
                                  tuple(table["numeric"])))
            for table in content["tables"]
        ]  # fmt: skip
        with look():
            plots = [(curve["name"], _plot(curve)) for curve in content["curves"]]
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: {error}") from error
    return {
        "report.html": rendering.page("forecast", content=content, tables=tables, plots=plots),
        "report.md": rendering.text("forecast", content=content, tables=tables),
    }


def _plot(curve: dict[str, Any]) -> Plot:
    """The fan of one service."""
    quantiles = {level: np.array(values) for level, values in curve["quantiles"].items()}
    count = len(quantiles["0.5"])
    start = dt.datetime.fromtimestamp(curve["start_s"], dt.UTC)
    step = dt.timedelta(seconds=curve["step_s"])
    times = np.array([date2num(start + step * i) for i in range(count)])
    figure = Figure(figsize=(WIDTH / 72.0, 2.3), layout="constrained")
    axes = figure.subplots()
    for low, high, opacity in INTERVALS:
        axes.fill_between(
            times, quantiles[low], quantiles[high], color=FAN, alpha=opacity, lw=0, step="post"
        )
    axes.step(times, quantiles["0.5"], where="post", color=MEDIAN, lw=1.3)
    axes.set_ylim(0.0, 1.1 * max(float(quantiles["0.975"].max()), 1e-9))
    axes.set_xlim(float(times[0]), float(times[-1]))
    axes.xaxis_date(tz="UTC")
    axes.set_ylabel(curve["unit"], color=INK)
    locator = AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=dt.UTC))
    label = f"{curve['name']}: forecast with its 50, 80 and 95 % intervals, UTC"
    keys = (
        Key("median forecast", line_key(MEDIAN, "", 1.8)),
        Key("50, 80 and 95 % intervals", line_key(FAN, "", 8)),
    )
    return Plot(svg(figure, f"forecast {curve['name']}", label), label, keys)
