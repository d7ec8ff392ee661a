"""The Merkle tree of RFC 6962, section 2.1.

It is never held: appending needs the roots of its complete subtrees alone, one for each bit of
its size that is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()


class Frontier:
    """The right edge of a growing tree: roots of its complete subtrees, the largest first."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """Raises ValueError where `roots` are not those of a tree of that size."""
        if size < 0 or size.bit_count() != len(roots):
            raise ValueError(f"a tree of {size} rows has {max(size, 0).bit_count()} such roots")
        self.size = size
        self._roots = list(roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """With `size`, all that is needed to go on."""
        return tuple(self._roots)

    def append(self, row: bytes) -> None:
        """Add a row."""
        roots, size, grown = self._roots, self.size, sha256(b"\x00" + row).digest()
        while size & 1:
            grown = sha256(b"\x01" + roots.pop() + grown).digest()
            size >>= 1
        roots.append(grown)
        self.size += 1

    def root(self) -> bytes:
        """The hash of all rows so far."""
        if not self._roots:
            return EMPTY
        whole = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            whole = sha256(b"\x01" + left + whole).digest()
        return whole
