"""A row of somebody's bookings becomes an event, or a complaint that says where and why.

Only the columns that the configuration names are looked at, and the id becomes a pseudonym here, so
that nothing behind this border knows whose event it is.  A complaint therefore never repeats what
was in a row: it names the place, the column and what is allowed.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, field_validator

from engine.config.complaints import close
from engine.config.load import Reference
from engine.config.strict import ConfigError, Strict
from engine.prediction.event_model import EventModel

YEAR_S = 365.25 * 86_400.0
FARTHEST_S = 5.0 * YEAR_S
"""No event is booked for a time that is further away, before or after."""
LONGEST_S = 14.0 * 86_400.0
MOST_PEOPLE = 100_000.0
"""Of one role at one event."""
LONGEST_ID = 512

Column = Annotated[str, Field(min_length=1, max_length=200)]
Named = Callable[[str], str]
"""What gives the pseudonym of an id."""


class ColumnsConfig(Strict):
    """Which columns say what; no other is read."""

    id: Column
    starts: Column | Annotated[tuple[Column, ...], Field(min_length=1, max_length=3)]
    """One column, or several (a date and a time of day) that are joined by a blank."""
    ends: Column | None = None
    zone: Column | None = None
    """An IANA time zone, of times that are local."""
    people: dict[str, Column | None] = Field(default_factory=dict)
    """By role of the model: how many of them come; null: as usual."""
    status: Column | None = None
    major: Column | None = None
    updated: Column | None = None
    """When the row was last changed: an older one never replaces a newer one."""

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that is read."""
        starts = (self.starts,) if isinstance(self.starts, str) else self.starts
        others = (self.ends, self.zone, self.status, self.major, self.updated)
        perhaps = [one for one in (*self.people.values(), *others) if one]
        return tuple(dict.fromkeys((self.id, *starts, *perhaps)))


class FeedConfig(Strict):
    """What all sources have in common."""

    columns: ColumnsConfig
    time_zone: str | None = None
    """Of local times whose row has no zone; null: such a row is wrong."""
    cancelled: tuple[str, ...] = ("cancelled", "canceled")
    """What the status says of an event that is off, in any case of letters."""
    major: tuple[str, ...] = ("true", "yes", "1", "major")
    """What the column of `major` says of an event that gets the proactive floor."""
    major_from: Annotated[float, Field(gt=0.0)] | None = None
    """An event with so many people is major, whatever the column says."""
    model: Annotated[str, Field(min_length=1)] | None = None
    """A file of `python -m engine learn`; null: what `usual` says."""
    usual: Reference | None = None
    """Makes the model where there is no file."""
    poll_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 10.0
    """The source is asked so often, and at once when it hints that something has changed."""
    ahead_s: Annotated[float, Field(ge=14_400.0, le=1_209_600.0)] = 172_800.0
    """How far the outlook looks."""
    max_age_s: Annotated[float, Field(ge=60.0)] | None = 86_400.0
    """A listing that was made longer ago is a trouble; null: never."""
    wrong_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """A listing of which more than this share is wrong is not believed."""
    vanished_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.25
    """Nor one in which more than this share of what is to come is missing without a word."""
    vanish_after_s: Annotated[float, Field(ge=0.0, le=3600.0)] = 20.0
    """What is missing counts as cancelled when it has been missing for so long."""

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str | None) -> str | None:
        if name is not None and _zone(name) is None:
            raise ValueError(
                f'"{name}" is not allowed (an IANA time zone, such as Europe/Rome)'
                f"{close(name, sorted(available_timezones()))}"
            )
        return name


