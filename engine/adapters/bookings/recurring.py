"""When an event of an iCalendar file takes place (RFC 5545): rules, dates, exceptions, moved ones.

`icalendar` reads the file, `dateutil` the rules; here is what holds them together.  A rule is
followed on the clocks of the place where the event begins, so that a wedding at four is at four in
summer and winter; a time that the clocks leave out counts as if they had not been put forward yet,
one that comes twice is the first of the two.

Each occurrence has an id of its own that stays the same when the series is moved by some hours: the
series' and the day for which it was meant.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dateutil.rrule import rrule, rrulestr
from icalendar.cal import Component

FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
MOST = 50_000
"""Occurrences of a series up to the end of what is looked at."""


class EventError(ValueError):
    """Why an event cannot be read; the message repeats nothing that is in it."""


@dataclass(frozen=True, slots=True)
class EventTime:
    """One time at which something takes place, by the words of `event`."""

    id: str
    starts_s: float
    ends_s: float
    event: Component


@dataclass(frozen=True, slots=True)
class _Moved:
    """An occurrence that has words of its own; `later` as well where it says so."""

    meant: dt.datetime
    event: Component
    later: bool


def occurrences(
    series: Sequence[Component], floating: dt.tzinfo | None, from_s: float, until_s: float
) -> Iterator[EventTime]:
    """What of a series (all events of one UID) begins in a span (epoch seconds).

    `floating` is the zone of times that have none.  Raises EventError.
    """
    bases = [event for event in series if "RECURRENCE-ID" not in event]
    if not bases:  # only exceptions of a series that is not in the file
        for event in series:
            start = _moment(event, "DTSTART", floating)
            yield _occurrence(event, start, _meant(event, start.tzinfo, floating), floating)
        return
    # A file that has a series twice is an older and a newer one.
    base = max(bases, key=_sequence)
    start = _moment(base, "DTSTART", floating)
    if not any(name in base for name in ("RRULE", "RDATE")):
        yield _occurrence(base, start, None, floating)
        return
    zone = start.tzinfo
    moved = sorted(
        (
            _Moved(_meant(event, zone, floating), event, _is_range(event))
            for event in series if "RECURRENCE-ID" in event
        ),
        key=lambda one: one.meant,
    )  # fmt: skip
    own = {one.meant: one for one in moved}
    seen: dict[dt.date, int] = {}
    for meant in _dates(base, start, floating, until_s):
        place = own.get(meant)
        later = [one for one in moved if one.later and one.meant <= meant]
        number = seen.get(meant.date(), 0)
        seen[meant.date()] = number + 1
        if place is not None:
            begins, event = _moment(place.event, "DTSTART", floating), place.event
        elif later:
            event = later[-1].event
            shift = _local(_moment(event, "DTSTART", floating), zone) - later[-1].meant
            begins = (meant + shift).replace(tzinfo=zone)
        else:
            begins, event = meant.replace(tzinfo=zone), base
        if from_s <= begins.timestamp() < until_s:
            yield _occurrence(event, begins, meant, floating, number=number)


def _occurrence(
    event: Component,
    starts: dt.datetime,
    meant: dt.datetime | None,
    floating: dt.tzinfo | None,
    *,
    number: int = 0,
) -> EventTime:
    length_s = _length_s(event, floating)
    name = str(event.get("UID", "")).strip()
    if not name:
        raise EventError("UID: is missing")
    if meant is not None:
        name += f"/{meant:%Y%m%d}" + (f"/{number}" if number else "")
    starts_s = starts.timestamp()
    return EventTime(name, starts_s, starts_s + length_s if length_s else float("nan"), event)


def _dates(
    base: Component, start: dt.datetime, floating: dt.tzinfo | None, until_s: float
) -> list[dt.datetime]:
    """When it is meant to be, on the clocks of its place, in order, up to `until_s`."""
    zone = start.tzinfo
    first = start.replace(tzinfo=None)
    # Of what is meant, a day more: it may have been moved into the span.
    last = dt.datetime.fromtimestamp(until_s, zone).replace(tzinfo=None) + dt.timedelta(days=1)
    times = {first}
    for rule in _listed(base, "RRULE"):
        times.update(_of_rule(rule, first, zone, last))
    for lot in _listed(base, "RDATE"):
        times.update(_local(_with_time(one.dt, floating), zone) for one in lot.dts)
    for lot in _listed(base, "EXDATE"):
        for one in lot.dts:
            if isinstance(one.dt, dt.datetime):
                times.discard(_local(_with_time(one.dt, floating), zone))
            else:
                times -= {meant for meant in times if meant.date() == one.dt}
    return sorted(meant for meant in times if meant <= last)


def _of_rule(
    rule: Mapping[str, Any], first: dt.datetime, zone: dt.tzinfo | None, last: dt.datetime
) -> list[dt.datetime]:
    often = str(next(iter(rule.get("FREQ", ())), "")).upper()
    if often not in FREQUENCIES:
        raise EventError(f"RRULE: FREQ is not allowed ({', '.join(FREQUENCIES)})")
    until = next(iter(rule.get("UNTIL", ())), None)
    parts = ";".join(
        f"{key}={','.join(_part(value) for value in values)}"
        for key, values in rule.items() if key != "UNTIL"
    )  # fmt: skip
    try:
        made = rrulestr(parts, dtstart=first)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EventError("RRULE: is no rule that can be followed") from None
    if not isinstance(made, rrule):
        raise EventError("RRULE: is no rule that can be followed")
    if until is not None:
        end = until if isinstance(until, dt.datetime) else dt.datetime.combine(until, dt.time.max)
        last = min(last, _local(end if end.tzinfo else end.replace(tzinfo=zone), zone))
    dates = list(
        itertools.islice(itertools.takewhile(lambda meant: meant <= last, iter(made)), MOST + 1)
    )
    if len(dates) > MOST:
        raise EventError(f"RRULE: recurs more than {MOST:,} times")
    return dates


def _part(value: object) -> str:
    to_ical = getattr(value, "to_ical", None)
    if to_ical is not None:
        raw = to_ical()
        return raw.decode() if isinstance(raw, bytes) else str(raw)
    return str(value)


def _moment(event: Component, name: str, floating: dt.tzinfo | None) -> dt.datetime:
    """A time of the event, with its zone; raises EventError."""
    for broken, _ in getattr(event, "errors", ()):
        if broken in (name, "RRULE", "RECURRENCE-ID"):
            raise EventError(f"{broken}: cannot be read")
    given = event.get(name)
    if given is None:
        raise EventError(f"{name}: is missing")
    return _with_time(getattr(given, "dt", None), floating, name)


def _with_time(given: object, floating: dt.tzinfo | None, name: str = "RDATE") -> dt.datetime:
    if isinstance(given, tuple):  # a period: it begins then
        given = given[0]
    if not isinstance(given, dt.datetime):
        if isinstance(given, dt.date):
            raise EventError(f"{name}: is a date without a time")
        raise EventError(f"{name}: cannot be read")
    if given.tzinfo is None:
        if floating is None:
            raise EventError(
                f"{name}: is a local time without a zone; bookings.options.time_zone says where"
            )
        return given.replace(tzinfo=floating)
    return given


def _local(moment: dt.datetime, zone: dt.tzinfo | None) -> dt.datetime:
    """What the clocks of the zone say, without it."""
    return moment.astimezone(zone).replace(tzinfo=None)


def _meant(event: Component, zone: dt.tzinfo | None, floating: dt.tzinfo | None) -> dt.datetime:
    """The occurrence whose place an event takes, on the clocks of the series."""
    return _local(_moment(event, "RECURRENCE-ID", floating), zone)


def _is_range(event: Component) -> bool:
    return str(event["RECURRENCE-ID"].params.get("RANGE", "")).upper() == "THISANDFUTURE"


def _length_s(event: Component, floating: dt.tzinfo | None) -> float:
    if "DTEND" in event:
        begin = _moment(event, "DTSTART", floating)
        return _moment(event, "DTEND", floating).timestamp() - begin.timestamp()
    length = getattr(event.get("DURATION"), "dt", None)
    return length.total_seconds() if isinstance(length, dt.timedelta) else 0.0


def _listed(event: Component, name: str) -> list[Any]:
    """The values of a property that may be there several times."""
    given = event.get(name)
    if given is None:
        return []
    return given if isinstance(given, list) else [given]


def _sequence(event: Component) -> int:
    try:
        return int(event.get("SEQUENCE", 0))
    except (TypeError, ValueError):
        return 0
