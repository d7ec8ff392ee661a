"""Run by test_wire.py without numba's compiler: an index outside of its array is an IndexError."""

import json
import random
import sys
import warnings

import pyarrow

from engine.ingest.columns import Reader, pairs
from engine.ingest.plain import WireError, WireVersion
from engine.ingest.table import LabelTable

warnings.simplefilter("ignore", RuntimeWarning)  # 64-bit arithmetic wraps, as it is meant to


def main() -> None:
    chance = random.Random(1)
    reader, codec = Reader(bytes(16), 1 << 20), pyarrow.Codec("snappy")
    outcomes = {"read": 0, "refused": 0}
    for version, messages in json.load(sys.stdin).items():
        for message in map(bytes.fromhex, messages):
            spoilt = [message[:end] for end in range(len(message))]
            for _ in range(300):
                other = bytearray(message)
                other[chance.randrange(len(other))] = chance.randrange(256)
                spoilt.append(bytes(other))
            for raw in spoilt:
                try:
                    columns = reader.read(
                        codec.compress(raw, asbytes=True), WireVersion(int(version)), LabelTable(10)
                    )
                    for k in range(len(columns.entries)):
                        pairs(columns.version, columns.written(k))
                    outcomes["read"] += 1
                except WireError:
                    outcomes["refused"] += 1
    print(json.dumps(outcomes))


main()
