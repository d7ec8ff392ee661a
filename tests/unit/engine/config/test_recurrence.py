"""Cron expressions in time zones, also where clocks are changed."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.recurrence import Occurrence, Recurrence
from engine.config.strict import ConfigError, validated

HOUR_S = 3600.0
ROME = "Europe/Rome"


def recurring(cron: str, zone: str = ROME, duration_s: float = HOUR_S) -> Recurrence:
    return Recurrence(cron=cron, time_zone=zone, duration_s=duration_s)


def utc_s(day: str) -> float:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC).timestamp()


def shown(times_s: tuple[float, ...]) -> list[str]:
    return [f"{dt.datetime.fromtimestamp(time_s, dt.UTC):%m-%d %H:%M}" for time_s in times_s]


SPRING, AUTUMN = "2026-03-28T22:00", "2026-10-24T22:00"
"""Rome leaves out 02:00 to 03:00 on 29 March, and has it twice on 25 October."""


@pytest.mark.parametrize(
    ("cron", "after", "begins"),
    [
        # At the same local time before and after: at another one of UTC.
        ("0 8 * * *", SPRING, ["03-29 06:00", "03-30 06:00"]),
        ("0 8 * * *", AUTUMN, ["10-25 07:00", "10-26 07:00"]),
        ("0 8 * * MON-FRI", "2026-11-27T10:00", ["11-30 07:00", "12-01 07:00"]),
        # In the hour that is left out: when it is over, once.
        ("30 2 * * *", SPRING, ["03-29 01:00", "03-30 00:30"]),
        ("0,30 2 * * *", SPRING, ["03-29 01:00", "03-30 00:00", "03-30 00:30"]),
        # In the hour that comes twice: the first time.
        ("30 2 * * *", AUTUMN, ["10-25 00:30", "10-26 01:30"]),
        # Every hour, whatever it is called.
        ("0 * * * *", AUTUMN, ["10-24 23:00", "10-25 00:00", "10-25 01:00", "10-25 02:00"]),
        ("0 * * * *", SPRING, ["03-28 23:00", "03-29 00:00", "03-29 01:00", "03-29 02:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["02-28 23:00"]),
    ],
)
def test_it_begins_when_the_clocks_there_say_so(cron: str, after: str, begins: list[str]) -> None:
    assert shown(recurring(cron).after(utc_s(after), len(begins))) == begins


@pytest.mark.parametrize("zone", [ROME, "America/New_York", "Asia/Kathmandu", "UTC"])
@pytest.mark.parametrize("cron", ["30 2 * * *", "45 1 * * *", "15 */2 * * *", "*/20 * * * *"])
def test_what_is_asked_for_from_any_moment_on_is_the_same(cron: str, zone: str) -> None:
    recurrence = recurring(cron, zone)
    for start in (SPRING, AUTUMN, "2026-04-04T10:00", "2026-10-31T22:00"):
        start_s = utc_s(start)
        every = recurrence.after(start_s, 400)
        assert all(one < next_one for one, next_one in pairwise(every))
        for minutes in range(0, 36 * 60, 7):
            now_s = start_s + 60.0 * minutes
            if now_s < every[-1]:
                assert recurrence.after(now_s, 1) == (min(t for t in every if t > now_s),)


@given(
    cron=st.sampled_from(["30 2 * * *", "0 8 * * MON-FRI", "*/30 * * * *", "0 23 * * *"]),
    hours=st.sampled_from([0.25, 1.0, 9.0, 30.0]),
    second=st.integers(0, 6 * 86_400),
    start=st.sampled_from([SPRING, AUTUMN]),
)
def test_it_holds_for_as_long_as_it_says_after_each_beginning(
    cron: str, hours: float, second: int, start: str
) -> None:
    recurrence = recurring(cron, duration_s=hours * HOUR_S)
    now_s = utc_s(start) + second
    begins = recurrence.after(now_s - 4 * 86_400, 400)
    assert begins[-1] > now_s
    holds = [t for t in begins if t <= now_s < t + hours * HOUR_S]
    occurrence = recurrence.at(now_s)
    assert (occurrence is not None) == bool(holds)
    if occurrence is not None:
        assert occurrence.begin_s <= holds[0]
        assert occurrence.end_s >= holds[-1] + hours * HOUR_S


def test_ten_hours_are_ten_hours_also_over_a_change_of_the_clocks() -> None:
    (occurrence,) = recurring("0 20 * * SAT", duration_s=10 * HOUR_S).occurrences(
        utc_s(SPRING), utc_s(SPRING) + HOUR_S
    )
    assert occurrence.end_s - occurrence.begin_s == 10 * HOUR_S
    zone = ZoneInfo(ROME)
    ends = [dt.datetime.fromtimestamp(at_s, zone).hour for at_s in occurrence]
    assert ends == [20, 7]


def test_what_overlaps_is_one_span_and_ends_are_exact() -> None:
    begin_s = utc_s("2026-06-01T00:00")
    hourly = recurring("0 * * * *", "UTC", 1.5 * HOUR_S)
    assert hourly.occurrences(begin_s, begin_s + 3 * HOUR_S) == (
        Occurrence(begin_s - HOUR_S, begin_s + 3.5 * HOUR_S),
    )
    daily = recurring("0 6 * * *", "UTC", 2 * HOUR_S)
    at_s = begin_s + 6 * HOUR_S
    assert daily.at(at_s - 0.001) is None
    assert (
        daily.at(at_s) == daily.at(at_s + 2 * HOUR_S - 0.001) == Occurrence(at_s, at_s + 2 * HOUR_S)
    )
    assert daily.at(at_s + 2 * HOUR_S) is None


def test_over_midnight_of_utc_it_goes_on() -> None:
    night = recurring("0 22 * * *", "UTC", 6 * HOUR_S)
    begin_s = utc_s("2026-06-01T22:00")
    for hours in (0.0, 1.9, 2.0, 2.1, 5.9):
        assert night.at(begin_s + hours * HOUR_S) == Occurrence(begin_s, begin_s + 6 * HOUR_S)


def test_times_are_shown_as_the_clocks_there_say_them() -> None:
    recurrence = recurring("0 8 * * *")
    assert recurrence.local(utc_s("2026-11-30T07:00")) == "Mon 2026-11-30 08:00 CET"
    assert str(recurrence) == '"0 8 * * *" Europe/Rome, for 1 h'


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("cron", "0 8 * *", 'at.cron: "0 8 * *" is not allowed (five fields: minute hour'),
        ("cron", "0 0 8 * * *", "five fields"),
        ("cron", "@daily", "five fields"),
        ("cron", "", "at.cron"),
        ("cron", "61 8 * * *", "bad minute"),
        ("cron", "0 24 * * *", "bad hour"),
        ("cron", "0 8 0 * *", "bad day-of-month"),
        ("cron", "0 8 * 13 *", "bad month"),
        ("cron", "0 8 * * FRX", "bad day-of-week"),
        ("cron", "0 8 * * 5-1", "bad day-of-week"),
        ("cron", "*/0 8 * * *", "bad minute"),
        ("cron", "0 8 30 2 *", "at.cron"),
        ("cron", "0 8 */20 * 1L", "there is no such day"),
        ("cron", 8, "at.cron: 8 is not allowed (text)"),
        ("time_zone", "Europe/Rom", 'at.time_zone: "Europe/Rom" is not allowed'),
        ("time_zone", "Europe/Rom", "did you mean Europe/Rome"),
        ("time_zone", "../../etc/passwd", "an IANA time zone"),
        ("time_zone", "Europe", "an IANA time zone"),
        ("time_zone", "", "an IANA time zone"),
        ("time_zone", "CEST+2", "an IANA time zone"),
        ("duration_s", 0, "at.duration_s: 0 is not allowed (more than 0 … 604,800)"),
        ("duration_s", 604_801, "at.duration_s"),
        ("every", 3, "at.every: unknown key"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(key: str, value: object, said: str) -> None:
    good = {"cron": "0 8 * * *", "time_zone": ROME, "duration_s": 60}
    with pytest.raises(ConfigError) as caught:
        validated(Recurrence, {**good, key: value}, "at")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
