"""Holding or trimming: every row worked out by hand.

One instance costs 1 USD/h and takes 600 s to serve; the window is an hour, an instance that is
taken away and needed again costs 0.1 h on top of its boot time of 1/6 h: 0.2667 USD.
"""

from __future__ import annotations

import numpy as np
import pytest

from engine.decide.rails.cost import cheapest
from engine.settings import CostSettings
from tests.unit.engine.conftest import make_spec

SPEC = make_spec(price_per_hour=1.0)
SETTINGS = CostSettings(window_s=3600.0, flap_hours=0.1)
LEAD_S = 600.0
AHEAD_S = 60.0 * (np.arange(120) - 1.0)


def need_of(before: float, after: float, from_s: float, until_s: float = np.inf) -> np.ndarray:
    """`before` needed, but `after` from `from_s` to `until_s` from now."""
    return np.where((from_s <= AHEAD_S) & (until_s > AHEAD_S), after, before)


def chosen(need: np.ndarray, current: int = 20, needed: int = 12, **changes: float) -> int:
    settings = SETTINGS.model_copy(update=changes)
    return cheapest(SPEC, current, needed, AHEAD_S, need=need, lead_s=LEAD_S, settings=settings)


@pytest.mark.parametrize(
    ("need", "count"),
    [
        # Never needed again: each instance less saves 1 USD.
        (need_of(12.0, 12.0, 0.0), 12),
        # All 20 again 2400 s from now: each instance less is spared 2400 - 600 = 1800 s = 0.5 USD
        # and costs 0.2667.
        (need_of(12.0, 20.0, 2400.0), 12),
        # 1200 s from now: spared 600 s = 0.1667, less than 0.2667. Hold.
        (need_of(12.0, 20.0, 1200.0), 20),
        # The break-even is 960 s of sparing: at 1560 s holding and trimming cost the same, and the
        # smaller count is taken; a bin earlier it is not.
        (need_of(12.0, 20.0, 1620.0), 12),
        (need_of(12.0, 20.0, 1500.0), 20),
        # 16 again at 1200 s: from 20 to 16 nothing comes back (4 USD saved), the rest is held.
        (need_of(12.0, 16.0, 1200.0), 16),
        # More than there is again at 1200 s: only what is there can be missed.
        (need_of(12.0, 90.0, 1200.0), 20),
        (need_of(12.0, 90.0, 2400.0), 12),
        # Needed already, earlier than an instance could serve: spared nothing.
        (need_of(12.0, 20.0, 300.0), 20),
        # Needed again for ten minutes only: after them it is not taken away a second time.
        (need_of(12.0, 20.0, 1200.0, 1800.0), 20),
        # Needed again after the window and a boot time (4200 s): of no account.
        (need_of(12.0, 20.0, 4260.0), 12),
        (need_of(12.0, 20.0, 4200.0), 12),  # spared 3600 s, costs 0.2667
    ],
)
def test_the_cheapest_count(need: np.ndarray, count: int) -> None:
    assert chosen(need) == count


def test_what_a_flap_is_worth_decides_when_it_is_short() -> None:
    need = need_of(12.0, 20.0, 2400.0)  # spared 0.5 USD, a boot costs 0.1667
    assert chosen(need, flap_hours=0.33) == 12
    assert chosen(need, flap_hours=0.34) == 20


def test_the_window_bounds_what_can_be_saved() -> None:
    need = need_of(12.0, 20.0, 1500.0)
    # A need 1500 s from now lies beyond a window of 800 s and a boot time.
    assert chosen(need, window_s=800.0) == 12
    assert chosen(need, window_s=3600.0) == 20


@pytest.mark.parametrize(
    ("current", "needed", "again", "count"),
    [
        # Candidates between 12 and 20: 12, 14, 16, 18, 20.  15 again from 600 s on, in USD:
        # 12: 12/6 + 15 x 5/6 + 3 x 0.2667 = 15.3; 14: 14/6 + 12.5 + 0.2667 = 15.1; 16: 16.
        (20, 12, 15.0, 14),
        # 16: 16/6 + 17 x 5/6 + 0.2667 = 17.1; 18: 18; 14: 14/6 + 14.17 + 0.8 = 17.3.
        (20, 12, 17.0, 16),
        # 12: 2 + 10.83 + 0.2667 = 13.1; 14: 14.
        (20, 12, 13.0, 12),
        # Between 17 and 20, rounded: 17, 18, 18 (18.5), 19, 20.
        (20, 17, 18.0, 18),
        (20, 17, 19.0, 19),
        (20, 19, 19.0, 19),
    ],
)
def test_five_counts_are_weighed(current: int, needed: int, again: float, count: int) -> None:
    assert chosen(need_of(float(needed), again, 1200.0), current, needed) == count


@pytest.mark.parametrize(("needed", "count"), [(20, 20), (21, 21), (40, 40)])
def test_there_is_nothing_to_weigh_where_as_much_is_needed(needed: int, count: int) -> None:
    assert chosen(need_of(12.0, 12.0, 0.0), needed=needed) == count
