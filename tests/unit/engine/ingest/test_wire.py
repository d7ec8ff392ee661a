"""Bodies as columns: the compiled walk against plain Python, and against whoever means harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.ingest import hashing, plain
from engine.ingest.columns import Columns, Reader, pairs
from engine.ingest.plain import BombError, WireError, WireVersion
from engine.ingest.table import LabelTable
from tests.remote_write import (
    Histogram,
    Written,
    message_1,
    message_2,
    part,
    sample,
    series,
    snappy,
    varint,
    whole,
)

ROOT = Path(__file__).parents[4]
KEY = bytes(range(16))
MESSAGES = {WireVersion.ONE: message_1, WireVersion.TWO: message_2}
NOW_MS = 1_781_870_400_000

Seen = list[tuple[list[tuple[bytes, bytes]], list[tuple[float, int, int]]]]


def read(raw: bytes, version: WireVersion, table: LabelTable | None = None) -> Columns:
    reader = Reader(KEY, 1 << 20)
    return reader.read(snappy(raw), version, table or LabelTable(1000))


def compiled(raw: bytes, version: WireVersion) -> Seen | str:
    """Labels and samples of each series, or why there are none."""
    try:
        columns = read(raw, version)
        labels = [pairs(version, columns.written(k)) for k in range(len(columns.entries))]
    except WireError as error:
        return str(error)
    samples: list[list[tuple[float, int, int]]] = [[] for _ in labels]
    for k, row in enumerate(columns.row.tolist()):
        samples[row].append(
            (float(columns.value[k]), int(columns.at_ms[k]), int(columns.started_ms[k]))
        )
    return list(zip(labels, samples, strict=True))


def in_plain(raw: bytes, version: WireVersion) -> Seen | str:
    try:
        read_it = plain.read_1 if version is WireVersion.ONE else plain.read_2
        return [
            (one.labels, [(v, at, start or one.created_ms) for v, at, start in one.samples])
            for one in read_it(raw)
        ]
    except WireError as error:
        return str(error)


def alike(a: Seen | str, b: Seen | str) -> bool:
    """NaN is NaN; which of two faults is met first may differ."""
    return repr(a) == repr(b) or (isinstance(a, str) and isinstance(b, str))


texts = st.text(max_size=20)
samples = st.tuples(st.floats(), st.integers(-(2**63), 2**63 - 1))
written = st.builds(
    Written,
    labels=st.lists(st.tuples(texts, texts), max_size=5),
    samples=st.lists(samples, max_size=4),
    exemplars=st.lists(
        st.tuples(st.dictionaries(texts, texts, max_size=2), st.floats(), st.just(NOW_MS)),
        max_size=2,
    ),
    created_ms=st.integers(0, 2**40),
    started_ms=st.integers(0, 2**40),
)
messages = st.lists(written, max_size=6)


@pytest.mark.parametrize("version", WireVersion)
@given(given_series=messages)
def test_what_is_written_is_read(version: WireVersion, given_series: Sequence[Written]) -> None:
    raw = MESSAGES[version](given_series)
    rows = compiled(raw, version)
    assert alike(rows, in_plain(raw, version))
    assert [pairs for pairs, _ in rows] == [
        [(name.encode(), value.encode()) for name, value in one.labels] for one in given_series
    ]


@pytest.mark.parametrize("version", WireVersion)
@settings(max_examples=200)
@given(given_series=messages, draw=st.data())
def test_spoilt_messages_are_read_as_in_plain_python_or_not_at_all(
    version: WireVersion, given_series: Sequence[Written], draw: st.DataObject
) -> None:
    raw = bytearray(MESSAGES[version](given_series))
    for _ in range(draw.draw(st.integers(1, 4))):
        if raw:
            raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    end = draw.draw(st.integers(0, len(raw)))
    for spoilt in (bytes(raw), bytes(raw[:end])):
        assert alike(compiled(spoilt, version), in_plain(spoilt, version))


def test_no_index_is_ever_outside() -> None:
    """The same code, not compiled, so that NumPy checks each index; each cut, many spoilt bytes."""
    script = ROOT / "tests" / "unit" / "engine" / "ingest" / "walk_uncompiled.py"
    ended = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        input=json.dumps(
            {
                str(int(version)): [message([rich(k)]).hex() for k in range(2)]
                for version, message in MESSAGES.items()
            }
        ),
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    outcomes = json.loads(ended.stdout)
    assert outcomes["read"] > 50 and outcomes["refused"] > 500


def rich(k: int) -> Written:
    """A series with everything that one may have."""
    return Written(
        [("__name__", f"m{k}"), ("job", "a" * 9)], [(1.5, NOW_MS), (-2.5, NOW_MS - 1)],
        [({"trace": "x"}, 1.0, NOW_MS)],
        [(Histogram(3, positive=[(0, 2)], positive_deltas=[1, 1]), NOW_MS)],
        metadata=(1, "help", "unit"), created_ms=NOW_MS - 9, started_ms=k,
    )  # fmt: skip


def test_the_hash_is_siphash_as_python_itself_has_it() -> None:
    given_bytes = [bytes(range(size)) for size in (0, 1, 7, 8, 9, 15, 16, 63, 64, 200)]
    if sys.hash_info.algorithm != "siphash13":
        pytest.skip(f"this Python hashes with {sys.hash_info.algorithm}")
    ended = subprocess.run(
        [sys.executable, "-c", f"print([hash(b) for b in {given_bytes!r}])"],
        env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = np.zeros(2, np.uint64)
    ours = [
        plain.signed(hashing.siphash(np.frombuffer(b + b"x", np.uint8).copy(), 0, len(b), key))
        for b in given_bytes
    ]
    theirs = json.loads(ended.stdout)
    assert ours[1:] == theirs[1:]  # Python has 0 for what is empty


def test_another_key_is_another_hash() -> None:
    b = np.frombuffer(b"__name__up", np.uint8).copy()
    keys = [np.array([k, 0], np.uint64) for k in range(100)]
    assert len({int(hashing.siphash(b, 0, len(b), key)) for key in keys}) == 100


@pytest.mark.parametrize("version", WireVersion)
def test_a_series_that_is_remembered_is_known_again_by_its_bytes(version: WireVersion) -> None:
    table = LabelTable(1000)
    raw = MESSAGES[version]([series(f"m{k}", [(1.0, NOW_MS)], job="x") for k in range(300)])
    columns = read(raw, version, table)
    assert (columns.entries == -1).all()
    for k in range(300):
        table.add(columns.written(k), int(columns.hashes[k]), 7 * k)
    again = read(raw, version, table)
    assert table.series[again.entries].tolist() == [7 * k for k in range(300)]
    table.forget(np.array([7 * k for k in range(0, 300, 2)]))
    after = read(raw, version, table)
    assert (after.entries[::2] == -1).all()
    assert table.series[after.entries[1::2]].tolist() == [7 * k for k in range(1, 300, 2)]


POOL = [
    series("up"), series("up", job="x"), series("up", job="x", zone="a"), series("up", zone="a"),
    series("down"), series("down", job="x" * 40), series("down", job="x" * 40 + "y"),
]  # fmt: skip
"""Labels of which some begin as others do."""


def written_1(one: Written, way: int) -> bytes:
    """A series of 1.0 with its sample behind its labels, before them, or in between."""
    labels = [
        part(1, part(1, name.encode()) + part(2, value.encode())) for name, value in one.labels
    ]
    at = (len(labels), 0, 1)[way]
    body = b"".join(labels[:at]) + part(2, sample(1.0, NOW_MS)) + b"".join(labels[at:])
    return part(1, body)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, len(POOL) - 1), st.integers(0, 2)), max_size=12),
        min_size=1, max_size=8,
    ),
    st.integers(0, 7),
)  # fmt: skip
def test_a_series_is_the_same_in_whatever_order_messages_have_them(
    messages: list[list[tuple[int, int]]], forgotten_at: int
) -> None:
    table, walked = LabelTable(1000), dict[bytes, int]()
    for turn, order in enumerate(messages):
        if turn == forgotten_at:
            table.forget(np.array([0, 3]))
            walked = {raw: which for raw, which in walked.items() if which not in (0, 3)}
        raw = b"".join(written_1(POOL[which], way) for which, way in order)
        for _ in range(2):
            columns = read(raw, WireVersion.ONE, table)
            for k, (which, _) in enumerate(order):
                labels = columns.written(k)
                assert pairs(WireVersion.ONE, labels) == [
                    (name.encode(), value.encode()) for name, value in POOL[which].labels
                ]
                entry = int(columns.entries[k])
                assert (-1 if entry < 0 else int(table.series[entry])) == walked.get(labels, -1)
            for k, (which, _) in enumerate(order):
                if columns.written(k) not in walked:
                    walked[columns.written(k)] = which
                    table.add(columns.written(k), int(columns.hashes[k]), which)


@pytest.mark.parametrize("version", WireVersion)
def test_two_series_of_one_hash_are_two_series(version: WireVersion) -> None:
    table = LabelTable(1000)
    raw = MESSAGES[version]([series("one"), series("two")])
    columns = read(raw, version, table)
    # What an attacker who knew the key would do: another series' bytes under this one's hash.
    table.add(columns.written(1), int(columns.hashes[0]), 1)
    assert read(raw, version, table).entries[0] == -1
    table.add(columns.written(0), int(columns.hashes[0]), 0)
    assert table.series[read(raw, version, table).entries[0]] == 0


def test_labels_that_do_not_lie_together_are_put_together() -> None:
    def label(name: str, value: str) -> bytes:
        return part(1, part(1, name.encode()) + part(2, value.encode()))

    apart = part(
        1, part(2, sample(1.0, 5)) + label("__name__", "up") + part(2, sample(2.0, 6))
        + label("job", "x"),
    )  # fmt: skip
    together = message_1([Written([("__name__", "up"), ("job", "x")], [(1.0, 5), (2.0, 6)])])
    assert compiled(apart, WireVersion.ONE) == compiled(together, WireVersion.ONE)
    table = LabelTable(10)
    columns = read(apart, WireVersion.ONE, table)
    table.add(columns.written(0), int(columns.hashes[0]), 3)
    assert table.series[read(together, WireVersion.ONE, table).entries].tolist() == [3]


def test_references_may_be_unpacked_and_symbols_come_last() -> None:
    packed = message_2([series("up", [(1.0, 5)], job="x")])
    symbols = b"".join(part(4, text) for text in (b"", b"__name__", b"up", b"job", b"x"))
    refs = b"".join(whole(1, ref) for ref in (1, 2, 3, 4))
    assert compiled(part(5, refs + part(2, sample(1.0, 5))) + symbols, WireVersion.TWO) == compiled(
        packed, WireVersion.TWO
    )


@pytest.mark.parametrize(
    ("raw", "version", "why"),
    [
        (message_1([series("up", [(1.0, 5)])]), WireVersion.TWO, plain.OTHER),
        (message_2([series("up", [(1.0, 5)])]), WireVersion.ONE, plain.OTHER),
        (part(5, part(1, varint(1) + varint(2))) + part(4, b""), WireVersion.TWO, plain.NO_SYMBOL),
        (part(5, part(1, varint(2**40) * 2)) + part(4, b""), WireVersion.TWO, plain.NO_SYMBOL),
        (part(5, part(1, varint(0))) + part(4, b""), WireVersion.TWO, plain.ODD_LABELS),
        (b"\x0b" * 40, WireVersion.ONE, plain.BROKEN),  # a group in a group in a group
        (b"\x0b" * 40, WireVersion.TWO, plain.BROKEN),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", WireVersion.ONE, plain.BROKEN),
        (b"\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", WireVersion.TWO, plain.BROKEN),
        (b"\x80" * 11, WireVersion.ONE, plain.BROKEN),
        (b"\x00\x01", WireVersion.ONE, plain.BROKEN),  # there is no field 0
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_reason(
    raw: bytes, version: WireVersion, why: str
) -> None:
    assert compiled(raw, version) == why == in_plain(raw, version)


def test_nested_messages_are_skipped_however_deep_they_are() -> None:
    nested = b"deep"
    for _ in range(2000):
        nested = part(15, nested)
    raw = nested + message_1([series("up", [(1.0, 5)])])
    rows = compiled(raw, WireVersion.ONE)
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", WireError),
        (b"\xff" * 30, WireError),
        (b"plain text", WireError),
        (varint(100) + b"\x00a", WireError),  # says more than there is
        (varint(3) + b"\x00a", WireError),
        (varint(2**31), BombError),
        (varint(2**63) + b"\x00a", BombError),
        (snappy(bytes((1 << 20) + 1)), BombError),
    ],
)
def test_what_does_not_decompress_within_its_limit_is_refused(
    body: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Reader(KEY, 1 << 20).read(body, WireVersion.ONE, LabelTable(10))


def test_a_message_of_more_than_there_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.ingest.columns.MOST_ROWS", 10)
    many = message_1([Written([("__name__", "up")], [(1.0, k) for k in range(11)])])
    with pytest.raises(WireError, match="more than a request may"):
        read(many, WireVersion.ONE)
    with pytest.raises(WireError, match="more than a request may"):
        read(message_2([series(f"m{k}") for k in range(11)]), WireVersion.TWO)
