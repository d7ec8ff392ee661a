"""What a time series may be called, and one way of writing it whatever the order of its labels."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ingest.plain import Labels

NAME = "__name__"
MOST_LABELS = 128
LONGEST = 16_384
"""Bytes of all labels of a series together."""


class LabelError(Exception):
    """A series cannot be called that; the message says why, in the same words for all alike."""


def checked(pairs: Sequence[tuple[bytes, bytes]]) -> Labels:
    """The labels in the order of their names; raises LabelError.

    As remote write has it: names and values are UTF-8, there is a metric name, no name is empty or
    there twice.  A label whose value is empty is as good as none.
    """
    if len(pairs) > MOST_LABELS:
        raise LabelError(f"more than {MOST_LABELS} labels")
    if sum(len(name) + len(value) for name, value in pairs) > LONGEST:
        raise LabelError(f"labels of more than {LONGEST:,} bytes")
    try:
        texts = sorted((str(name, "utf-8"), str(value, "utf-8")) for name, value in pairs)
    except UnicodeDecodeError:
        raise LabelError("a label that is not UTF-8") from None
    names = [name for name, _ in texts]
    if len(set(names)) < len(names):
        raise LabelError("a label twice")
    if "" in names:
        raise LabelError("a label without a name")
    labels = tuple(pair for pair in texts if pair[1])
    if not any(name == NAME for name, _ in labels):
        raise LabelError(f"no metric name ({NAME})")
    return labels


def written(labels: Labels) -> bytes:
    """Labels as bytes, the same for the same labels: 0xFF, which UTF-8 never has, parts them."""
    return b"\xff".join(text.encode() for pair in labels for text in pair)


def read(raw: bytes) -> Labels:
    """The labels that `written` wrote."""
    texts = [str(part, "utf-8") for part in raw.split(b"\xff")]
    return tuple(zip(texts[::2], texts[1::2], strict=True))
