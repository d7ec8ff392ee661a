"""Which part of which recorded trace is replayed, and how large: `trace` of the configuration."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from engine.config.strict import Strict
from scenarios.traces.files import COUNTED, FileLayout
from scenarios.traces.moments import ORDERS, UNITS
from scenarios.weddings.config import Share, TimeOfDay, Zone, values_add_up_to_one

COUNTS_FILE = "requests_per_minute.csv.gz"
FIXTURES_FILE = "fixtures.csv"


def _listed(given: object) -> object:
    """A single name is a list of one."""
    return (given,) if isinstance(given, str) and given else given or ()


def _shares(mix: dict[str, float]) -> dict[str, float]:
    """They add up to one, if there are any."""
    return values_add_up_to_one(mix) if mix else mix


OneOrMore = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], BeforeValidator(_listed)
]


def _a_time_format(given: str) -> str:
    if given in ("", *UNITS, *ORDERS, "excel"):
        return given
    if "%" not in given:
        allowed = ", ".join((*UNITS, "excel", *ORDERS))
        raise ValueError(f'"{given}" is not allowed ({allowed}, or a pattern with %Y, %m, %d …)')
    if "%Z" in given:
        raise ValueError(
            f'"{given}": %Z is not read; %z for an offset, or none and trace.time_zone'
        )
    try:
        example = dt.datetime(2024, 5, 17, 13, 30, tzinfo=dt.UTC).strftime(given)
        dt.datetime.strptime(example, given)  # noqa: DTZ007 (only whether it can be read)
    except (ValueError, re.error) as error:
        raise ValueError(f'"{given}" is no pattern of a time ({error})') from None
    return given


class EventConfig(Strict):
    """What an event of the calendar is called, and when it makes a difference."""

    one: str = Field(default="event", min_length=1, max_length=40, description="what one is called")
    many: str = Field(default="events", min_length=1, max_length=40, description="several of them")
    length_min: int = Field(default=120, ge=10, le=2880, description="from its start to its end")
    before_min: int = Field(default=60, ge=0, le=1440, description="felt so long before it starts")
    after_min: int = Field(default=60, ge=0, le=1440, description="felt so long after its end")
    major_size: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="events of this size and more (1: the usual one) get the floor two hours "
        "ahead; null: none, what is expected of them is provided for like any other load",
    )


class TraceFileConfig(Strict):
    """How a trace's file is to be read, where it does not say so itself."""

    column: OneOrMore = Field(
        default=(), description="name of the value's column; several are added up"
    )
    time_column: str = Field(default="", max_length=200, description="name of the time's column")
    series: OneOrMore = Field(
        default=(), description="of a file with several series the one that counts; several: sum"
    )
    separator: str = Field(
        default="", max_length=5, description='between the fields: a character, "tab" or "space"'
    )
    decimal: Literal["", ".", ","] = Field(default="", description="decimal mark of the values")
    time_format: Annotated[str, AfterValidator(_a_time_format)] = Field(
        default="",
        description="how times are written: s, ms, us, ns or excel (days) for numbers, "
        "dmy, mdy or ymd for the order in dates, or a pattern such as %d.%m.%Y %H:%M",
    )
    encoding: str = Field(default="", max_length=40, description="of the text, as utf-8 or cp1252")
    duplicates: Literal["refuse", "first", "sum", "count"] = Field(
        default="refuse",
        description="rows that repeat a time: refuse the file, take the first; or each row is an "
        "event, whose value (sum) or which itself (count) counts in its step",
    )
    time_zone: Zone = Field(
        default="UTC", description="of date and start, of times that name none, of the days' shape"
    )

    @property
    def layout(self) -> FileLayout:
        """How the file is to be read."""
        return FileLayout(
            columns=self.column,
            time_column=self.time_column,
            series=self.series,
            separator=self.separator,
            decimal=self.decimal,
            time_format=self.time_format,
            encoding=self.encoding,
            zone=self.time_zone,
            repeated=self.duplicates if self.duplicates in COUNTED else "",
        )


class TraceConfig(TraceFileConfig):
    """Which part of which trace is replayed, and how large."""

    path: str | None = Field(
        default=None, min_length=1, description="CSV (.gz) of times and values"
    )
    folder: str | None = Field(
        default=None, description=f"folder with {COUNTS_FILE} and {FIXTURES_FILE}, instead of both"
    )
    calendar: str | None = Field(default=None, description="CSV of events known beforehand")
    date: dt.date | None = Field(
        default=None, description="day of the window, ISO date; null: the last whole day"
    )
    start: TimeOfDay = Field(default=0, description='start of the window on that day, "HH:MM"')
    duration_s: int = Field(
        default=86_400, ge=900, le=604_800, multiple_of=60, description="length of the window"
    )
    peak_per_s: float | None = Field(
        default=None, gt=0, le=1e8, description="requests/s of users in the busiest step"
    )
    scale: float | None = Field(
        default=None, gt=0, le=1e9, description="requests/s of users for each unit of the trace"
    )
    mix: Annotated[dict[str, Share], AfterValidator(_shares)] = Field(
        default_factory=dict,
        description="service at which users enter -> share of the requests",
    )
    columns: dict[str, Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=dict,
        description="service at which users enter -> column with its own load, instead of mix",
    )
    history_days: int = Field(
        default=28, ge=1, le=366, description="so much before the window is learned from"
    )
    event: EventConfig = Field(default_factory=EventConfig)

    @model_validator(mode="after")
    def _all_that_is_needed(self) -> Self:
        if self.path is None and self.folder is None:
            raise ValueError(
                "trace.path: is missing; give a CSV file of times and values, or with "
                f"trace.folder=… a folder that holds {COUNTS_FILE} and {FIXTURES_FILE}"
            )
        if bool(self.mix) == bool(self.columns):
            raise ValueError(
                "trace.mix: give either trace.mix (service -> share of one load) or trace.columns "
                "(service -> column with its own load)"
            )
        if self.columns and (self.column or self.calendar_file is not None):
            raise ValueError(
                "trace.columns: each service has its own column, so neither trace.column nor a "
                "calendar is of use; leave it out"
            )
        if (self.peak_per_s is None) == (self.scale is None):
            raise ValueError(
                "trace.peak_per_s: give either trace.peak_per_s (requests/s in the busiest step) "
                "or trace.scale (requests/s for each unit of the trace), the other one null"
            )
        return self

    @property
    def services(self) -> tuple[str, ...]:
        """Services at which users enter."""
        return tuple(self.mix or self.columns)

    def layout_of(self, column: str) -> FileLayout:
        """How the file is to be read for one column of it."""
        return replace(self.layout, columns=(column,))

    @property
    def file(self) -> Path:
        """The trace's file."""
        if self.path is not None:
            return Path(self.path)
        return Path(str(self.folder)) / COUNTS_FILE

    @property
    def calendar_file(self) -> Path | None:
        """The calendar's file; None without one."""
        if self.calendar is not None:
            return Path(self.calendar)
        return Path(self.folder) / FIXTURES_FILE if self.folder is not None else None
