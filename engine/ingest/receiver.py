"""Remote write, taken in: a body becomes samples, and what was written of it is counted.

The rules of the protocol (prometheus.io/docs/specs/prw/remote_write_spec and …_spec_2_0): a body
that cannot be read as a whole is refused as a whole, and nothing of it is written; in a body that
can be read, everything that may be written is, and if anything may not, the sender is told with a
400 what and why, and how much was written all the same.  He does not send that again: it would be
refused again.

Samples may come twice (a sender that had no answer repeats) and in any order; the figures count
each time of a series once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.ingest import rare
from engine.ingest.columns import Columns, Reader, pairs
from engine.ingest.intake import Intake
from engine.ingest.labels import NAME, LabelError, checked
from engine.ingest.plain import Labels, WireVersion
from engine.ingest.rare import Exemplar, FamilyMetadata, NativeHistogram, RareError
from engine.ingest.settings import ReceivedConfig
from engine.ingest.table import LabelTable
from engine.ingest.wire import EXEMPLAR, HISTOGRAM

WAYS = 4
"""Ways of writing a series that are remembered, on average."""
NO_ROOM = "no room for another series"
TOO_OLD = "a sample that is too old"
TOO_NEW = "a sample of the future"
_MIB = 1024 * 1024
RarePart = tuple[int, NativeHistogram | Exemplar | tuple[str, FamilyMetadata] | None, str]
"""The series of a rare part (-1: none), what it holds, and why it is refused ("": it is not)."""


@dataclass(slots=True)
class WrittenCounts:
    """What was written of a body, and why the rest was not: reasons with how often."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str, count: int = 1) -> None:
        """Count what was refused."""
        if count:
            self.refused[reason] = self.refused.get(reason, 0) + count


