"""The waterfall from the clairvoyant to the engine: what each rule adds to the bill."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import wording
from reports.drawing.legend import Key, line_key
from reports.drawing.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LABEL_GAP,
    MUTED,
    ORANGE,
    RIGHT,
    SKY,
    WIDTH,
    look,
)
from reports.drawing.svg import Plot, svg

NAMES = 190.0
"""Room for the names, in the plot's units."""
VALUES = 92.0
"""Room for what each step costs, right of the bars and of their intervals."""
BAR = 26.0
HEAD, FOOT = 14.0, 56.0
WITHIN = "clairvoyant_within_rules"


def waterfall(place: dict[str, Any], number: int) -> Plot:
    """A bar for each step, from the top down; the axis begins where the steps do."""
    steps = place["waterfall"]
    engine = float(place["contestants"]["engine"]["usd_a_day"]["mean"])
    within = float(place["contestants"][WITHIN]["usd_a_day"]["mean"])
    rows = len(steps) + 1
    height = HEAD + BAR * rows + FOOT
    left = NAMES / WIDTH
    with look():
        figure = Figure(figsize=(WIDTH / 72.0, height / 72.0), dpi=72)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(
            (left, FOOT / height, 1.0 - left - VALUES / WIDTH, BAR * rows / height)
        )
        axes.grid(axis="y", visible=False)
        reached, edges = 0.0, []
        labels = []
        for row, step in enumerate(steps):
            cost = step["usd_a_day"]
            mean = float(cost["mean"])
            begin, end = reached, reached + mean
            colour = BLUE if row == 0 else SKY if row == 1 else ORANGE if mean >= 0.0 else GREEN
            axes.barh(row, end - begin, left=begin, height=0.62, color=colour)
            if row:
                axes.plot([begin, begin], [row - 0.85, row + 0.31], color=GREY, lw=0.8)
                edges += [begin, end]
                if cost["low"] is not None:
                    ends = [begin + float(cost["low"]), begin + float(cost["high"])]
                    axes.plot(ends, [row, row], color=INK, lw=1.2)
            labels.append(wording.usd(mean, signed=row > 0))
            reached = end
        axes.barh(rows - 1, engine, height=0.62, color=BLUE)
        labels.append(wording.usd(engine))
        axes.axvline(within, color=INK, lw=1.2, ls=(0, (1.5, 2)))
        low, high = min([*edges, within]), max([*edges, within, engine])
        room = max(high - low, 0.01 * engine)
        axes.set_xlim(max(low - 0.25 * room, 0.0), high + 0.3 * room)
        axes.set_ylim(rows - 0.45, -0.55)
        for row, text in enumerate(labels):
            axes.annotate(
                text, (1.0, row), xycoords=("axes fraction", "data"), xytext=(VALUES - RIGHT, 0),
                textcoords="offset points", ha="right", va="center", fontsize=9, color=MUTED,
            )  # fmt: skip
        axes.set_yticks(range(rows), [*(_name(step["name"]) for step in steps), "engine"])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.usd(value)))
        axes.set_xlabel("USD a day", color=MUTED, labelpad=LABEL_GAP)
        label = f"{place['name']}: what each rule adds to the bill, from the clairvoyant on"
        keys = (
            Key("a whole bill (the axis does not begin at 0)", line_key(BLUE, "", 8)),
            Key("not knowing what comes", line_key(SKY, "", 8)),
            Key("a rule that costs", line_key(ORANGE, "", 8)),
            Key("a rule that makes it cheaper", line_key(GREEN, "", 8)),
            Key("clairvoyant within the rules", line_key(INK, "1.5 2", 1.2)),
            Key("95 % interval, cut off at the edge", line_key(INK, "", 1.2)),
        )
        return Plot(svg(figure, f"waterfall-{number}", label), label, keys)


def _name(name: str) -> str:
    return name.replace("_", " ")
