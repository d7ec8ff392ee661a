"""From the bytes of a file to its lines, however the tool that wrote it encodes text.

An export says its encoding in a byte order mark or not at all.  UTF-8 proves itself: text of
another encoding is hardly ever valid UTF-8 by chance.  What is neither is Windows-1252, of which
the printable part of Latin-1 is a part; only names of columns can tell the difference, never a
figure.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from scenarios.traces.errors import NoTraceError, TraceError

MOST_BYTES = 1 << 30
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
OTHERS = (
    (b"PK\x03\x04", "an Excel workbook or another archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\xfd7zXZ", "compressed with xz"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"<", "HTML or XML"),
)
"""What people take for a CSV file, by how it begins."""


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of a file, and the name of the encoding that they were in."""

    lines: tuple[str, ...]
    encoding: str


def read(path: Path, encoding: str = "") -> Text:
    """The text of a file (compressed with gzip or not); raises TraceError.

    `encoding` is a Python codec's name, or empty to find out.
    """
    content = _bytes(path)
    for mark, sort in OTHERS:
        if content.startswith(mark):
            raise NoTraceError(f"is {sort}, not a CSV text; export it as CSV")
    text, name = _decoded(content, encoding)
    if "\0" in text:
        raise TraceError("not a CSV text (it holds zero bytes)")
    return Text(tuple(re.split(r"\r\n|\n|\r", text)), name)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if compressed else path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TraceError(f"not a whole gzip file ({error})") from None
    except OSError as error:
        raise TraceError(f"{error.strerror or error}") from None
    if len(content) > MOST_BYTES:
        raise TraceError(f"more than {MOST_BYTES >> 20:,} MiB of text are not allowed")
    return content


def _decoded(content: bytes, encoding: str) -> tuple[str, str]:
    if encoding:
        try:
            return content.decode(encoding).removeprefix("\ufeff"), encoding
        except (UnicodeDecodeError, LookupError) as error:
            raise TraceError(f"trace.encoding: {encoding}: {error}") from None
    for mark, codec, name in MARKS:
        if content.startswith(mark):
            try:
                return content.decode(codec), name
            except UnicodeDecodeError as error:
                raise TraceError(f"not a CSV text (begins like {name}, then: {error})") from None
    if codec := _unmarked_utf_16(content):
        return content.decode(codec, errors="replace"), "UTF-16"
    try:
        return content.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252"), "Windows-1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "Latin-1"


def _unmarked_utf_16(content: bytes) -> str:
    """The codec of UTF-16 without a mark: figures and commas have a zero in every second byte."""
    head = content[:1000]
    half = max(len(head) // 2, 1)
    if head[1::2].count(0) > 0.8 * half and head[0::2].count(0) == 0:
        return "utf-16-le"
    if head[0::2].count(0) > 0.8 * half and head[1::2].count(0) == 0:
        return "utf-16-be"
    return ""
