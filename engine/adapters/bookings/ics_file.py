"""Bookings in an iCalendar file that is watched for changes.

    python -m engine serve bookings=ics bookings.options.path=/srv/feeds/weddings.ics

A column is a property of the events: `people: {guest: X-GUESTS}`.  Of one that is there several
times, such as ATTENDEE, it is how many of them have not declined.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field

from engine.adapters.blocking import BlockingCalls
from engine.adapters.bookings.feed import Feed, configured
from engine.adapters.bookings.files import FeedError, WatchedFile
from engine.adapters.bookings.known import Listing
from engine.adapters.bookings.rows import (
    BookedEvent,
    Column,
    ColumnsConfig,
    FeedConfig,
    RowReader,
    WrongRow,
)
from engine.config.strict import ConfigError
from engine.model import ServiceSpec

try:
    from icalendar import Calendar
    from icalendar.cal import Component
except ImportError:
    raise ConfigError(
        "bookings: icalendar is missing; install it: pip install 'wedtwin[ics]'"
    ) from None

from engine.adapters.bookings.recurring import EventError, occurrences

DAY_S = 86_400.0
REACH_S = 7.0 * DAY_S
"""Occurrences are worked out so far behind the outlook, for when the file cannot be read."""
EVERY_S = 3600.0
"""They are worked out anew after so long, as time goes on."""


class IcsColumns(ColumnsConfig):
    """The properties that say what; those of the standard by themselves."""

    id: Column = "UID"
    starts: Column | tuple[Column, ...] = "DTSTART"
    ends: Column | None = "DTEND"
    status: Column | None = "STATUS"
    updated: Column | None = "LAST-MODIFIED"


class IcsConfig(FeedConfig):
    """Where the file is."""

    path: Path
    columns: IcsColumns = Field(default_factory=IcsColumns)


class IcsSource:
    """`Source` of a file."""

    def __init__(self, config: IcsConfig, reader: RowReader) -> None:
        self._config = config
        self._reader = reader
        self._file = WatchedFile(config.path)
        self._calls = BlockingCalls("bookings")
        self._calendars: list[Component] = []
        self._written_s = 0.0
        self._worked_out_s = -math.inf

    async def read(self, now_s: float, since_s: float | None = None) -> Listing | None:
        """All that takes place soon, or None if that has not changed; raises OSError."""
        from_s = now_s - 2.0 * DAY_S if since_s is None else since_s
        return await self._calls.call(lambda: self._listing(now_s, from_s))

    def hints(self) -> bool:
        """Whether the file is another one."""
        return self._file.changed()

    async def close(self) -> None:
        """Nothing is held open."""

    def _listing(self, now_s: float, from_s: float) -> Listing | None:
        there = self._file.content()
        if there is not None:
            content, self._written_s = there
            try:
                self._calendars = self._parsed(content)
            except FeedError:
                self._file.again()  # it may have been half written
                raise
        elif abs(now_s - self._worked_out_s) < EVERY_S:
            return None
        self._worked_out_s = now_s
        events: list[BookedEvent] = []
        wrong: list[WrongRow] = []
        for made in self._rows(now_s, from_s):
            if isinstance(made, BookedEvent):
                events.append(made)
            else:
                wrong.append(made)
        return Listing(events, wrong, self._written_s)

    def _parsed(self, content: bytes) -> list[Component]:
        path = self._config.path
        # A calendar that was cut does not end.
        if content.upper().count(b"BEGIN:VCALENDAR") != content.upper().count(b"END:VCALENDAR"):
            raise FeedError(f"{path} does not end; it may be half written")
        try:
            calendars = Calendar.from_ical(content, multiple=True)
        except (
            ValueError, IndexError, KeyError, RecursionError, TypeError, AttributeError,
            ArithmeticError, OSError,
        ):  # fmt: skip
            raise FeedError(f"{path} is no iCalendar file") from None
        if not calendars:
            raise FeedError(f"{path} holds no calendar")
        return list(calendars)

    def _rows(self, now_s: float, from_s: float) -> Iterator[BookedEvent | WrongRow]:
        until_s = now_s + self._config.ahead_s + REACH_S
        for calendar in self._calendars:
            is_off = str(calendar.get("METHOD", "")).upper() == "CANCEL"
            floating = self._floating(calendar)
            series: dict[str, list[Component]] = {}
            for event in calendar.walk("VEVENT"):
                series.setdefault(str(event.get("UID", "")), []).append(event)
            for number, group in enumerate(series.values(), 1):
                where = f"event {number}"
                try:
                    for one in occurrences(group, floating, from_s, until_s):
                        yield self._reader.event(
                            self._row(one.event, one.id, one.starts_s, one.ends_s, is_off=is_off),
                            where, now_s,
                        )  # fmt: skip
                except EventError as error:
                    yield WrongRow("", where, str(error))
                except (
                    ValueError, ArithmeticError, TypeError, AttributeError, KeyError, OSError,
                ):  # fmt: skip
                    yield WrongRow("", where, "has times that cannot be worked out")

    def _floating(self, calendar: Component) -> dt.tzinfo | None:
        """The zone of times without one: the configuration's, or what the calendar says."""
        name = self._config.time_zone or str(calendar.get("X-WR-TIMEZONE", ""))
        try:
            return ZoneInfo(name) if name else None
        except (KeyError, ValueError, OSError):
            return None

    def _row(
        self, event: Component, name: str, starts_s: float, ends_s: float, *, is_off: bool
    ) -> Mapping[str, object]:
        columns = self._config.columns
        row: dict[str, object] = {
            column: _said(event, column) for column in columns.all if column in event
        }
        starts = columns.starts if isinstance(columns.starts, str) else columns.starts[0]
        row[columns.id], row[starts] = name, starts_s
        if columns.ends is not None:
            row[columns.ends] = "" if math.isnan(ends_s) else ends_s
        if is_off and columns.status is not None:
            row[columns.status] = next(iter(self._config.cancelled), "")
        return row


def _said(event: Component, name: str) -> object:
    """A property as a row has it."""
    given = event.get(name)
    if isinstance(given, list) or name.upper() == "ATTENDEE":
        each = given if isinstance(given, list) else [given]
        stays = [getattr(one, "params", {}).get("PARTSTAT", "") for one in each]
        return float(sum(str(word).upper() != "DECLINED" for word in stays))
    moment = getattr(given, "dt", None)
    return moment if isinstance(moment, dt.datetime) else str(given)


def connect(specs: Sequence[ServiceSpec], begins_s: float, **options: Any) -> Feed:
    """The bookings in a file, as configured; raises ConfigError naming each key that is wrong."""
    del begins_s
    config, model, reader = configured(IcsConfig, specs, options)
    if config.columns.starts not in ("DTSTART", ("DTSTART",)):
        raise ConfigError("bookings.options.columns.starts: is not allowed (DTSTART)")
    return Feed(IcsSource(config, reader), reader, config, model, specs=specs)
