"""Merkle trees and their proofs as RFC 6962, section 2.1, defines them, verified as RFC 9162 does.

A tree is never held: appending needs the roots of its complete subtrees alone, one for each bit of
its size that is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()


class ProofError(ValueError):
    """A proof that proves nothing."""


def leaf(row: bytes) -> bytes:
    """The hash of a row."""
    return sha256(b"\x00" + row).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return sha256(b"\x01" + left + right).digest()


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
            whole = node(left, whole)
        return whole


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree's hash of the hashes of its rows."""
    if not leaves:
        return EMPTY
    if len(leaves) == 1:
        return leaves[0]
    middle = _split(len(leaves))
    return node(root(leaves[:middle]), root(leaves[middle:]))


def inclusion(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """That the row at `index` is in the tree: its audit path (RFC 6962, 2.1.1)."""
    if not 0 <= index < len(leaves):
        raise ProofError(f"there is no row {index} among {len(leaves)}")
    if len(leaves) == 1:
        return []
    middle = _split(len(leaves))
    if index < middle:
        return [*inclusion(leaves[:middle], index), root(leaves[middle:])]
    return [*inclusion(leaves[middle:], index - middle), root(leaves[:middle])]


def consistency(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """That the tree began with the first `size` of its rows (RFC 6962, 2.1.2)."""
    if not 0 < size <= len(leaves):
        raise ProofError(f"a tree of {len(leaves)} rows did not begin with {size}")
    return _subproof(leaves, size, whole=True)


def check_inclusion(
    row_hash: bytes, index: int, size: int, proof: Sequence[bytes], tree: bytes
) -> None:
    """Raises ProofError unless the row is at `index` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofError(f"there is no row {index} among {size}")
    at, last, made = index, size - 1, row_hash
    for step in proof:
        if last == 0:
            raise ProofError("the proof is too long")
        if at & 1 or at == last:
            made = node(step, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node(made, step)
        at, last = at >> 1, last >> 1
    if last or made != tree:
        raise ProofError(f"row {index} is not in the tree")


def check_consistency(
    old_size: int, old: bytes, size: int, tree: bytes, proof: Sequence[bytes]
) -> None:
    """Raises ProofError unless the tree began as the `old` one (RFC 9162, 2.1.4.2)."""
    if not 0 < old_size <= size:
        raise ProofError(f"a tree of {size} rows did not begin with {old_size}")
    if old_size == size:
        if proof or old != tree:
            raise ProofError("two trees of one size are not the same")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old)
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not path:
        raise ProofError("the proof is too short")
    made_old = made = path[0]
    for step in path[1:]:
        if last == 0:
            raise ProofError("the proof is too long")
        if at & 1 or at == last:
            made_old, made = node(step, made_old), node(step, made)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            made = node(made, step)
        at, last = at >> 1, last >> 1
    if last or made_old != old or made != tree:
        raise ProofError(f"the tree did not begin with those {old_size} rows")


def _subproof(leaves: Sequence[bytes], size: int, *, whole: bool) -> list[bytes]:
    if size == len(leaves):
        return [] if whole else [root(leaves)]
    middle = _split(len(leaves))
    if size <= middle:
        return [*_subproof(leaves[:middle], size, whole=whole), root(leaves[middle:])]
    return [*_subproof(leaves[middle:], size - middle, whole=False), root(leaves[:middle])]


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)
