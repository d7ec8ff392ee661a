"""What is left of a long series when it is drawn."""

from __future__ import annotations

import numpy as np

from reports.drawing.thinning import POINTS, envelope, interval_maxima


def test_thinning_loses_neither_peak_nor_trough() -> None:
    rng = np.random.Generator(np.random.Philox(3))
    t = np.arange(17_280.0)
    values = rng.normal(100.0, 1.0, t.size)
    values[[17, 9_000, 17_001]] = (500.0, -300.0, np.nan)
    at, thin = envelope(t, values)
    assert len(at) <= POINTS
    assert (np.nanmax(thin), np.nanmin(thin)) == (500.0, -300.0)
    assert (np.diff(at) > 0).all()
    assert np.array_equal(values[at.astype(int)], thin, equal_nan=True)
    _, highest = interval_maxima(t, values)
    assert len(highest) <= POINTS
    assert np.nanmax(highest) == 500.0


def test_a_line_of_few_steps_is_drawn_exactly() -> None:
    t = np.arange(17_280.0)
    steps = np.repeat([3.0, 8.0, 5.0, 5.0], 4_320)
    at, thin = envelope(t, steps)
    assert len(at) <= 8
    again = thin[np.searchsorted(at, t, side="right") - 1]
    assert np.array_equal(again, steps)
