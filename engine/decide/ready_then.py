"""How many instances were ready when a sample was taken.

A share of what was ready then, such as the CPU, says nothing until it is known of how many: samples
are late, and counts change meanwhile.  Ten instances that were full are half of twenty, not twenty.
"""

from __future__ import annotations

Counts = tuple[tuple[float, int], ...]
"""Since when (epoch s) how many were ready, a pair a change, oldest first."""


def noted(counts: Counts, ready: int, now_s: float, keep_s: float) -> Counts:
    """`counts` after a look at `now_s`, as far as samples of the last `keep_s` can need them.

    What seems to lie ahead was noted before the clock was set back, and goes.
    """
    first = 0
    while first + 1 < len(counts) and counts[first + 1][0] <= now_s - keep_s:
        first += 1
    end = len(counts)
    while end > first and counts[end - 1][0] > now_s:
        end -= 1
    if end == first or counts[end - 1][1] != ready:
        return (*counts[first:end], (now_s, ready))
    return counts if end - first == len(counts) else counts[first:end]


def ready_then(counts: Counts, time_s: float, ready: int) -> int:
    """How many were ready at `time_s`: before all `counts` as many as first, else `ready`."""
    for since_s, count in reversed(counts):
        if since_s <= time_s:
            return count
    return counts[0][1] if counts else ready
