"""Figures as people read them."""

from __future__ import annotations

import pytest

from reports import wording


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "–"), (float("nan"), "–"), (0.0, "0 %"), (1.0, "100 %"), (1.0 - 1e-16, "100 %"),
        (0.00016, "0.016 %"), (0.9999, "99.99 %"), (0.99996184, "99.9962 %"), (0.5, "50 %"),
        (1.25, "125 %"), (3e-9, "under 0.0001 %"), (1.0 - 3e-9, "over 99.9999 %"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_to_none_or_all(share: float | None, said: str) -> None:
    assert wording.percent(share).replace(wording.GAP, " ") == said


@pytest.mark.parametrize(
    ("duration_s", "said"),
    [
        (None, "–"), (0.0, "0 s"), (2.5e-5, "25 µs"), (0.038, "38 ms"), (4.2, "4.2 s"),
        (99.97, "1 min 40 s"), (725.0, "12 min 5 s"), (3599.7, "1 h"), (12_000.0, "3 h 20 min"),
    ],
)  # fmt: skip
def test_durations_have_the_unit_that_suits_them(duration_s: float | None, said: str) -> None:
    assert wording.seconds(duration_s).replace(wording.GAP, " ") == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [(0.0, "$0.00"), (5142.79, "$5,143"), (72.0, "$72.00"), (0.0508, "$0.051"), (-3.2, "−$3.20")],
)
def test_money_keeps_the_digits_that_matter(amount: float, said: str) -> None:
    assert wording.usd(amount) == said