@dataclass(frozen=True, slots=True)
class BookedEvent:
    """One event as a row has it; `id` is a pseudonym.

    `ends_s` and `updated_s` are NaN where the row does not say; so are `people` (roles,).
    """

    id: str
    starts_s: float
    ends_s: float
    people: tuple[float, ...]
    major: bool
    cancelled: bool = False
    updated_s: float = math.nan

    def same(self, other: BookedEvent) -> bool:
        """Whether both say the same; NaN is itself."""
        return repr(self._said()) == repr(other._said())

    def _said(self) -> tuple[object, ...]:
        return self.starts_s, self.ends_s, self.people, self.major, self.cancelled


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row that cannot be meant: the pseudonym, if it has an id, the place and the reason."""

    id: str
    where: str
    why: str


class _Wrong(ValueError):
    """Why a row is wrong."""


class RowReader:
    """Makes events of rows; raises ConfigError for roles that the model does not know."""

    def __init__(self, config: FeedConfig, model: EventModel) -> None:
        unknown = [role for role in config.columns.people if role not in model.roles]
        if unknown:
            raise ConfigError(
                f"bookings.options.columns.people.{unknown[0]}: is not allowed "
                f"({', '.join(model.roles)}){close(unknown[0], list(model.roles))}"
            )
        columns = config.columns
        self._columns = columns
        self._starts = (columns.starts,) if isinstance(columns.starts, str) else columns.starts
        self._people = tuple(columns.people.get(role) for role in model.roles)
        self._cancelled = frozenset(word.strip().lower() for word in config.cancelled)
        self._major = frozenset(word.strip().lower() for word in config.major)
        self._major_from = math.inf if config.major_from is None else config.major_from
        self._zone = config.time_zone
        self._usual = model.usual
        self.named: Named = lambda text: text
        """Gives pseudonyms."""

    def event(self, row: Mapping[str, object], where: str, now_s: float) -> BookedEvent | WrongRow:
        """The event of a row that is at `where`, read at `now_s` (epoch seconds)."""
        name = ""
        try:
            name = self._id(row)
            zone = self._zone_of(row)
            starts_s = self._starts_s(row, zone, now_s)
            ends_s = self._ends_s(row, zone, starts_s, now_s)
            people = tuple([self._count(row, column) for column in self._people])
        except _Wrong as error:
            return WrongRow(name, where, str(error))
        coming = math.fsum(
            usual if math.isnan(count) else count
            for count, usual in zip(people, self._usual, strict=True)
        )
        return BookedEvent(
            id=name,
            starts_s=starts_s,
            ends_s=ends_s,
            people=people,
            major=self._says(row, self._columns.major, self._major) or coming >= self._major_from,
            cancelled=self._says(row, self._columns.status, self._cancelled),
            updated_s=self._updated_s(row, zone),
        )

    def _id(self, row: Mapping[str, object]) -> str:
        given = row.get(self._columns.id)
        text = "" if given is None else str(given).strip()
        if not 0 < len(text) <= LONGEST_ID:
            raise _Wrong(f"{self._columns.id}: is no id (1 to {LONGEST_ID} characters)")
        try:
            return self.named(text)
        except UnicodeEncodeError:  # half of a character, as JSON may have it
            raise _Wrong(f"{self._columns.id}: is no text") from None

    def _zone_of(self, row: Mapping[str, object]) -> dt.tzinfo | None:
        name = row.get(self._columns.zone) if self._columns.zone else None
        if name is None or name == "":
            return _zone(self._zone) if self._zone else None
        zone = _zone(str(name).strip())
        if zone is None:
            raise _Wrong(f"{self._columns.zone}: is no IANA time zone")
        return zone

    def _starts_s(self, row: Mapping[str, object], zone: dt.tzinfo | None, now_s: float) -> float:
        column = " and ".join(self._starts)
        given: object = row.get(self._starts[0])
        if len(self._starts) > 1:
            given = " ".join(str(row.get(one) or "").strip() for one in self._starts)
        return _time_s(given, zone, column, now_s)

    def _ends_s(
        self, row: Mapping[str, object], zone: dt.tzinfo | None, starts_s: float, now_s: float
    ) -> float:
        given = row.get(self._columns.ends) if self._columns.ends else None
        if given is None or given == "":
            return math.nan
        ends_s = _time_s(given, zone, str(self._columns.ends), now_s)
        if not starts_s < ends_s <= starts_s + LONGEST_S:
            raise _Wrong(
                f"{self._columns.ends}: is not allowed (after the beginning, by at most "
                f"{LONGEST_S / 86_400.0:.0f} days)"
            )
        return ends_s

    def _count(self, row: Mapping[str, object], column: str | None) -> float:
        given = row.get(column) if column else None
        if given is None or given == "":
            return math.nan
        try:
            count = float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            raise _Wrong(f"{column}: is no number") from None
        if not 0.0 <= count <= MOST_PEOPLE:
            raise _Wrong(f"{column}: {count:g} is not allowed (0 … {MOST_PEOPLE:,.0f})")
        return count

    def _updated_s(self, row: Mapping[str, object], zone: dt.tzinfo | None) -> float:
        given = row.get(self._columns.updated) if self._columns.updated else None
        try:
            return _seconds(given, zone or dt.UTC)
        except _Wrong:
            return math.nan

    @staticmethod
    def _says(row: Mapping[str, object], column: str | None, words: frozenset[str]) -> bool:
        return column is not None and str(row.get(column) or "").strip().lower() in words


def _time_s(given: object, zone: dt.tzinfo | None, column: str, now_s: float) -> float:
    """A time (epoch seconds) that an event can have; raises _Wrong naming the column."""
    try:
        time_s = _seconds(given, zone)
    except _Wrong as error:
        raise _Wrong(f"{column}: {error}") from None
    if not abs(time_s - now_s) <= FARTHEST_S:
        raise _Wrong(f"{column}: is not allowed (within {FARTHEST_S / YEAR_S:.0f} years from now)")
    return time_s


def _seconds(given: object, zone: dt.tzinfo | None) -> float:
    """Epoch seconds of a number of them, of a `datetime`, or of a text as in ISO 8601.

    A local time that the clocks leave out is counted as if they had not been put forward yet, one
    that comes twice is the first of the two (as RFC 5545 says).
    """
    if isinstance(given, bool) or given is None or given == "":
        raise _Wrong("is missing")
    if isinstance(given, int | float):
        try:
            return float(given)
        except OverflowError:
            raise _Wrong("is no time that clocks have") from None
    if not isinstance(given, dt.datetime):
        if isinstance(given, dt.date):
            raise _Wrong("is a date without a time")
        text = str(given).strip()
        try:
            return float(text)
        except ValueError:
            pass
        try:
            given = dt.datetime.fromisoformat(text)
        except ValueError:
            raise _Wrong("is no time (2027-06-19T16:00, with an offset, Z or a zone)") from None
        if len(text) <= len("2027-06-19"):
            raise _Wrong("is a date without a time")
    if given.tzinfo is None:
        if zone is None:
            raise _Wrong("is a local time, and neither the row nor time_zone says where")
        given = given.replace(tzinfo=zone)
    try:
        return given.timestamp()
    except (OverflowError, ValueError):
        raise _Wrong("is no time that clocks have") from None


def made_at_s(given: object) -> float | None:
    """Epoch seconds of a time that a source says of itself; None if it is none."""
    try:
        return _seconds(given, dt.UTC)
    except _Wrong:
        return None


@lru_cache(maxsize=1024)
def _zone(name: str) -> dt.tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
