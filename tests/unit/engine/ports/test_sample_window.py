"""The window of samples: in order, each once, and the present after the clock was set back."""

from __future__ import annotations

import numpy as np
import pytest

from engine.ports.metrics import SampleWindow


def filled(window: SampleWindow, times: np.ndarray, cpu: float) -> None:
    for time_s in times:
        window.add([float(time_s)] + [cpu] * 8)


@pytest.mark.parametrize("back_s", [60.0, 290.0, 3600.0, 86_400.0])
@pytest.mark.parametrize("fresh", [1, 10, 60])
def test_after_the_clock_was_set_back_the_present_counts(back_s: float, fresh: int) -> None:
    window = SampleWindow()
    filled(window, 100_000.0 + 5.0 * np.arange(60), 0.1)
    present = 100_300.0 - back_s + 5.0 * np.arange(fresh)
    for time_s in present:
        window.forget_after(time_s)
        window.add([float(time_s)] + [0.9] * 8)
    seen = window.array
    assert window.newest_s == present[-1]
    assert np.count_nonzero(seen["cpu"] == 0.9) >= fresh - 1  # one may have been there before
    assert np.all(np.diff(seen["time_s"]) > 0.0)


def test_also_without_being_told_of_it_the_window_comes_to_hold_the_present() -> None:
    window = SampleWindow()
    filled(window, 10_000.0 + 5.0 * np.arange(60), 0.1)
    filled(window, 6_400.0 + 5.0 * np.arange(60), 0.9)
    assert window.newest_s == 6_695.0
    assert np.all(window.array["cpu"] == 0.9)


def test_samples_that_come_late_are_put_in_their_place_and_never_grow_the_window() -> None:
    window = SampleWindow(length=4)
    for time_s in (5.0, 15.0, 10.0, 10.0, 20.0, 25.0, np.nan, np.inf):
        window.add([time_s] + [0.5] * 8)
    assert window.array["time_s"].tolist() == [10.0, 15.0, 20.0, 25.0]