class Receiver:
    """Takes bodies in, one at a time.

    `key` are 16 bytes that senders must not know; they decide where in a table a series is, and
    nothing that anybody could see.
    """

    def __init__(self, config: ReceivedConfig, intake: Intake, key: bytes | None = None) -> None:
        self.config = config
        self.intake = intake
        self._reader = Reader(
            os.urandom(16) if key is None else key, int(config.message_mib * _MIB)
        )
        self._tables = {version: LabelTable(WAYS * config.series) for version in WireVersion}

    def write(self, body: bytes, version: WireVersion, now_s: float) -> WrittenCounts:
        """Take a body in that came at `now_s` (epoch s).

        Raises WireError where it cannot be read, and BombError where it is too large.
        """
        table = self._tables[version]
        columns = self._reader.read(body, version, table)
        parts = self._rare_parts(columns)  # before anything is written: one may be broken
        counts = WrittenCounts()
        series = self._series(columns, table, counts)
        self._take(columns, series, now_s, counts)
        self._take_rare(series, parts, now_s, counts)
        for reason, count in counts.refused.items():
            self.intake.refuse(reason, count)
        self.intake.forget_idle(now_s, self._forget)
        return counts

    def _forget(self, gone: NDArray[np.int64]) -> None:
        for table in self._tables.values():
            table.forget(gone)

    def _series(
        self, columns: Columns, table: LabelTable, counts: WrittenCounts
    ) -> NDArray[np.int64]:
        """The number of each series of the message; negative: it is refused."""
        entries = columns.entries
        unseen = np.flatnonzero(entries < 0)
        if not len(unseen):
            return table.series[entries]
        series = table.series[np.maximum(entries, 0)]
        series[unseen] = -1
        numbers: dict[bytes, tuple[int, str]] = {}
        for k in unseen.tolist():
            written = columns.written(k)
            if written not in numbers:
                numbers[written] = self._number(columns, k, written, table)
            number, reason = numbers[written]
            series[k] = number
            counts.refuse(reason, 1 if number < 0 else 0)
        return series

    def _number(
        self, columns: Columns, k: int, written: bytes, table: LabelTable
    ) -> tuple[int, str]:
        try:
            labels = checked(pairs(columns.version, written))
        except LabelError as error:
            return -1, f"a series with {error}"
        number = self.intake.number(labels)
        if number < 0:
            return -1, NO_ROOM
        table.add(written, int(columns.hashes[k]), number)
        return number, ""

    def _take(
        self, columns: Columns, series: NDArray[np.int64], now_s: float, counts: WrittenCounts
    ) -> None:
        if not len(columns.row):
            return
        numbers, at_ms = series[columns.row], columns.at_ms
        oldest_ms, newest_ms = self._span_ms(now_s)
        started_ms: NDArray[np.int64] | None = columns.started_ms
        if columns.version is WireVersion.ONE or not columns.started_ms.any():
            started_ms = None
        value = columns.value
        usable = (numbers >= 0) & (at_ms >= oldest_ms) & (at_ms <= newest_ms)
        if not usable.all():
            counts.refuse(TOO_OLD, int(((numbers >= 0) & (at_ms < oldest_ms)).sum()))
            counts.refuse(TOO_NEW, int(((numbers >= 0) & (at_ms > newest_ms)).sum()))
            numbers, at_ms, value = numbers[usable], at_ms[usable], value[usable]
            started_ms = None if started_ms is None else started_ms[usable]
        else:  # the columns are the reader's, and it will use them again
            at_ms, value = at_ms.copy(), value.copy()
        self.intake.take(numbers, at_ms, value, now_s, started_ms=started_ms)
        counts.samples += len(numbers)

    def _span_ms(self, now_s: float) -> tuple[int, int]:
        config = self.config
        return int((now_s - config.late_s) * 1000.0), int((now_s + config.ahead_s) * 1000.0)

    def _rare_parts(self, columns: Columns) -> list[RarePart]:
        """Series, what it holds or why it is refused; raises WireError."""
        read: list[RarePart] = []
        for kind, row, start, end in columns.rare.tolist():
            part = columns.part(start, end)
            try:
                if kind == HISTOGRAM:
                    read.append((row, rare.histogram_of(part), ""))
                elif kind == EXEMPLAR:
                    read.append((row, rare.exemplar_of(part, columns), ""))
                else:
                    read.append((row, rare.metadata_of(part, columns), ""))
            except RareError as error:
                read.append((row, None, str(error)))
        return read

    def _take_rare(
        self, series: NDArray[np.int64],
        parts: list[RarePart], now_s: float, counts: WrittenCounts,
    ) -> None:  # fmt: skip
        oldest_ms, newest_ms = self._span_ms(now_s)
        for row, part, reason in parts:
            number = int(series[row]) if row >= 0 else -1
            if row >= 0 and number < 0:
                continue  # the series is refused, and has been counted
            if reason:
                counts.refuse(reason)
            elif isinstance(part, NativeHistogram):
                if not oldest_ms <= part.at_ms <= newest_ms:
                    counts.refuse(TOO_OLD if part.at_ms < oldest_ms else TOO_NEW)
                elif self._take_histogram(number, part, now_s):
                    counts.histograms += 1
                else:
                    counts.refuse(NO_ROOM)
            elif isinstance(part, Exemplar):
                self.intake.exemplars.append((number, part))
                counts.exemplars += 1
            elif isinstance(part, tuple):
                name, metadata = part
                labels: Labels = () if row < 0 else self.intake.labels(number)
                self.intake.describe(labels, name, metadata)

    def _take_histogram(self, number: int, histogram: NativeHistogram, now_s: float) -> bool:
        """As the series of a classic one; whether there was room for them."""
        labels = dict(self.intake.labels(number))
        name = labels.pop(NAME)
        values = {(f"{name}_count", ""): histogram.count, (f"{name}_sum", ""): histogram.total}
        if self.intake.watch.wants_buckets(name):
            values |= {
                (f"{name}_bucket", _bound(upper)): count for upper, count in histogram.cumulative
            }
        numbers = [
            self.intake.number(tuple(sorted(
                (*labels.items(), (NAME, metric), *((("le", bound),) if bound else ()))
            )))
            for metric, bound in values
        ]  # fmt: skip
        if min(numbers) < 0:
            return False
        count = len(numbers)
        started_ms = np.full(count, histogram.started_ms) if histogram.started_ms else None
        self.intake.take(
            np.array(numbers, np.int64), np.full(count, histogram.at_ms),
            np.fromiter(values.values(), np.float64, count), now_s, started_ms=started_ms,
        )  # fmt: skip
        return True


def _bound(upper: float) -> str:
    return "+Inf" if upper == float("inf") else repr(upper)
