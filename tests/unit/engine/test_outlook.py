"""The calendar as the engine is shown it: it knows which span it covers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.adapters.bookings_compressed import Compressed
from engine.model import Outlook

START_S = 1000.0


def outlook(bin_s: float = 60.0, bins: int = 3) -> Outlook:
    """Rises by 10/s a bin, from 10/s on."""
    load = 10.0 * np.arange(1.0, bins + 1)[None, :]
    return Outlook(
        issued_s=START_S, start_s=START_S, bin_s=bin_s, services={"api": 0}, load=load,
        major_load=0.1 * load, events=load[0], major_events=load[0], sigma=0.1,
    )  # fmt: skip


@pytest.mark.parametrize("bin_s", [60.0, 2.5, 3600.0])
@pytest.mark.parametrize("bins", [1, 3, 400])
def test_the_span_is_that_of_the_bins(bin_s: float, bins: int) -> None:
    seen = outlook(bin_s, bins)
    end_s = START_S + bin_s * bins
    assert seen.end_s == end_s
    inside = (START_S, START_S + 0.5 * bin_s, math.nextafter(end_s, 0.0))
    outside = (math.nextafter(START_S, 0.0), end_s, end_s + 86_400.0, 0.0, math.inf, math.nan)
    assert [seen.covers(at_s) for at_s in inside] == [True] * 3
    assert [seen.covers(at_s) for at_s in outside] == [False] * 6
    assert not any(math.isnan(seen.rate(0, at_s)) for at_s in inside)
    assert all(math.isnan(seen.rate(0, at_s)) for at_s in outside)


@pytest.mark.parametrize(
    ("ahead_s", "rate"),
    [(0.0, 10.0), (30.0, 10.0), (60.0, 15.0), (75.0, 17.5), (90.0, 20.0), (150.0, 30.0),
     (179.0, 30.0)],
)  # fmt: skip
def test_the_rate_is_linear_between_the_middles_of_the_bins(ahead_s: float, rate: float) -> None:
    assert outlook().rate(0, START_S + ahead_s) == pytest.approx(rate)


class Bookings:
    def outlook(self, now_s: float) -> Outlook:
        return outlook(bins=600)


@pytest.mark.parametrize("speed", [1.0, 24.0, 60.0])
def test_a_compressed_day_covers_what_the_day_covers(speed: float) -> None:
    day = Bookings().outlook(0.0)
    wall_s = 5e6
    shown = Compressed(
        Bookings(), anchor_s=wall_s, origin_s=START_S + 3600.0, speed=speed, scale=0.1
    ).outlook(wall_s)
    assert shown.start_s == pytest.approx(wall_s - 3600.0 / speed)
    assert shown.end_s - shown.start_s == pytest.approx((day.end_s - day.start_s) / speed)
    for ahead_s in (-3700.0, -3500.0, 0.0, 20_000.0, 32_300.0, 32_500.0):
        real = day.rate(0, START_S + 3600.0 + ahead_s)
        seen = shown.rate(0, wall_s + ahead_s / speed)
        assert seen == pytest.approx(0.1 * real, nan_ok=True)
        assert math.isnan(real) == (not -3600.0 <= ahead_s < 32_400.0)
