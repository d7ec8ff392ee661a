"""A calendar of events as regressors: what is in progress when, counted from each start.

One column for each stretch of time around an event's start holds the expected sizes of the events
that are in that stretch, so overlaps add up; how much load a stretch means is for the forecaster
to learn.  Exact for any step and for hundreds of thousands of events, by prefix sums.
"""

from __future__ import annotations

import numpy as np

from engine.model import Calendar, FloatArray

HOUR_S = 3600.0
EDGES_S = tuple(HOUR_S * hours for hours in (-1.0, 0.0, 1.0, 2.0, 3.0, 4.0))
FAR_S = 12.0 * HOUR_S


def columns(
    calendar: Calendar,
    times_s: FloatArray,
    step_s: float,
    edges_s: tuple[float, ...] = EDGES_S,
) -> FloatArray:
    """Sizes of the events in each stretch [edges_s[k], edges_s[k + 1]): (steps, stretches).

    A step that begins at `times_s` and lasts `step_s` counts an event by the share for which it is
    in the stretch, of the step or of the stretch, whichever is shorter.
    """
    if not len(calendar.start_s):
        return np.zeros((len(times_s), len(edges_s) - 1))
    origin_s = float(calendar.start_s[0])
    reached = np.column_stack(
        [
            _integral(calendar, times_s + step_s - edge_s, origin_s)
            - _integral(calendar, times_s - edge_s, origin_s)
            for edge_s in edges_s
        ]
    )
    lengths = np.minimum(np.diff(edges_s), step_s)
    counted: FloatArray = np.maximum(reached[:, :-1] - reached[:, 1:], 0.0) / lengths
    counted[counted < 1e-9] = 0.0
    return counted


def nearness(calendar: Calendar, times_s: FloatArray) -> FloatArray:
    """Seconds since the last start and until the next one (steps, 2), at most `FAR_S`."""
    starts = calendar.start_s
    if not len(starts):
        return np.full((len(times_s), 2), FAR_S)
    after = np.searchsorted(starts, times_s, side="right")
    since = times_s - starts[np.maximum(after - 1, 0)]
    until = starts[np.minimum(after, len(starts) - 1)] - times_s
    since[after == 0] = FAR_S
    until[after == len(starts)] = FAR_S
    return np.minimum(np.column_stack((since, until)), FAR_S)


def _integral(calendar: Calendar, until_s: FloatArray, origin_s: float) -> FloatArray:
    """Integral over time, up to `until_s`, of the summed sizes of the events begun."""
    starts = calendar.start_s - origin_s
    sizes = np.concatenate(((0.0,), np.cumsum(calendar.size)))
    moments = np.concatenate(((0.0,), np.cumsum(calendar.size * starts)))
    begun = np.searchsorted(starts, until_s - origin_s, side="right")
    integral: FloatArray = sizes[begun] * (until_s - origin_s) - moments[begun]
    return integral
