"""Too few requests are said as soon as chance no longer explains them, and not before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from engine.model import FloatArray
from engine.monitoring.fewer import Fewer, fewer
from engine.monitoring.picture import Picture

SHARE, LEAST_RATE = 0.3, 1.0


def look(
    seen_s: FloatArray, rate: FloatArray, expected: FloatArray, *, spacing_s: float = 5.0,
    elapsed_s: float = 5.0,
) -> Fewer:  # fmt: skip
    of_all = np.ones(len(rate))
    picture = SimpleNamespace(
        fresh=of_all > 0.0, spacing_s=spacing_s * of_all, elapsed_s=elapsed_s,
        column=lambda _: rate,
    )  # fmt: skip
    return fewer(seen_s, cast(Picture, picture), expected, share=SHARE, least_rate=LEAST_RATE)


@pytest.mark.parametrize(
    ("expected", "rate", "looks"),
    [
        # Nats: expected * seconds seen * (1 - q + q ln q) >= 28; 10 s at first, then 10/3 s a look.
        (500.0, 0.0, 1),
        (500.0, 149.0, 1),  # 500 * 10 * 0.34
        (500.0, 150.0, None),  # 0.3 of what is expected
        (2.9, 0.0, 1),  # 2.9 * 10
        (2.7, 0.0, 2),  # 2.7 * 10 < 28 <= 2.7 * 13.3
        (1.0, 0.0, 7),  # 10, 13.3, 16.7, 20, 23.3, 26.7, 30
        (0.9, 0.0, None),  # of so little nothing is said
        (2.0, 0.4, 7),  # q = 0.2: 0.478 a request, 29.3 s
        (4.0, 0.4, 2),  # q = 0.1: 0.670 a request, 10.5 s
        (1.0, 0.25, 19),  # q = 0.25: 0.403 a request, 69.4 s
    ],
)
def test_it_is_seen_for_as_long_as_it_takes(
    expected: float, rate: float, looks: int | None
) -> None:
    seen_s, said = np.zeros(1), []
    for _ in range(20):
        seen_s, by_far = look(seen_s, np.array([rate]), np.array([expected]))
        said.append(bool(by_far[0]))
    before = 20 if looks is None else looks - 1
    assert said == [False] * before + [True] * (20 - before)


def test_what_came_meanwhile_begins_it_anew() -> None:
    few, expected = np.array([0.4]), np.array([2.0])
    seen_s, _ = look(np.zeros(1), few, expected)
    seen_s, _ = look(seen_s, np.array([1.0]), expected)
    assert seen_s == 0.0
    assert look(seen_s, few, expected).seen_s == 10.0


@pytest.mark.parametrize(
    ("spacing_s", "elapsed_s", "seen_s"),
    [(5.0, 6.0, 14.0), (5.0, 3.0, 12.0), (5.0, 240.0, 20.0), (60.0, 6.0, 124.0)],
)
def test_a_look_shows_no_more_than_the_newest_samples(
    spacing_s: float, elapsed_s: float, seen_s: float
) -> None:
    before = np.zeros(1)
    for _ in range(2):
        before, _ = look(
            before, np.array([0.3]), np.array([1.1]), spacing_s=spacing_s, elapsed_s=elapsed_s
        )
    assert before == pytest.approx(seen_s)


@pytest.mark.parametrize("expected", [1.0, 1.8, 6.0, 12.0])
def test_chance_alone_is_never_said(expected: float) -> None:
    services, looks = 200, 2000
    draw = np.random.default_rng(3)
    counts = draw.poisson(5.0 * expected, (looks + 2, services)) / 5.0
    seen_s, few = np.zeros(services), 0
    for k in range(looks):
        rate = np.median(counts[k : k + 3], axis=0)
        few += np.count_nonzero(rate < SHARE * expected)
        seen_s, by_far = look(seen_s, rate, np.full(services, expected))
        assert not by_far.any()
    assert (few > 0) == (expected < 2.0)  # a share alone would have said it
