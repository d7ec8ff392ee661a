"""What the rows of the bookings say of one story, and of feeds that are frozen or shifted."""

from __future__ import annotations

from typing import Any

import pytest

from twin.evidence.measures import bookings
from twin.evidence.measures.bookings import CHANGES, FAULTS, changes


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One source, and few changes and faults."""
    monkeypatch.setattr(bookings, "SOURCES", ("http",))
    monkeypatch.setattr(bookings, "CHANGES", ("new", "moved", "dropped"))
    monkeypatch.setattr(bookings, "FAULTS", ("poisoned", "gone"))


def shares(rows: list[dict[str, Any]], column: str) -> list[int]:
    return [row[column] for row in rows if row[column] is not None]


@pytest.mark.usefixtures("short")
def test_a_feed_that_works_is_followed_and_its_faults_are_told() -> None:
    rows = changes(rows=1, seed=1)
    assert [row["what"] for row in rows] == ["new", "moved", "dropped", "poisoned", "gone"]
    assert shares(rows, "reached") == shares(rows, "follows") == [1, 1, 1]
    assert shares(rows, "told") == [1, 1]
    # What is only missing is gone after 20 s, everything else with the next steps.
    new, moved, dropped = shares(rows, "late_s")
    assert max(new, moved) <= 15.0 < dropped <= 45.0
    assert changes(rows=1, seed=1) == rows


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("broken", [{"frozen": [0]}, {"shifted": [0]}])
def test_a_feed_that_is_frozen_or_shifted_reaches_nothing(broken: dict[str, list[int]]) -> None:
    rows = changes(rows=1, seed=1, **broken)
    assert shares(rows, "reached") == shares(rows, "follows") == [0, 0, 0]
    assert shares(rows, "late_s") == []


def test_each_way_to_change_and_to_fail_is_among_the_rows() -> None:
    assert {"new", "guests", "moved", "cancelled", "dropped"} == set(CHANGES)
    assert {"poisoned", "endless", "never", "half", "gone", "shrunk", "late"} == set(FAULTS)
