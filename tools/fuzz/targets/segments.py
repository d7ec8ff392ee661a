"""Segments of samples on the disk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.ingest.segments import SegmentFolder, SpanRows, Tier
from tools.fuzz.scratch import NOW_S, folder
from tools.fuzz.target import FuzzTarget

TIER = Tier("fine", 5_000, 3_600_000, 2.0)


def _made() -> bytes:
    place = folder()
    at_ms = np.arange(4, dtype=np.int64) * 5_000 + round(NOW_S * 1000.0)
    ones = np.ones(4)
    rows = SpanRows(
        (b"a", b"b"), np.array([0, 1, 0, 1], np.int32), at_ms, ones, ones, ones,
        np.ones(4, np.int64),
    )  # fmt: skip
    SegmentFolder(place, TIER).add(rows)
    return next((place / TIER.name).iterdir()).read_bytes()


def _read() -> Callable[[bytes], object]:
    place = folder()
    first_ms = round(NOW_S * 1000.0)
    filed = first_ms // TIER.filed_ms

    def read(given: bytes) -> object:
        segments = SegmentFolder(place, TIER)
        (place / TIER.name / f"{filed}-0-0.parquet").write_bytes(given)
        return segments.between(first_ms, first_ms + 60_000)

    return read


TARGET = FuzzTarget("segments", (_made(),), _read, (OSError,))
