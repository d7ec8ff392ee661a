"""Run records that nobody reads without the owner's keys.

Each file of a record is sealed by itself, beside one in plain that says so and whose list of the
files, with the digest of each, is sealed as well: what is changed, dropped, put in the place of
another or taken from another record does not open.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Protocol

from engine.record.folders import write_whole
from engine.record.schema.summary import FILE, SEALED, Summary, checked, read
from engine.security.foreign_json import parsed_object

SUFFIX = ".sealed"
VERSION = 1
PART = re.compile(r"[^/\\\x00]+")


class FileSealer(Protocol):
    """Turns files into what nobody else can read, and back; see `engine.security.sealing`."""

    def seal(self, plain: bytes, context: str) -> bytes:
        """The envelope, which opens as `context` and as nothing else."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed as `context`; raises ValueError."""
        ...

    def seal_text(self, text: str, context: str) -> str:
        """As `seal`, in letters."""
        ...

    def open_text(self, text: str, context: str) -> str:
        """As `open`; raises ValueError."""
        ...


def seal(folder: Path, sealer: FileSealer) -> None:
    """Seal all files of the record in `folder`, which nobody reads yet.  Raises OSError."""
    record = secrets.token_hex(8)
    digests = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, plain = path.relative_to(folder).as_posix(), path.read_bytes()
        digests[name] = hashlib.sha256(plain).hexdigest()
        path.with_name(path.name + SUFFIX).write_bytes(sealer.seal(plain, _context(record, name)))
        path.unlink()
    marker = {
        "version": VERSION,
        "record": record,
        "how": "python -m engine record open RECORD FOLDER",
        "files": sealer.seal_text(json.dumps(digests), _context(record, "")),
    }
    (folder / SEALED).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")


def open_into(record: Path, folder: Path, sealer: FileSealer) -> None:
    """Write the files of the sealed `record` into `folder`, which must not be there yet.

    All of them or none.  Raises ValueError where something was touched or is of a key that is not
    here, FileExistsError, OSError.
    """
    if folder.exists():
        raise FileExistsError(17, "is there already; name a folder that is not", str(folder))
    mark, digests = _marker(record, sealer)
    there = {path for path in record.rglob("*") if path.is_file()} - {record / SEALED}
    expected = {record / (name + SUFFIX) for name in digests}
    for path in sorted(there ^ expected):
        word = "is missing" if path in expected else "is no file of this record"
        raise ValueError(f"{path}: {word}")

    def fill(made: Path) -> None:
        for name, digest in digests.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_opened(record, name, digest, mark, sealer=sealer))

    written = write_whole(folder.parent, folder.name, fill)
    written.chmod(0o700)  # what was sealed is for whoever opened it


def read_summary(record: Path, sealer: FileSealer | None) -> Summary:
    """The summary of a record that may be sealed; raises ValueError, OSError."""
    if sealer is None or not (record / SEALED).is_file():
        return read(record)
    return checked(Summary, json.loads(read_part(record, FILE, sealer)), str(record / FILE))


def read_part(record: Path, name: str, sealer: FileSealer | None) -> bytes:
    """One file of a record that may be sealed, in plain; raises ValueError, OSError."""
    if sealer is None or not (record / SEALED).is_file():
        return (record / name).read_bytes()
    mark, digests = _marker(record, sealer)
    return _opened(record, name, digests.get(name, ""), mark, sealer=sealer)


def _opened(record: Path, name: str, digest: str, mark: str, *, sealer: FileSealer) -> bytes:
    """One file in plain."""
    plain = sealer.open((record / (name + SUFFIX)).read_bytes(), _context(mark, name))
    if hashlib.sha256(plain).hexdigest() != digest:
        raise ValueError(f"{record / name}: is another than was sealed")
    return plain


def _marker(record: Path, sealer: FileSealer) -> tuple[str, dict[str, str]]:
    """What the record goes by, and the digest of each of its files."""
    path = record / SEALED
    if not path.is_file():
        raise ValueError(f"{record}: is no sealed record; it has no {SEALED}")
    try:
        raw = parsed_object(path.read_bytes())
        version, mark, files = raw["version"], str(raw["record"]), str(raw["files"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: was touched") from None
    if version != VERSION:
        raise ValueError(f"{path}: is of version {version}; this engine opens {VERSION}")
    digests = dict(json.loads(sealer.open_text(files, _context(mark, ""))))
    for name in digests:
        if any(part in ("", ".", "..") or not PART.fullmatch(part) for part in name.split("/")):
            raise ValueError(f"{path}: was touched")
    return mark, digests


def _context(record: str, name: str) -> str:
    return f"record {record} {name}"
