"""Samples kept: what the figures are made of goes to disk beside the engine's steps.

A segment of 5 s spans is written every so often, minutes are made of them once an hour can get
nothing late any more, hours of minutes, and what has been kept for long enough is removed.  All of
it happens in one thread of its own: a step never waits for the disk.  A disk that fails is a
trouble of the source, and the samples stay in memory for the next time, as long as there is room.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog

from engine.ingest import labels as label_sets
from engine.ingest.intake import Intake, Kept
from engine.ingest.plain import Labels
from engine.ingest.ranges import RangeQuery, SeriesRanges, added_up, memoised
from engine.ingest.segments import (
    NO_ROWS,
    Sealing,
    SegmentFolder,
    SpanRows,
    Tier,
    coarser,
    summed,
)
from engine.ingest.settings import KeepConfig

FINE_MS, MINUTE_MS, HOUR_MS = 5_000, 60_000, 3_600_000
DAY_MS, YEAR_MS = 24 * HOUR_MS, 366 * 24 * HOUR_MS
OPEN_MS = 10_000
"""Samples so new stay in memory: their span is still filling."""
MOST_PENDING = 20_000_000
"""Samples that wait for a disk that fails; what is beyond is lost, and said to be."""
SHORT_MS = 6 * HOUR_MS
"""A range that is no longer is read in the finest spans that there are."""
LOOK_S = 60.0
"""Between two looks for what is to be made coarser, or removed."""

log = structlog.stdlib.get_logger(__name__)


class SampleKeeper:
    """Keeps the pending samples of an intake in `folder`; raises OSError, SealError."""

    def __init__(
        self, intake: Intake, config: KeepConfig, folder: Path, sealing: Sealing | None = None
    ) -> None:
        self._intake = intake
        self._config = config
        self._fine, self._minutes, self._hours = (
            SegmentFolder(folder, tier, sealing)
            for tier in (
                Tier("fine", FINE_MS, HOUR_MS, config.fine_days),
                Tier("minutes", MINUTE_MS, DAY_MS, config.minutes_days),
                Tier("hours", HOUR_MS, YEAR_MS, config.hours_days),
            )
        )
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="keeping")
        self._working: Future[None] | None = None
        self._wrote_s = math.nan
        self._looked_s = -math.inf
        self.trouble = ""
        """What is the matter with the disk; "": nothing."""

    def due(self, now_s: float) -> None:
        """Begin to write if it is time to, and nothing is being written."""
        if math.isnan(self._wrote_s):
            self._wrote_s = now_s
        if now_s - self._wrote_s < self._config.every_s:
            return
        if self._working is None or self._working.done():
            self._wrote_s = now_s
            self._working = self._worker.submit(self.keep, now_s)

    def keep(self, now_s: float, *, everything: bool = False) -> None:
        """Write what is pending, make coarser what is complete, remove what is old.

        `everything`: also what is of a span that is still filling.
        """
        taken = self._taken()
        try:
            later = self._write(taken, math.inf if everything else now_s * 1000.0 - OPEN_MS)
        except (OSError, ValueError) as error:
            self._put_back(taken)
            self.trouble = f"samples are not kept: {error}"
            log.error(self.trouble)
            return
        self._put_back([later] if len(later[0]) else [])
        try:
            if now_s - self._looked_s >= LOOK_S:
                self._looked_s = now_s
                self._make_coarser(now_s)
                for folder in (self._fine, self._minutes, self._hours):
                    folder.forget(round(now_s * 1000.0))
        except (OSError, ValueError) as error:
            self.trouble = f"kept samples cannot be made coarser or removed: {error}"
            log.error(self.trouble)
        else:
            self.trouble = ""

    def between(
        self, from_ms: int, to_ms: int, wanted: Callable[[Labels], bool] | None = None
    ) -> SpanRows:
        """Rows from one time until before another, of the finest spans that there are of all of it.

        What is not written yet is not among them: the ring has it.
        """
        of_labels = None if wanted is None else lambda raw: wanted(label_sets.read(raw))
        for folder in (self._fine, self._minutes, self._hours):
            filed = folder.filed()
            if filed and min(filed) * folder.tier.filed_ms <= from_ms:
                return folder.between(from_ms, to_ms, of_labels)
        for folder in (self._fine, self._minutes, self._hours):
            rows = folder.between(from_ms, to_ms, of_labels)
            if len(rows):
                return rows
        return NO_ROWS

    async def range(self, query: RangeQuery) -> SeriesRanges:
        """Samples of a range, those too that are not written yet; raises OSError, SealError.

        It is read by the thread that writes, so nothing of it is read twice or in between.
        """
        return await asyncio.wrap_future(self._worker.submit(self._range, query))

    def _range(self, query: RangeQuery) -> SeriesRanges:
        query = replace(query, wanted=memoised(query.wanted))
        tiers = (self._fine, self._minutes, self._hours)
        best = 0
        if query.to_ms - query.from_ms > SHORT_MS:
            best = max(k for k, one in enumerate(tiers) if one.tier.span_ms <= max(
                query.step_ms, tiers[0].tier.span_ms))  # fmt: skip
        parts: list[SpanRows] = []
        # What is older than the best tier reaches is in coarser ones.
        to_ms = query.to_ms
        for k in range(best, len(tiers)):
            filed, begin_ms = tiers[k].filed(), query.from_ms
            if k + 1 < len(tiers):
                oldest_ms = min(filed) * tiers[k].tier.filed_ms if filed else to_ms
                begin_ms = min(max(query.from_ms, oldest_ms), to_ms)
            if begin_ms < to_ms:
                parts += tiers[k].parts(begin_ms, to_ms, query.wanted)
            to_ms = begin_ms
        # What is newer than it reaches yet is in finer ones.
        from_ms = query.from_ms
        for finer in reversed(tiers[:best]):
            newest = max((int(part.time_ms[-1]) for part in parts if len(part)), default=None)
            if newest is not None:
                from_ms = (newest // finer.tier.filed_ms + 1) * finer.tier.filed_ms
            parts += finer.parts(from_ms, query.to_ms, query.wanted)
        return added_up(query, [*parts, self._unwritten(query)])

    def _unwritten(self, query: RangeQuery) -> SpanRows:
        """What is pending, of the series that are asked for."""
        with self._intake.lock:
            pending = list(self._intake.pending or ())
        if not pending:
            return NO_ROWS
        series, at_ms, values = (np.concatenate(column) for column in zip(*pending, strict=True))
        return self._intake.rows_of(query, series, at_ms, values)

    def close(self, now_s: float) -> None:
        """Write what is pending, and end."""
        self._worker.submit(self.keep, now_s, everything=True)
        self._worker.shutdown(wait=True)

    def _taken(self) -> list[Kept]:
        pending = self._intake.pending
        taken: list[Kept] = []
        while pending:
            taken.append(pending.popleft())
        return taken

    def _put_back(self, taken: Sequence[Kept]) -> None:
        pending = self._intake.pending
        assert pending is not None
        room = MOST_PENDING - sum(len(kept[0]) for kept in pending)
        for kept in reversed(taken):
            room -= len(kept[0])
            if room < 0:
                log.error("samples are lost: they could not be written for too long")
                return
            pending.appendleft(kept)

    def _write(self, taken: Sequence[Kept], before_ms: float) -> Kept:
        """Write samples from before a time; returns the others."""
        if not taken:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        series, at_ms, values = (np.concatenate(column) for column in zip(*taken, strict=True))
        now = at_ms < math.floor(min(before_ms, 2.0**62) / FINE_MS) * FINE_MS
        used, numbers = np.unique(series[now], return_inverse=True)
        labels = [self._intake.written(number) for number in used.tolist()]
        there = np.array([bool(one) for one in labels], np.bool_)[numbers] if labels else now[:0]
        self._fine.add(
            summed(labels, numbers[there], at_ms[now][there], values[now][there], span_ms=FINE_MS)
        )
        return series[~now], at_ms[~now], values[~now]

    def _make_coarser(self, now_s: float) -> None:
        late_ms = self._intake.config.late_s * 1000.0 + self._config.every_s * 2000.0
        for finer, folder in ((self._fine, self._minutes), (self._minutes, self._hours)):
            filed_ms, done_ms = finer.tier.filed_ms, now_s * 1000.0 - late_ms
            late_ms += filed_ms
            for filed in sorted(finer.filed()):
                if (filed + 1) * filed_ms > done_ms:
                    break
                rows = coarser(finer.rows_of(filed), folder.tier.span_ms)
                if len(rows) and not _has(folder, rows):
                    folder.add(rows)


def _has(folder: SegmentFolder, rows: SpanRows) -> bool:
    """Whether the folder has rows of that time already."""
    return len(folder.between(int(rows.time_ms[0]), int(rows.time_ms[-1]) + 1)) > 0
