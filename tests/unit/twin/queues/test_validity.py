"""Where the fluid counts as verified."""

from __future__ import annotations

import numpy as np
import pytest

from twin.queues.validity import outside_share, verified


@pytest.mark.parametrize(
    ("slots", "utilisation", "expected"),
    [
        (50, 0.98, True), (49, 0.98, False), (49, 0.61, False), (10, 0.6, True), (9, 0.6, False),
        (9, 0.3, True), (2, 0.3, True), (2, 0.31, False), (1, 0.1, False), (5000, 1.0, True),
    ],
)  # fmt: skip
def test_the_borders(slots: int, utilisation: float, expected: bool) -> None:
    assert verified(slots, utilisation) is expected


def test_the_share_counts_samples_with_a_load_only() -> None:
    slots = np.array([100.0, 12.0, 12.0, 1.0, 0.0, 12.0])
    busy = np.array([0.9, 0.5, 0.7, 0.0, 0.5, np.nan])
    assert outside_share(slots, busy) == pytest.approx(1 / 3)
    assert outside_share(slots, np.full(6, np.nan)) == 0.0


def test_it_agrees_with_the_rule_for_one_sample() -> None:
    rng = np.random.default_rng(1)
    for slots, busy in zip(rng.integers(1, 80, 500), rng.uniform(0.01, 1.0, 500), strict=True):
        share = outside_share(np.array([float(slots)]), np.array([busy]))
        assert share == float(not verified(slots, busy))
