"""Where samples arrive, received or scraped: numbered, set aside for the figures, and kept.

Samples arrive in one thread and are asked for in others, so each short piece of state is behind one
lock; whoever asks is given columns of his own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.ingest.labels import NAME
from engine.ingest.plain import Labels
from engine.ingest.ranges import RangeQuery, SeriesRanges, added_up
from engine.ingest.rare import Exemplar, FamilyMetadata
from engine.ingest.ring import SampleRing
from engine.ingest.segments import SpanRows, summed
from engine.ingest.series import SeriesNumbers
from engine.ingest.settings import SamplesConfig
from engine.ingest.watching import NOWHERE, SeriesWatch

MOST_EXEMPLARS = 1_000
MOST_FAMILIES = 10_000
BATCH = 100_000
"""Samples that are made figures of together."""
BEGUN = 8.0
"""A counter began lately if it did so within so many times `lookback_s`."""

Kept = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""Columns: series or place, time (ms), value."""
Forgetting = Callable[[NDArray[np.int64]], None]


class Intake:
    """All series that come in, for `services`, in their order."""

    def __init__(self, config: SamplesConfig, services: tuple[str, ...]) -> None:
        self.config = config
        self.watch = SeriesWatch(config, services)
        self.came_s = -np.inf
        """When something came last (epoch s)."""
        self.samples = 0
        """That came so far."""
        self.refused: dict[str, int] = {}
        """Samples that were refused so far, by reason."""
        self.exemplars: deque[tuple[int, Exemplar]] = deque(maxlen=MOST_EXEMPLARS)
        self.families: dict[str, FamilyMetadata] = {}
        self.lock = threading.Lock()
        self.pending: deque[Kept] | None = deque() if config.keep is not None else None
        """What is still to be kept on disk, of the series that figures are made of."""
        self._numbers = SeriesNumbers(config.series)
        self._ring = SampleRing(config.ring_s, config.ring_samples)
        self._aside: deque[Kept] = deque()
        self._waiting = 0
        self._newest_ms = np.zeros(1024, np.int64)
        self._forgotten_s = -np.inf

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self._numbers)

    def number(self, labels: Labels) -> int:
        """The number of a series, negative where there is no room for it."""
        with self.lock:
            number, new = self._numbers.number(labels)
            if new:
                self.watch.look(number, labels)
            return number

    def labels(self, number: int) -> Labels:
        """The labels of a series."""
        return self._numbers.labels(number)

    def written(self, number: int) -> bytes:
        """The labels of a series, as `engine.ingest.labels.written` writes them."""
        return self._numbers.written(number)

    def take(
        self,
        series: NDArray[np.int64],
        at_ms: NDArray[np.int64],
        values: NDArray[np.float64],
        now_s: float,
        *,
        started_ms: NDArray[np.int64] | None = None,
    ) -> None:
        """Take samples in, in the order in which they came at `now_s`.

        `started_ms` is when the counter that a sample is of began at 0, 0 if that is not known.
        """
        if not len(series):
            return
        with self.lock:
            self.came_s = now_s
            self.samples += len(series)
            self._numbers.seen(series, now_s)
            self._ring.add(series, at_ms, values, now_s)
            places = self.watch.place_of[series]
            watched = places != NOWHERE
            if not watched.all():
                rows = np.flatnonzero(watched)
                if not len(rows):
                    return
                places, series = places[rows], series[rows]
                at_ms, values = at_ms[rows], values[rows]
                started_ms = None if started_ms is None else started_ms[rows]
            if started_ms is not None:
                places, series, at_ms, values = self._begun(
                    places, series, at_ms, values, started_ms=started_ms, now_s=now_s
                )
            self._aside.append((places, at_ms, values))
            self._waiting += len(places)
            while self._waiting > self.config.ring_samples and len(self._aside) > 1:
                self._waiting -= len(self._aside.popleft()[0])  # nobody asks any more
            if self.pending is not None:
                self.pending.append((series, at_ms, values))

    def fresh(self) -> list[Kept]:
        """Samples of the figures' series that came since the last time, by place, as they came.

        In batches, of which at most the newest is small: what a batch takes stays in the
        processor's cache, and in memory that is there already.
        """
        with self.lock:
            parts = list(self._aside)
            self._aside.clear()
            self._waiting = 0
        batches: list[list[Kept]] = [[]]
        count = 0
        for part in parts:
            batches[-1].append(part)
            count += len(part[0])
            if count >= BATCH:
                batches.append([])
                count = 0
        return [_joined(batch) for batch in batches if batch]

    def between(self, series: NDArray[np.int64], from_ms: int, to_ms: int) -> Kept:
        """What the ring has of some series from one time until before another."""
        with self.lock:
            return self._ring.between(series, from_ms, to_ms)

    def rows_of(
        self, query: RangeQuery, series: NDArray[np.int64], at_ms: NDArray[np.int64],
        values: NDArray[np.float64],
    ) -> SpanRows:  # fmt: skip
        """Samples, as they came, as rows in the steps of `query`, of the series that it wants."""
        inside = (at_ms >= query.from_ms) & (at_ms < query.to_ms)
        used, numbers = np.unique(series[inside], return_inverse=True)
        labels = [self.written(number) for number in used.tolist()]
        wanted = np.array([bool(one) and query.wanted(one) for one in labels], np.bool_)
        chosen = wanted[numbers] if len(labels) else inside[:0]
        return summed(
            labels,
            numbers[chosen],
            at_ms[inside][chosen],
            values[inside][chosen],
            span_ms=query.step_ms,
        )

    def ring(self, query: RangeQuery) -> SeriesRanges:
        """What the ring has of the series that figures are made of."""
        with self.lock:
            numbers = np.flatnonzero(self.watch.place_of != NOWHERE)
            kept = self._ring.between(numbers, query.from_ms, query.to_ms)
        return added_up(query, [self.rows_of(query, *kept)])

    def refuse(self, reason: str, samples: int) -> None:
        """Count samples that were refused."""
        self.refused[reason] = self.refused.get(reason, 0) + samples

    def describe(self, labels: Labels, name: str, metadata: FamilyMetadata) -> None:
        """Remember what a family of metrics is; `name` "": that of the series."""
        family = name or dict(labels).get(NAME, "")
        if family in self.families or len(self.families) < MOST_FAMILIES:
            self.families[family] = metadata

    def forget_idle(self, now_s: float, also: Forgetting) -> None:
        """Once a minute, let go of series that have ended; `also` is told their numbers."""
        if now_s - self._forgotten_s < 60.0:
            return
        self._forgotten_s = now_s
        with self.lock:
            gone = self._numbers.forget(now_s - self.config.idle_s)
            if len(gone):
                self.watch.forget(gone)
        if len(gone):
            also(gone)

    def _begun(
        self, places: NDArray[np.int64], series: NDArray[np.int64], at_ms: NDArray[np.int64],
        values: NDArray[np.float64], *, started_ms: NDArray[np.int64], now_s: float,
    ) -> tuple[NDArray[np.int64], *Kept]:  # fmt: skip
        """With a zero where a counter that has just begun says that it was one."""
        most = int(places.max()) + 1
        if most > len(self._newest_ms):
            grown = np.zeros(2 * most, np.int64)
            grown[: len(self._newest_ms)] = self._newest_ms
            self._newest_ms = grown
        lately_ms = (now_s - BEGUN * self.config.lookback_s) * 1000.0
        begun = np.flatnonzero(
            (started_ms > lately_ms) & (started_ms < at_ms) & (self._newest_ms[places] < started_ms)
        )
        np.maximum.at(self._newest_ms, places, at_ms)
        if not len(begun):
            return places, series, at_ms, values
        _, first = np.unique(places[begun], return_index=True)
        begun = begun[first]
        return (
            np.concatenate((places[begun], places)), np.concatenate((series[begun], series)),
            np.concatenate((started_ms[begun], at_ms)),
            np.concatenate((np.zeros(len(begun)), values)),
        )  # fmt: skip


def _joined(parts: list[Kept]) -> Kept:
    places, at_ms, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    return places, at_ms, values
