"""What lets the API's thread and the engine's share one interpreter without waiting for each other.

*Turns.*  A thread that wants the interpreter's lock waits until its holder has had it for the
switch interval, 5 ms unless told otherwise.  An answer lets go of the lock several times (it reads,
looks into a file, writes), so a step of 30 ms holds it up for nearly all of them.

*Pages.*  On a virtual machine a page of memory that was not touched for seconds may cost its first
touch a microsecond or more, as the host has put away where it lies.  A step touches thousands.  In
huge pages of 2 MiB they are a few (madvise(2): MADV_HUGEPAGE, MADV_COLLAPSE since Linux 6.1).

*Garbage.*  What there is when serving begins stays, and a whole collection need not look at it each
time (gc.freeze).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

SWITCH_S = 0.0005
MAPS = Path("/proc/self/maps")
HUGE_BYTES = 2 << 20
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25
"""linux/mman.h; Python's own are on mmap objects only, and MADV_COLLAPSE is not among them."""


@contextlib.contextmanager
def shared_interpreter() -> Iterator[None]:
    """Short turns until the block ends; huge pages, and no collector, for what is held by now."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    collapse()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before_s)


def collapse() -> int:
    """Have what this process holds in its heap in huge pages; the bytes that now may be.

    0 where the system has no such pages, or does not give them; nothing else changes then.
    """
    if not sys.platform.startswith("linux"):
        return 0
    library = ctypes.CDLL(None, use_errno=True)
    collapsed = 0
    for begin, end in _heap():
        at, length = ctypes.c_void_p(begin), ctypes.c_size_t(end - begin)
        if library.madvise(at, length, MADV_HUGEPAGE) == 0:
            collapsed += end - begin if library.madvise(at, length, MADV_COLLAPSE) == 0 else 0
    return collapsed


def _heap() -> list[tuple[int, int]]:
    """Where private, writable memory of no file lies that has room for a huge page (proc(5)).

    Stacks of threads are left out: each begins behind a guard page, and little of it is used.
    """
    ranges = []
    guarded = -1
    try:
        lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        addresses, access, _, _, inode, *name = line.split(maxsplit=5)
        begin, end = (int(part, 16) for part in addresses.split("-"))
        is_heap = access == "rw-p" and inode == "0" and (not name or name[0] == "[heap]")
        if is_heap and begin != guarded and end - begin >= HUGE_BYTES:
            ranges.append((begin, end))
        guarded = end if access.startswith("---") else -1
    return ranges
