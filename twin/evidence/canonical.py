"""One way to write a value down, so that the same value has the same bytes and the same digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def text(value: Any) -> bytes:
    """`value` as JSON with sorted keys, indented for people; raises ValueError for NaN."""
    return (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def digest(value: bytes | Any) -> str:
    """SHA-256 of bytes, or of the text of a value."""
    raw = value if isinstance(value, bytes) else text(value)
    return hashlib.sha256(raw).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of the digests of all files in a folder."""
    return digest(digests(path)) if path.is_dir() else digest(path.read_bytes())


def digests(folder: Path, skip: frozenset[str] = frozenset()) -> dict[str, str]:
    """SHA-256 of each file below `folder` by its path, but those in `skip`."""
    return {
        path: digest((folder / path).read_bytes())
        for path in sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*"))
        if (folder / path).is_file() and path not in skip
    }
