"""The live page: plain ES modules, a style sheet and one document, shown by `engine serve`.

No build step stands between these files and a browser, and nothing of them comes from elsewhere.
They are read once and served as they are; what they show they ask the API for, with the token of
whoever looks, so the page itself holds nothing and anybody may have it.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

DOCUMENT = "page.html"
MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent, plain or packed (gzip), each with its strong validator."""

    content: bytes
    media_type: str
    etag: str
    packed: bytes
    packed_etag: str


@functools.cache
def files() -> Mapping[str, PageFile]:
    """All files of the page, by name."""
    return {
        file.name: _read(file.read_bytes(), suffix)
        for file in resources.files(__name__).iterdir()
        for suffix in (file.name.rpartition(".")[2],)
        if suffix in MEDIA_TYPES
    }


def _read(content: bytes, suffix: str) -> PageFile:
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    packed = gzip.compress(content, mtime=0)
    return PageFile(content, MEDIA_TYPES[suffix], f'"{digest}"', packed, f'"{digest}-gzip"')
