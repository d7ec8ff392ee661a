"""Bookings in a CSV file that is watched for changes.

    python -m engine serve bookings=csv bookings.options.path=/srv/feeds/bookings.csv

A file that lacks a column of the configuration is refused, with the names of those that it has.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from engine.adapters.blocking import BlockingCalls
from engine.adapters.bookings.feed import Feed, configured
from engine.adapters.bookings.files import FeedError, WatchedFile
from engine.adapters.bookings.known import Listing
from engine.adapters.bookings.rows import BookedEvent, FeedConfig, RowReader, WrongRow
from engine.model import ServiceSpec


class CsvConfig(FeedConfig):
    """Where the file is and how it is written."""

    path: Path
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8-sig"


class CsvSource:
    """`Source` of a file; columns that are not named are dropped as it is read."""

    def __init__(self, config: CsvConfig, reader: RowReader) -> None:
        self._config = config
        self._reader = reader
        self._file = WatchedFile(config.path)
        self._calls = BlockingCalls("bookings")
        self._ends_its_lines = False
        """Whether the last good file ended with a line break, as whoever writes it does then."""

    async def read(self, now_s: float, since_s: float | None = None) -> Listing | None:
        """All rows, whenever they are, or None if the file has not changed; raises OSError."""
        del since_s
        return await self._calls.call(lambda: self._listing(now_s))

    def hints(self) -> bool:
        """Whether the file is another one."""
        return self._file.changed()

    async def close(self) -> None:
        """Nothing is held open."""

    def _listing(self, now_s: float) -> Listing | None:
        there = self._file.content()
        if there is None:
            return None
        content, written_s = there
        try:
            events, wrong = self._parsed(content, now_s)
        except FeedError:
            self._file.again()  # it may have been half written
            raise
        return Listing(events, wrong, written_s)

    def _parsed(self, content: bytes, now_s: float) -> tuple[list[BookedEvent], list[WrongRow]]:
        path = self._config.path
        try:
            text = content.decode(self._config.encoding)
        except (UnicodeDecodeError, LookupError):
            raise FeedError(f"{path} is not written in {self._config.encoding}") from None
        if "\0" in text:
            raise FeedError(f"{path} holds binary data, no CSV")
        if text and self._ends_its_lines and not text.endswith("\n"):
            raise FeedError(f"{path} ends within a line; it may be half written")
        events: list[BookedEvent] = []
        wrong: list[WrongRow] = []
        try:
            for where, row in self._rows(text):
                made = (
                    WrongRow("", where, row) if isinstance(row, str)
                    else self._reader.event(row, where, now_s)
                )  # fmt: skip
                if isinstance(made, BookedEvent):
                    events.append(made)
                else:
                    wrong.append(made)
        except csv.Error as error:
            raise FeedError(f"{path} is no CSV: {error}") from None
        self._ends_its_lines = text.endswith("\n")
        return events, wrong

    def _rows(self, text: str) -> Iterator[tuple[str, Mapping[str, object] | str]]:
        """Where each row is, and the columns of it that are wanted, or why there is none."""
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=self._config.delimiter)
        heading = next(lines, None)
        if heading is None:
            raise FeedError(f"{self._config.path} is empty, without a heading")
        names = [name.strip() for name in heading]
        wanted = self._config.columns.all
        missing = [name for name in wanted if name not in names]
        if missing:
            raise FeedError(
                f"{self._config.path} has no column {', '.join(missing)} "
                f"(bookings.options.columns; there are {', '.join(names)})"
            )
        places = [(name, names.index(name)) for name in wanted]
        for cells in lines:
            if not cells or cells == [""]:
                continue
            where = f"line {lines.line_num}"
            if len(cells) != len(names):
                yield where, f"has {len(cells)} columns, the heading {len(names)}"
            else:
                yield where, {name: cells[at] for name, at in places}


def connect(specs: Sequence[ServiceSpec], begins_s: float, **options: Any) -> Feed:
    """The bookings in a file, as configured; raises ConfigError naming each key that is wrong."""
    del begins_s
    config, model, reader = configured(CsvConfig, specs, options)
    return Feed(CsvSource(config, reader), reader, config, model, specs=specs)
