"""Bodies of remote write, both versions: as they come, and spoilt before they are compressed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow

from engine.config.strict import validated
from engine.ingest.intake import Intake
from engine.ingest.plain import BombError, WireError, WireVersion
from engine.ingest.receiver import Receiver
from engine.ingest.settings import ReceivedConfig
from tools.fuzz.mutate import spoilt
from tools.fuzz.scratch import NOW_S, of_tests
from tools.fuzz.target import FuzzTarget

BODIES = of_tests("remote_write.py")
AT_MS = round(NOW_S * 1000.0)
CODEC = pyarrow.Codec("snappy")
SERIES = [
    BODIES.series("cpu", [(0.5, AT_MS), (0.6, AT_MS - 5000)], service="api", instance="a-1"),
    BODIES.series("requests_total", [(1e6, AT_MS)], service="database"),
    BODIES.Written(
        [("__name__", "seconds"), ("service", "api")],
        exemplars=[({"trace_id": "abc"}, 0.2, AT_MS)],
        histograms=[
            (BODIES.Histogram(7, positive=[(0, 2)], positive_deltas=[3, 1], zeros=0), AT_MS)
        ],
        created_ms=AT_MS - 60_000,
    ),
]
WHOLE = {
    1: BODIES.message_1(SERIES, [("cpu", 1, "about it", "ratio")]),
    2: BODIES.message_2(SERIES),
}


def _read() -> Callable[[bytes], object]:
    config = validated(
        ReceivedConfig,
        {"figures": {"cpu": {"metric": "cpu"}}, "series": 500, "message_mib": 1.0},
    )
    receiver = Receiver(config, Intake(config, ("api", "database")), key=bytes(range(16)))
    versions = {1: WireVersion.ONE, 2: WireVersion.TWO}

    def read(given: bytes) -> object:
        return receiver.write(given[1:], versions[1 + (given[:1] == b"\x02")], NOW_S)

    return read


def _spoil(rng: np.random.Generator, _: bytes, others: Sequence[bytes]) -> bytes:
    """One byte for the version, and the body: spoilt within, or as compressed."""
    version = int(rng.integers(1, 3))
    if rng.random() < 0.2:
        body = spoilt(rng, others[version - 1][1:], [one[1:] for one in others])
    else:
        raw = spoilt(rng, WHOLE[version], list(WHOLE.values()))
        body = bytes(CODEC.compress(raw, asbytes=True))
    return bytes([version]) + body


TARGET = FuzzTarget(
    "remote_write",
    tuple(
        bytes([version]) + bytes(CODEC.compress(raw, asbytes=True))
        for version, raw in WHOLE.items()
    ),
    _read,
    (WireError, BombError),
    spoil=_spoil,
)
