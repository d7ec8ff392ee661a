"""What a listing changes, and which listings are not believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.bookings.known import (
    CalendarChanges,
    KnownEvents,
    Listing,
    TakenListing,
    still_missing,
    take,
)
from engine.adapters.bookings.rows import BookedEvent, FeedConfig, WrongRow
from tests.unit.engine.adapters.bookings.conftest import NOW_S

HOUR_S = 3600.0
CONFIG = FeedConfig.model_validate({"columns": {"id": "id", "starts": "at"}, "model": "a.json"})


def event(name: str, ahead_h: float = 5.0, guests: float = 100.0, **more: Any) -> BookedEvent:
    return BookedEvent(name, NOW_S + ahead_h * HOUR_S, math.nan, (guests,), major=False, **more)


def calendar(*events: BookedEvent) -> KnownEvents:
    return KnownEvents({one.id: one for one in events}, ever=True)


def taken(
    before: KnownEvents, events: Sequence[BookedEvent], after_s: float = 0.0, **more: Any
) -> TakenListing:
    return take(before, Listing(events, **more), NOW_S + after_s, CONFIG)


ONE = event("a")
TEN = [event(f"e{k}") for k in range(10)]


@pytest.mark.parametrize(
    ("listed", "changes", "names"),
    [
        ([ONE, event("b")], CalendarChanges(new=1), {"a", "b"}),
        ([event("a", 6.0)], CalendarChanges(moved=1), {"a"}),
        ([event("a", guests=150.0)], CalendarChanges(updated=1), {"a"}),
        ([replace(ONE, cancelled=True)], CalendarChanges(cancelled=1), set()),
        ([ONE], CalendarChanges(), {"a"}),
        ([ONE, event("old", -30.0)], CalendarChanges(), {"a"}),
        ([ONE, event("off", cancelled=True)], CalendarChanges(), {"a"}),
    ],
)
def test_a_listing_says_what_is_new_moved_updated_and_cancelled(
    listed: list[BookedEvent], changes: CalendarChanges, names: set[str]
) -> None:
    after = taken(calendar(ONE), listed)
    assert after.changes == changes
    assert set(after.calendar.events) == names
    assert after.troubles == ()


def test_what_is_only_missing_is_gone_when_it_has_been_missing_for_a_while() -> None:
    first = taken(calendar(ONE, event("b")), [ONE])
    assert set(first.calendar.events) == {"a", "b"}
    soon = still_missing(first.calendar, NOW_S + CONFIG.vanish_after_s - 1.0, CONFIG)
    assert set(soon.calendar.events) == {"a", "b"}
    later = still_missing(soon.calendar, NOW_S + CONFIG.vanish_after_s, CONFIG)
    assert set(later.calendar.events) == {"a"}
    assert later.changes == CalendarChanges(cancelled=1)
    again = taken(first.calendar, [ONE], CONFIG.vanish_after_s)
    assert set(again.calendar.events) == {"a"}


def test_what_is_there_again_was_never_gone() -> None:
    first = taken(calendar(ONE, event("b")), [ONE])
    back = taken(first.calendar, [ONE, event("b")], 5.0)
    assert back.changes == CalendarChanges()
    assert set(taken(back.calendar, [ONE], 60.0).calendar.events) == {"a", "b"}


@pytest.mark.parametrize("left", [0, 1, 6])
def test_a_listing_that_shrinks_by_most_is_never_believed(left: int) -> None:
    state = calendar(*TEN)
    for k in range(100):
        after = taken(state, TEN[:left], 60.0 * k)
        assert not after.believed
        assert "are missing without being marked" in after.troubles[0]
        state = after.calendar
    assert len(state.events) == 10


def test_a_listing_in_which_all_are_marked_as_cancelled_is_believed() -> None:
    after = taken(calendar(*TEN), [replace(one, cancelled=True) for one in TEN])
    assert after.believed
    assert after.changes == CalendarChanges(cancelled=10)


def test_the_only_event_does_not_go_with_an_empty_listing() -> None:
    assert not taken(calendar(ONE), []).believed
    assert taken(calendar(event("over", -2.0)), []).believed  # nothing that is to come is missing


def test_in_a_listing_that_was_cut_nothing_is_missing() -> None:
    after = taken(calendar(*TEN), TEN[:1], is_whole=False)
    assert after.believed
    assert len(after.calendar.events) == 10
    assert not after.calendar.missing_since


def test_a_wrong_row_leaves_what_was_known_of_it() -> None:
    wrong = [WrongRow("e9", "line 11", "guests: nan is not allowed (0 … 100,000)")]
    after = taken(calendar(*TEN), [*TEN[:8], event("e8", guests=7.0)], wrong=wrong)
    assert after.believed
    assert after.calendar.events["e9"] == TEN[9]
    assert after.changes == CalendarChanges(updated=1)
    assert after.troubles == (
        "rows that are left out: line 11: guests: nan is not allowed (0 … 100,000)",
    )


def test_a_listing_of_which_much_is_wrong_is_not_believed() -> None:
    wrong = [WrongRow("", f"line {k}", "at: is no time") for k in range(3)]
    after = taken(calendar(*TEN), [event("e0", guests=7.0), *TEN[1:]], wrong=wrong)
    assert not after.believed
    assert after.calendar == calendar(*TEN)
    assert after.troubles[-1] == "3 of 13 rows are wrong: the listing is not believed"


def test_of_two_rows_with_one_id_the_newer_counts_whichever_comes_first() -> None:
    old, new = event("a", 6.0, updated_s=10.0), event("a", 7.0, updated_s=20.0)
    for rows in ([old, new], [new, old]):
        after = taken(KnownEvents(), rows)
        assert after.calendar.events["a"] == new
        assert after.troubles == (
            "1 ids come more than once with different words: the newest counts",
        )
    assert taken(KnownEvents(), [old, old]).troubles == ()


def test_a_row_that_comes_late_replaces_no_newer_one() -> None:
    new = event("a", 7.0, updated_s=20.0)
    after = taken(calendar(new), [event("a", 6.0, updated_s=10.0)])
    assert after.calendar.events["a"] == new
    assert after.changes == CalendarChanges()


NAMES = st.sampled_from([f"e{k}" for k in range(8)])
ROWS = st.lists(
    st.builds(
        event, NAMES, st.integers(-40, 40).map(float), st.integers(1, 9).map(float),
        cancelled=st.booleans(), updated_s=st.sampled_from([math.nan, 1.0, 2.0]),
    ),
    max_size=12,
)  # fmt: skip


@given(st.lists(ROWS, max_size=6))
def test_a_listing_twice_changes_nothing_the_second_time(listings: list[list[BookedEvent]]) -> None:
    state = KnownEvents()
    for k, rows in enumerate(listings):
        after = taken(state, rows, 1.0 * k)
        assert not any(one.cancelled for one in after.calendar.events.values())
        again = taken(after.calendar, rows, 1.0 * k)
        assert again.changes == CalendarChanges()
        assert again.calendar.events.keys() == after.calendar.events.keys()
        state = after.calendar
