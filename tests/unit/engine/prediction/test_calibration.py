from __future__ import annotations

import numpy as np
import pytest

from engine.prediction.calibration import adapted_shifts, conformal_shift, coverage
from engine.prediction.forecaster import LEVELS

AIMS = np.array(LEVELS)


def too_narrow(rng: np.random.Generator, count: int, sd: float) -> tuple[np.ndarray, np.ndarray]:
    """A model that thinks half as wide as it should, and outcomes."""
    normal = np.quantile(rng.standard_normal(100_000), AIMS)
    return np.tile(0.5 * sd * normal, (count, 1)), sd * rng.standard_normal(count)


def test_intervals_that_are_too_narrow_cover_what_they_say_afterwards() -> None:
    rng = np.random.default_rng(1)
    predicted, observed = too_narrow(rng, 3000, 0.1)
    before = coverage(predicted, observed, AIMS)
    assert before[0.8][0] < 0.6
    shift = conformal_shift(predicted[:1500], observed[:1500], AIMS)
    after = coverage(predicted[1500:] + shift, observed[1500:], AIMS)
    for interval, (share, width) in after.items():
        assert share == pytest.approx(interval, abs=0.03)
        assert width > before[interval][1]


def test_few_scores_make_wide_intervals_and_none_change_nothing() -> None:
    rng = np.random.default_rng(2)
    predicted, observed = too_narrow(rng, 2000, 0.1)
    few = conformal_shift(predicted[:8], observed[:8], AIMS)
    outer = (observed[:8].max() - predicted[0, -1], observed[:8].min() - predicted[0, 0])
    assert (few[-1], few[0]) == pytest.approx(outer, abs=0.02)
    nothing = conformal_shift(predicted[:3], np.full(3, np.nan), AIMS)
    assert np.array_equal(nothing, np.zeros(len(AIMS)))


def test_a_world_that_changes_is_followed() -> None:
    rng = np.random.default_rng(3)
    batches, hours = 400, 24
    normal = np.quantile(rng.standard_normal(100_000), AIMS)
    predicted = np.tile(0.1 * normal, (batches, hours, 1))
    sd = np.where(np.arange(batches) < 150, 0.1, 0.2)[:, None]
    observed = sd * rng.standard_normal((batches, hours))
    shifts = adapted_shifts(predicted, observed, AIMS, np.zeros(len(AIMS)))
    late = slice(300, 400)
    fixed = coverage(predicted[late].reshape(-1, len(AIMS)), observed[late].ravel(), AIMS)
    moved = predicted[late] + shifts[late][:, None]
    adapted = coverage(moved.reshape(-1, len(AIMS)), observed[late].ravel(), AIMS)
    assert fixed[0.8][0] < 0.55
    assert adapted[0.8][0] == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("delay", [1, 2])
def test_no_batch_learns_from_itself_or_later_ones(delay: int) -> None:
    rng = np.random.default_rng(4)
    predicted = np.sort(rng.standard_normal((30, 6, len(AIMS))), axis=2)
    observed = rng.standard_normal((30, 6))
    first = np.zeros(len(AIMS))
    before = adapted_shifts(predicted, observed, AIMS, first, delay=delay)
    changed = observed.copy()
    changed[20 - delay + 1 :] = 1e6
    after = adapted_shifts(predicted, changed, AIMS, first, delay=delay)
    assert np.array_equal(before[:21], after[:21])
    assert not np.array_equal(before[21:], after[21:])


def test_an_interval_without_its_quantiles_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no quantile at 0\.25 among 0\.1, 0\.5, 0\.9"):
        coverage(np.zeros((2, 3)), np.zeros(2), np.array([0.1, 0.5, 0.9]))
