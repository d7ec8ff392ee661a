"""How the kernels of the queues are compiled, and when what was compiled before is out of date.

Numba keeps a compiled function as long as the file that it stands in stays as it is, but compiles
into it whatever it calls in other files.  So the name by which it is kept carries a digest of all
the sources that these kernels are made of: a change of any of them compiles all of them anew.

Kernels take records of arrays (NamedTuples) and change the arrays in place.  They are compiled
without numba's reference counts: they allocate nothing, and the atomic counting of each access to
an array took more than half of the time of the event loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from numba import njit

from engine.record import response_times


def digest(sources: Iterable[Path]) -> str:
    """Eight hexadecimal digits that change with the content of any of the files."""
    content = hashlib.blake2b(digest_size=4)
    for source in sorted(sources):
        content.update(source.read_bytes())
    return content.hexdigest()


SOURCES = (*Path(__file__).parent.rglob("*.py"), Path(response_times.__file__))
"""All that is compiled into a kernel of the queues."""

_DIGEST = digest(SOURCES)


def _compiler(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that compiles with numba's `options`, at the first call."""

    def decorate(function: Callable[..., Any]) -> Any:
        function.__qualname__ = f"{function.__qualname__}_{_DIGEST}"
        return njit(cache=True, error_model="numpy", **options)(function)

    return decorate


entry = _compiler(_nrt=False)
"""What is called from Python; takes plain tuples, which numba looks through four times as fast as
records."""

free_entry = _compiler(_nrt=False, nogil=True)
"""The same; other threads run meanwhile."""

_INSIDE = {"_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# What Python would call it by takes longer to compile than the function.

kernel = _compiler(**_INSIDE)
"""What other kernels call, and nobody else can."""

part = _compiler(forceinline=True, **_INSIDE)
"""A part of another kernel: a function to who reads it, none to the machine."""

inlined = _compiler(inline="always", **_INSIDE)
"""A part that stands in one place only, where numba itself puts it: it is never compiled alone."""

allocating = _compiler()
"""What returns new arrays to Python, and so counts references."""
