"""Bodies of remote write, encoded by hand, so that nothing that reads them has a part in it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
ONE = {"content-encoding": "snappy", "content-type": "application/x-protobuf",
       "x-prometheus-remote-write-version": "0.1.0"}  # fmt: skip
TWO = {"content-encoding": "snappy",
       "content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
       "x-prometheus-remote-write-version": "2.0.0"}  # fmt: skip


def snappy(raw: bytes) -> bytes:
    """The block format of snappy."""
    return bytes(pyarrow.Codec("snappy").compress(raw, asbytes=True))


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def zigzag(number: int) -> bytes:
    return varint(number << 1 ^ number >> 63)


def part(field_number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(field_number << 3 | 2) + varint(len(content)) + content


def whole(field_number: int, number: int) -> bytes:
    """A varint field."""
    return varint(field_number << 3) + varint(number)


def double(field_number: int, value: float) -> bytes:
    return varint(field_number << 3 | 1) + struct.pack("<d", value)


@dataclass(frozen=True)
class Histogram:
    """A native histogram: spans are (offset, length), deltas those of counts."""

    count: int
    total: float = 1.0
    schema: int = 0
    zeros: int = 0
    positive: Sequence[tuple[int, int]] = ()
    positive_deltas: Sequence[int] = ()
    negative: Sequence[tuple[int, int]] = ()
    negative_deltas: Sequence[int] = ()
    bounds: Sequence[float] = ()
    at_ms: int = 0

    def encoded(self, at_ms: int) -> bytes:
        def spans(number: int, given: Sequence[tuple[int, int]]) -> bytes:
            return b"".join(
                part(number, b"\x08" + zigzag(offset) + whole(2, length))
                for offset, length in given
            )

        return b"".join(
            (
                whole(1, self.count), double(3, self.total),
                b"\x20" + zigzag(self.schema), double(5, 0.001), whole(6, self.zeros),
                spans(8, self.negative), part(9, b"".join(map(zigzag, self.negative_deltas))),
                spans(11, self.positive), part(12, b"".join(map(zigzag, self.positive_deltas))),
                whole(15, self.at_ms or at_ms),
                part(16, b"".join(struct.pack("<d", bound) for bound in self.bounds)),
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Written:
    """One series of a body: samples are (value, time in ms)."""

    labels: Sequence[tuple[str, str]]
    samples: Sequence[tuple[float, int]] = ()
    exemplars: Sequence[tuple[Mapping[str, str], float, int]] = ()
    histograms: Sequence[tuple[Histogram, int]] = ()
    metadata: tuple[int, str, str] | None = None
    created_ms: int = 0
    started_ms: int = 0


def series(name: str, samples: Sequence[tuple[float, int]] = (), **labels: str) -> Written:
    """A series with the labels in the order that the protocol asks for."""
    return Written(sorted({"__name__": name, **labels}.items()), samples)


def sample(value: float, at_ms: int, started_ms: int = 0) -> bytes:
    return double(1, value) + whole(2, at_ms) + (whole(3, started_ms) if started_ms else b"")


def message_1(
    given: Sequence[Written], families: Sequence[tuple[str, int, str, str]] = ()
) -> bytes:
    """A `prometheus.WriteRequest`."""

    def label(name: str, value: str) -> bytes:
        return part(1, part(1, name.encode()) + part(2, value.encode()))

    return b"".join(
        part(
            1,
            b"".join(label(*pair) for pair in one.labels)
            + b"".join(part(2, sample(*each)) for each in one.samples)
            + b"".join(
                part(3, b"".join(label(*pair) for pair in labels.items())
                     + double(2, value) + whole(3, at_ms))
                for labels, value, at_ms in one.exemplars
            )
            + b"".join(part(4, each.encoded(at_ms)) for each, at_ms in one.histograms),
        )
        for one in given
    ) + b"".join(
        part(3, whole(1, kind) + part(2, name.encode()) + part(4, about.encode())
             + part(5, unit.encode()))
        for name, kind, about, unit in families
    )  # fmt: skip


@dataclass
class Symbols:
    """The symbols of a 2.0 message, the first of which is the empty one."""

    texts: list[str] = field(default_factory=lambda: [""])

    def ref(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text)

    def refs(self, pairs: Sequence[tuple[str, str]]) -> bytes:
        return b"".join(varint(self.ref(text)) for pair in pairs for text in pair)


def message_2(given: Sequence[Written]) -> bytes:
    """An `io.prometheus.write.v2.Request`."""
    symbols = Symbols()
    parts = []
    for one in given:
        content = part(1, symbols.refs(one.labels)) + b"".join(
            part(2, sample(value, at_ms, one.started_ms)) for value, at_ms in one.samples
        )
        content += b"".join(part(3, each.encoded(at_ms)) for each, at_ms in one.histograms)
        content += b"".join(
            part(
                4, part(1, symbols.refs(list(labels.items()))) + double(2, value) + whole(3, at_ms)
            )
            for labels, value, at_ms in one.exemplars
        )
        if one.metadata is not None:
            kind, about, unit = one.metadata
            content += part(
                5, whole(1, kind) + whole(3, symbols.ref(about)) + whole(4, symbols.ref(unit))
            )
        if one.created_ms:
            content += whole(6, one.created_ms)
        parts.append(part(5, content))
    return b"".join(part(4, text.encode()) for text in symbols.texts) + b"".join(parts)


def body_1(*given: Written) -> bytes:
    return snappy(message_1(given))


def body_2(*given: Written) -> bytes:
    return snappy(message_2(given))
