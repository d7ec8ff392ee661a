"""Areas on top of one another, each with its name where there is room for it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from reports.drawing.legend import Key, band_key
from reports.drawing.style import INK, STACK
from reports.drawing.thinning import FloatArray


def stack(axes: Axes, at: FloatArray, layers: dict[str, FloatArray]) -> list[Key]:
    """Areas on top of one another with white lines between; wide ones say their name.

    A name is left out where it would not fit into its area (all are in the legend).
    """
    if not layers:
        return []
    tops = np.cumsum([np.nan_to_num(layer) for layer in layers.values()], axis=0)
    high = max(float(tops[-1].max(initial=0.0)), 1e-12)
    bottom = np.zeros(len(at))
    keys = []
    for i, (name, top) in enumerate(zip(layers, tops, strict=True)):
        colour = STACK[i % len(STACK)]
        axes.fill_between(at, bottom, top, color=colour, linewidth=0)
        axes.plot(at, top, color="white", linewidth=0.8)
        middle, y, room = _roomiest(bottom, top, 0.0105 * len(name))
        if room > 0.06 * high:
            axes.annotate(
                name, (at[middle], y), ha="center", va="center", fontsize=10.5, color=INK
            )  # fmt: skip
        keys.append(Key(name, band_key(colour, 1.0)))
        bottom = top
    return keys


def _roomiest(bottom: FloatArray, top: FloatArray, width: float) -> tuple[int, float, float]:
    """Where an area has most room for a text of `width` (share of the axis): index, y, height."""
    window = max(math.ceil(width * len(top)), 1)
    if window > len(top):
        return 0, 0.0, 0.0
    ceiling = np.lib.stride_tricks.sliding_window_view(top, window).min(axis=1)
    floor = np.lib.stride_tricks.sliding_window_view(bottom, window).max(axis=1)
    best = int(np.argmax(ceiling - floor))
    height = float(ceiling[best] - floor[best])
    return best + window // 2, float(ceiling[best] + floor[best]) / 2.0, height
