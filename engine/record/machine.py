"""What a record says of the machine and the software that made it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform as machine
import sys

VERSIONED = ("wedtwin", "simpy", "numpy", "numba", "pandas", "hydra-core")


def peak_rss_mib() -> float:
    """Largest resident memory of this process so far, in MiB."""
    import resource  # not on every system

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS (getrusage(2) of either).
    return peak / (1024.0 * 1024.0 if sys.platform == "darwin" else 1024.0)


def versions() -> dict[str, str]:
    """Of Python and of what the results may depend on."""
    versions = {"python": machine.python_version()}
    for name in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
