"""What a row may say, and what is said of one that cannot be meant."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.adapters.bookings.rows import BookedEvent, FeedConfig, RowReader, WrongRow
from engine.config.strict import ConfigError, validated
from engine.prediction import event_model
from tests.unit.engine.adapters.bookings.conftest import MODEL, NOW_S, at

COLUMNS = {
    "id": "no", "starts": "at", "ends": "until", "zone": "zone", "status": "state", "major": "kind",
    "people": {"guest": "guests"}, "updated": "changed",
}  # fmt: skip
GOOD: dict[str, object] = {"no": "A1", "at": "2027-06-19T16:00:00Z", "guests": "120"}


def reader(**options: Any) -> RowReader:
    given = {"columns": COLUMNS, "model": "a.json", "major": ["luxury"], **options}
    return RowReader(
        validated(FeedConfig, given, "bookings.options"), event_model.of_document(MODEL, ["api"])
    )


def made(row: dict[str, object], **options: Any) -> BookedEvent | WrongRow:
    return reader(**options).event({**GOOD, **row}, "line 7", NOW_S)


def event(row: dict[str, object], **options: Any) -> BookedEvent:
    one = made(row, **options)
    assert isinstance(one, BookedEvent), one
    return one


@pytest.mark.parametrize(
    ("written", "zone", "meant"),
    [
        ("2027-06-19T16:00:00Z", "", at("16:00")),
        ("2027-06-19T16:00:00+02:00", "", at("14:00")),
        ("2027-06-19 16:00", "Europe/Rome", at("14:00")),
        (str(at("16:00")), "", at("16:00")),
        (at("16:00"), "", at("16:00")),
        (dt.datetime(2027, 6, 19, 16, tzinfo=dt.UTC), "Europe/Rome", at("16:00")),
        (dt.datetime.fromisoformat("2027-06-19T16:00"), "Europe/Rome", at("14:00")),
        # The clocks leave out 02:00 to 03:00: it counts as if they had not been put forward yet.
        ("2027-03-28 02:30", "Europe/Rome", dt.datetime(2027, 3, 28, 1, 30, tzinfo=dt.UTC)),
        # It comes twice: the first of the two.
        ("2027-10-31 02:30", "Europe/Rome", dt.datetime(2027, 10, 31, 0, 30, tzinfo=dt.UTC)),
    ],
)
def test_a_time_is_meant_where_it_says(written: object, zone: str, meant: object) -> None:
    meant_s = meant.timestamp() if isinstance(meant, dt.datetime) else meant
    assert event({"at": written, "zone": zone}).starts_s == meant_s


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"no": ""}, "no: is no id (1 to 512 characters)"),
        ({"no": "x" * 513}, "no: is no id (1 to 512 characters)"),
        ({"at": ""}, "at: is missing"),
        ({"at": None}, "at: is missing"),
        ({"at": "soon"}, "at: is no time (2027-06-19T16:00, with an offset, Z or a zone)"),
        ({"at": "2027-06-19"}, "at: is a date without a time"),
        ({"at": "2027-06-19 16:00"}, "at: is a local time, and neither the row nor time_zone says"),
        ({"at": "9999-12-31T23:59Z"}, "at: is not allowed (within 5 years from now)"),
        ({"at": "0001-01-01T00:00+14:00"}, "at: is not allowed (within 5 years from now)"),
        ({"at": "nan"}, "at: is not allowed (within 5 years from now)"),
        ({"at": "1e300"}, "at: is not allowed (within 5 years from now)"),
        ({"zone": "Europe/Nowhere"}, "zone: is no IANA time zone"),
        ({"zone": "../../etc/passwd"}, "zone: is no IANA time zone"),
        ({"guests": "nan"}, "guests: nan is not allowed (0 … 100,000)"),
        ({"guests": "1e9"}, "guests: 1e+09 is not allowed (0 … 100,000)"),
        ({"guests": "-1"}, "guests: -1 is not allowed (0 … 100,000)"),
        ({"guests": "Jane Doe"}, "guests: is no number"),
        ({"guests": [1]}, "guests: is no number"),
        ({"until": "2027-06-19T15:00Z"}, "until: is not allowed (after the beginning, by at most"),
        ({"until": "2027-08-19T15:00Z"}, "until: is not allowed (after the beginning, by at most"),
    ],
)
def test_a_wrong_row_is_named_with_its_place_and_nothing_that_is_in_it(
    row: dict[str, object], why: str
) -> None:
    one = made(row)
    assert isinstance(one, WrongRow)
    assert one.where == "line 7"
    assert one.why.startswith(why)
    assert "Jane" not in one.why


def test_what_a_row_does_not_say_is_as_usual() -> None:
    one = event({"guests": ""})
    assert math.isnan(one.people[0])
    assert math.isnan(one.people[1])
    assert math.isnan(one.ends_s)


@pytest.mark.parametrize(
    ("row", "options", "is_major"),
    [
        ({}, {}, False),
        ({"kind": "Luxury "}, {}, True),
        ({"kind": "large"}, {}, False),
        ({"guests": "129"}, {"major_from": 140}, False),
        ({"guests": "130"}, {"major_from": 140}, True),  # ten vendors are usual
    ],
)
def test_an_event_is_major_by_its_word_or_its_size(
    row: dict[str, object], options: dict[str, Any], *, is_major: bool
) -> None:
    assert event(row, **options).major is is_major


def test_a_column_of_people_that_is_not_there_is_taken_out_with_null() -> None:
    columns = {**COLUMNS, "people": {"guest": "guests", "vendor": None}}
    one = event({}, columns=columns)
    assert one.people[0] == 120.0
    assert math.isnan(one.people[1])
    assert "None" not in str(validated(FeedConfig, {"columns": columns}, "x").columns.all)


def test_the_id_becomes_what_stands_for_it() -> None:
    named = reader()
    named.named = lambda text: f"p({text})"
    assert named.event(GOOD, "line 1", NOW_S).id == "p(A1)"
    assert named.event({**GOOD, "guests": "x"}, "line 1", NOW_S).id == "p(A1)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"time_zone": "Europe/Roma"}, 'time_zone: "Europe/Roma" is not allowed'),
        ({"columns": {"id": "no"}}, "columns.starts: is missing"),
        ({"columns": {**COLUMNS, "gests": "x"}}, "columns.gests: unknown key"),
        ({"columns": {**COLUMNS, "people": {"gest": "x"}}}, "gest: is not allowed (guest, vendor)"),
        ({"poll_s": 0}, "poll_s: 0 is not allowed"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        reader(**options)
    assert said in str(error.value)
    assert str(error.value).startswith("bookings.options.")


VALUES = st.none() | st.text(max_size=30) | st.floats() | st.integers() | st.datetimes()


@given(st.fixed_dictionaries(dict.fromkeys(("no", "at", "until", "zone", "guests"), VALUES)))
def test_no_row_whatever_is_in_it_makes_an_event_that_cannot_be(row: dict[str, object]) -> None:
    one = reader(time_zone="UTC").event(row, "line 1", NOW_S)
    if isinstance(one, BookedEvent):
        assert abs(one.starts_s - NOW_S) <= 5.1 * 366 * 86_400
        assert all(math.isnan(count) or 0 <= count <= 100_000 for count in one.people)
        assert math.isnan(one.ends_s) or one.ends_s > one.starts_s
