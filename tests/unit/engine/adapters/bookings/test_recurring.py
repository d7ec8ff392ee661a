"""When events of an iCalendar file take place: rules, exceptions, zones, clocks' changes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from engine.adapters.bookings.recurring import EventError, EventTime, occurrences

ROME = ZoneInfo("Europe/Rome")
BEGIN = dt.datetime(2027, 3, 1, tzinfo=dt.UTC)
"""What is looked at begins here, and lasts for 60 days."""


def listed(*events: str, floating: dt.tzinfo | None = None, zones: str = "") -> list[EventTime]:
    text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n" + zones
    for event in events:
        lines = event.strip().replace("\n", "\r\n")
        text += f"BEGIN:VEVENT\r\nUID:u1\r\n{lines}\r\nEND:VEVENT\r\n"
    calendar = Calendar.from_ical(text + "END:VCALENDAR\r\n")
    begin_s = BEGIN.timestamp()
    return list(occurrences(calendar.walk("VEVENT"), floating, begin_s, begin_s + 60 * 86_400))


def times(*events: str, floating: dt.tzinfo | None = None, zones: str = "") -> list[str]:
    """When it begins, UTC."""
    return [
        dt.datetime.fromtimestamp(one.starts_s, dt.UTC).strftime("%m-%dT%H:%M")
        for one in listed(*events, floating=floating, zones=zones)
    ]


SATURDAYS = """
DTSTART;TZID=Europe/Rome:20270313T160000
DTEND;TZID=Europe/Rome:20270313T220000
RRULE:FREQ=WEEKLY;COUNT=4
"""


def test_a_wedding_at_four_is_at_four_in_summer_and_winter() -> None:
    assert times(SATURDAYS) == ["03-13T15:00", "03-20T15:00", "03-27T15:00", "04-03T14:00"]
    assert {one.ends_s - one.starts_s for one in listed(SATURDAYS)} == {6 * 3600.0}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("EXDATE;TZID=Europe/Rome:20270320T160000", ["03-13T15:00", "03-27T15:00", "04-03T14:00"]),
        ("EXDATE:20270320T150000Z", ["03-13T15:00", "03-27T15:00", "04-03T14:00"]),
        ("EXDATE;VALUE=DATE:20270320", ["03-13T15:00", "03-27T15:00", "04-03T14:00"]),
        ("EXDATE;TZID=Europe/Rome:20270320T170000",
         ["03-13T15:00", "03-20T15:00", "03-27T15:00", "04-03T14:00"]),
        ("RDATE;TZID=Europe/Rome:20270316T100000,20270404T100000",
         ["03-13T15:00", "03-16T09:00", "03-20T15:00", "03-27T15:00", "04-03T14:00",
          "04-04T08:00"]),
    ],
)  # fmt: skip
def test_dates_are_added_and_taken_out(more: str, expected: list[str]) -> None:
    assert times(SATURDAYS + more) == expected


def test_an_occurrence_that_was_moved_takes_the_place_of_its_own() -> None:
    moved = "RECURRENCE-ID;TZID=Europe/Rome:20270320T160000\nDTSTART;TZID=Europe/Rome:20270321T1200"
    moved += "00\nX-GUESTS:300"
    assert times(SATURDAYS, moved) == ["03-13T15:00", "03-21T11:00", "03-27T15:00", "04-03T14:00"]
    ids = [one.id for one in listed(SATURDAYS, moved)]
    assert ids == ["u1/20270313", "u1/20270320", "u1/20270327", "u1/20270403"]
    assert listed(SATURDAYS, moved)[1].event["X-GUESTS"] == "300"


def test_an_occurrence_moved_with_all_later_ones_takes_them_along() -> None:
    later = (
        "RECURRENCE-ID;RANGE=THISANDFUTURE;TZID=Europe/Rome:20270320T160000\n"
        "DTSTART;TZID=Europe/Rome:20270320T180000"
    )
    assert times(SATURDAYS, later) == ["03-13T15:00", "03-20T17:00", "03-27T17:00", "04-03T16:00"]


def test_a_series_moved_by_hours_keeps_the_ids_of_its_days() -> None:
    later = SATURDAYS.replace("T160000", "T170000")
    assert [one.id for one in listed(SATURDAYS)] == [one.id for one in listed(later)]


@pytest.mark.parametrize(
    ("until", "last"),
    [
        ("20270327T150000Z", "03-27T15:00"), ("20270327T145959Z", "03-20T15:00"),
        ("20270327", "03-27T15:00"), ("20270327T160000", "03-27T15:00"),
    ],
)  # fmt: skip
def test_a_rule_ends_with_its_last_day(until: str, last: str) -> None:
    assert times(SATURDAYS.replace("COUNT=4", f"UNTIL={until}"))[-1] == last


def test_a_time_that_the_clocks_leave_out_counts_as_if_they_had_not_been_put_forward() -> None:
    daily = "DTSTART;TZID=Europe/Rome:20270327T023000\nRRULE:FREQ=DAILY;COUNT=3"
    assert times(daily) == ["03-27T01:30", "03-28T01:30", "03-29T00:30"]


def test_a_time_that_comes_twice_is_the_first_of_the_two() -> None:
    once = "DTSTART;TZID=America/New_York:20271107T013000"
    calendar = Calendar.from_ical(
        f"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:u\r\n{once}\r\nEND:VEVENT\r\nEND:VCALENDAR"
    )
    (one,) = occurrences(calendar.walk("VEVENT"), None, 0.0, 4e9)
    assert one.starts_s == dt.datetime(2027, 11, 7, 5, 30, tzinfo=dt.UTC).timestamp()


def test_a_floating_time_is_where_the_configuration_says() -> None:
    floating = "DTSTART:20270320T160000\nRRULE:FREQ=WEEKLY;COUNT=2"
    assert times(floating, floating=ROME) == ["03-20T15:00", "03-27T15:00"]
    with pytest.raises(EventError, match=r"a local time without a zone; bookings\.options"):
        times(floating)


def test_a_zone_that_the_file_describes_itself_is_followed() -> None:
    zone = (
        "BEGIN:VTIMEZONE\r\nTZID:Hall 3\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\n"
        "TZOFFSETFROM:+0530\r\nTZOFFSETTO:+0530\r\nTZNAME:H3\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
    )
    assert times("DTSTART;TZID=Hall 3:20270320T160000", zones=zone) == ["03-20T10:30"]


def test_the_second_saturday_of_each_month_is_found() -> None:
    monthly = "DTSTART:20270213T150000Z\nRRULE:FREQ=MONTHLY;BYDAY=2SA"
    assert times(monthly) == ["03-13T15:00", "04-10T15:00"]


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ("DTSTART;VALUE=DATE:20270320", "DTSTART: is a date without a time"),
        ("DTSTART:20271345T990000Z", "DTSTART: cannot be read"),
        ("SUMMARY:Jane and Joe", "DTSTART: is missing"),
        ("DTSTART:20270320T160000Z\nRRULE:FREQ=SECONDLY", "RRULE: FREQ is not allowed (DAILY, W"),
        ("DTSTART:19000320T160000Z\nRRULE:FREQ=DAILY;BYHOUR=1,2,3", "RRULE: recurs more than"),
        ("DTSTART:20270320T160000Z\nRRULE:FREQ=WEEKLY;BYDAY=XX", "RRULE: "),
    ],
)
def test_an_event_that_cannot_be_read_says_why_and_not_what(event: str, why: str) -> None:
    with pytest.raises(EventError) as error:
        times(event)
    assert str(error.value).startswith(why)
    assert "Jane" not in str(error.value)


def test_only_exceptions_of_a_series_are_events_of_their_own() -> None:
    moved = "RECURRENCE-ID:20270320T160000Z\nDTSTART:20270321T120000Z"
    assert [one.id for one in listed(moved)] == ["u1/20270320"]
