"""How many instances there were at the time of a sample."""

from __future__ import annotations

import pytest

from engine.decide.ready_then import Counts, noted, ready_then

COUNTS: Counts = ((100.0, 10), (200.0, 20), (300.0, 5))


@pytest.mark.parametrize(
    ("counts", "time_s", "ready"),
    [
        (COUNTS, 99.0, 10),  # before all that is remembered: as many as first
        (COUNTS, 100.0, 10),
        (COUNTS, 199.9, 10),
        (COUNTS, 200.0, 20),
        (COUNTS, 300.0, 5),
        (COUNTS, 999.0, 5),
        ((), 100.0, 7),  # nothing is remembered: as many as now
    ],
)
def test_a_sample_has_the_count_of_its_own_time(counts: Counts, time_s: float, ready: int) -> None:
    assert ready_then(counts, time_s, 7) == ready


@pytest.mark.parametrize(
    ("counts", "ready", "now_s", "after"),
    [
        ((), 4, 50.0, ((50.0, 4),)),
        (((290.0, 8), (300.0, 5)), 5, 350.0, ((290.0, 8), (300.0, 5))),
        (((290.0, 8), (300.0, 5)), 6, 350.0, ((290.0, 8), (300.0, 5), (350.0, 6))),
        # What was ready 100 s ago is still needed, what was before is not.
        (COUNTS, 5, 300.0, ((200.0, 20), (300.0, 5))),
        (COUNTS, 5, 399.0, ((200.0, 20), (300.0, 5))),
        (COUNTS, 5, 400.0, ((300.0, 5),)),
        (COUNTS, 6, 1000.0, ((300.0, 5), (1000.0, 6))),
        # A clock that was set back: what seems to lie ahead was before.
        (COUNTS, 20, 250.0, ((100.0, 10), (200.0, 20))),
        (COUNTS, 5, 250.0, ((100.0, 10), (200.0, 20), (250.0, 5))),
        (COUNTS, 8, 50.0, ((50.0, 8),)),
        (((100.0, 10), (140.0, 20), (300.0, 5)), 20, 250.0, ((140.0, 20),)),
    ],
)
def test_only_changes_are_noted_and_old_ones_forgotten(
    counts: Counts, ready: int, now_s: float, after: Counts
) -> None:
    kept = noted(counts, ready, now_s, 100.0)
    assert kept == after


def test_what_has_not_changed_is_not_made_anew() -> None:
    assert noted(COUNTS, 5, 301.0, 1000.0) is COUNTS
    assert noted(COUNTS, 5, 300.0, 1000.0) is COUNTS
