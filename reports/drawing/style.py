"""The look of all plots: colours, sizes, line styles.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart; line styles,
markers and labels say the same again without colour.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import matplotlib as mpl

INK, MUTED, GRID = "#1c2024", "#5c636b", "#e3e5e8"


ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"


BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#9aa0a6"


STACK = ("#7fc8f0", "#f0bd57", "#5cbf9f", "#f5ec82", "#5c9fce", "#dfa6c4", "#e58c4d", "#c3c7cc")
"""The colours of areas: those of Okabe and Ito in the same order, a little lighter."""


WIDTH, LEFT, RIGHT = 760, 58, 10


LABEL_GAP = 14
"""Between the ticks of an axis and its label: on a narrow screen the texts are twice as large."""

DASHED, DOTTED = (0, (5, 2.5)), (0, (1.5, 2))


@contextmanager
def look() -> Iterator[None]:
    """The look of all plots, for as long as they are drawn."""
    look: dict[str, Any] = {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlepad": 8,
        # No axis is on top.  To find that out by itself takes Matplotlib a tenth of the drawing.
        "axes.titley": 1.0,
        "axes.titlecolor": INK,
        "axes.xmargin": 0,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.major.size": 4,
        "ytick.major.size": 0,
        "xtick.major.pad": 7,
        "lines.solid_joinstyle": "round",
        "path.simplify": True,
        "axes.unicode_minus": True,
    }
    with mpl.rc_context(cast(Any, look)), warnings.catch_warnings():
        # A name in a script that the layout font lacks is measured a little wrong, no more: the
        # text is set by the reader's own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
