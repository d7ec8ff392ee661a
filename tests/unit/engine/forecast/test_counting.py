"""How much of an error is the chance of what a sample counted: rows worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.forecast.counting import OF_MEDIAN, UNCOUNTED, Counting, counting

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("rates", "spacing_s", "chance"),
    [
        # Of 100 requests a second five seconds count 500.
        ((100.0, 100.0, 100.0, 100.0), 5.0, Counting(1 / 500, 0.0, OF_MEDIAN[3])),
        ((100.0, 100.0, 100.0, 100.0), 15.0, Counting(1 / 1500, 0.0, OF_MEDIAN[3])),
        # The mean of what the median is of, not of what came before.
        ((90.0, 100.0, 110.0, 1e4 / 110), 5.0, None),
        ((100.0, 100.0), 5.0, Counting(1 / 500, 0.0, OF_MEDIAN[2])),
        # What is no rate is left out.
        ((100.0, NAN, 100.0, 100.0), 5.0, Counting(1 / 500, 0.0, OF_MEDIAN[2])),
        ((100.0, INF, NAN, 100.0), 5.0, Counting(1 / 500, 0.0, OF_MEDIAN[1])),
        ((100.0, -3.0, 0.0, 100.0), 5.0, Counting(1 / 500, 0.0, OF_MEDIAN[1])),
        # Five requests are enough to say something, fewer are not.
        ((1.0, 1.0, 1.0), 5.0, Counting(0.2, 0.0, OF_MEDIAN[3])),
        ((0.99, 0.99, 0.99), 5.0, UNCOUNTED),
        # Nothing says how many were counted, or how they scatter.
        ((100.0, 100.0, 100.0), 0.0, UNCOUNTED),
        ((100.0, 100.0, 100.0), NAN, UNCOUNTED),
        ((100.0,), 5.0, UNCOUNTED),
        ((NAN, NAN, NAN, 100.0, 100.0), 5.0, UNCOUNTED),
        ((), 5.0, UNCOUNTED),
    ],
)
def test_the_chance_in_the_median_of_three(
    rates: tuple[float, ...], spacing_s: float, chance: Counting | None
) -> None:
    seen = counting(rates, spacing_s, 3)
    if chance is None:
        assert seen.variance == pytest.approx(1 / 500)
        return
    assert seen == pytest.approx(chance)


def test_the_scatter_is_half_the_mean_square_of_the_steps_between_neighbours() -> None:
    up = math.exp(0.1)
    seen = counting((100.0, 100.0 * up, 100.0, 100.0 * up, 100.0), 5.0, 3)
    assert seen.scatter == pytest.approx(0.5 * 0.1**2)
    assert counting((100.0, 100.0 * up), 5.0, 3).scatter == pytest.approx(0.5 * 0.1**2)


def test_a_trend_hardly_scatters() -> None:
    """A tenth in the minute, as steeply as a platform grows, is a seventy-thousandth."""
    rates = [100.0 * math.exp(-0.1 * k / 12.0) for k in range(5)]
    assert counting(rates, 5.0, 3).scatter == pytest.approx(0.5 * (0.1 / 12.0) ** 2)


def test_of_what_people_do_it_is_all_and_of_a_running_mean_next_to_nothing() -> None:
    """Of Poisson counts both variances agree; of a mean over a minute the scatter tells."""
    rng = np.random.default_rng(3)
    counts = rng.poisson(500.0, 60_000) / 5.0
    running = np.convolve(counts, np.full(12, 1.0 / 12.0), "valid")

    def taken(rates: np.ndarray) -> tuple[float, float]:
        seen = [counting(rates[k : k + 5], 5.0, 3) for k in range(0, len(rates) - 5, 5)]
        return (
            float(np.mean([one.variance for one in seen])),
            float(np.mean([one.scatter for one in seen])),
        )

    variance, scatter = taken(counts)
    assert variance == pytest.approx(1 / 500, rel=0.01)
    assert scatter == pytest.approx(1 / 500, rel=0.03)
    variance, scatter = taken(running)
    assert scatter < 0.01 * variance


def test_the_shares_are_those_of_medians_of_normal_values() -> None:
    draws = np.random.default_rng(4).standard_normal((200_000, 3))
    for of, share in OF_MEDIAN.items():
        assert np.median(draws[:, :of], axis=1).var() == pytest.approx(share, rel=0.02)
