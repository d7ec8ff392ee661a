"""The plot of how ready the capacity was when the major events began."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.drawing.axes import figure_of
from reports.drawing.legend import Key, dot_key, line_key
from reports.drawing.style import BLUE, GREEN, INK, VERMILLION, look
from reports.drawing.svg import Plot, svg
from reports.run.reading import Record

CLIPPED = 4.0
"""The plot ends at so many times the need."""


def draw(record: Record) -> Plot | None:
    """Ready over needed at the start of each group, by service; None where there is none."""
    if record.prescaling.empty:
        return None
    with look():
        return _drawn(record)


def _drawn(record: Record) -> Plot:
    table, noun = record.prescaling, record.summary.noun
    figure, (axes,) = figure_of((150,), record.span_s)
    axes.set_title(f"Ready ÷ needed when {noun.many} began", loc="left")
    ratio = (table["ready"] / table["need"]).to_numpy()
    top = min(max(1.25 * float(ratio.max()), 2.0), CLIPPED)
    at_s = table["at_s"].to_numpy()
    waited = table["waited_for"].to_numpy(bool)
    short = ratio < 1.0
    keys = [Key("enough", line_key(INK, "7 3", 1.6))]
    axes.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (7, 3)))
    for chosen, colour, marker, meaning in (
        (waited & ~short, GREEN, "o", "services that users wait for"),
        (~waited & ~short, BLUE, "s", "others"),
        (short, VERMILLION, "X", "short of need"),
    ):
        if chosen.any():
            axes.plot(
                at_s[chosen], np.minimum(ratio[chosen], top), linestyle="none", marker=marker,
                markersize=5, color=colour, alpha=0.85, markeredgewidth=0, clip_on=False,
            )  # fmt: skip
            keys.append(Key(meaning, dot_key(colour)))
    axes.set_ylim(0.0, top)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
    label = (
        f"instances ready over needed when each group of {noun.many} began, a mark for each "
        f"service; the smallest is {ratio.min():.2f}"
    )
    return Plot(svg(figure, "readiness", label), label, tuple(keys))
