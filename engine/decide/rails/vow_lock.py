"""No step in takes an instance away from under a ceremony, where the platform can tell.

A request that is cut off is sent again; the vows are not.  So a step in that the engine makes for
money leaves the instances that carry a ceremony, and takes those that are free of any.  Where the
infrastructure lets what leaves wait for the end of its ceremonies, an instance may go although it
carries some: all but those whose ceremonies outlast the time limit.

Each instance is kept for at most the limit from when it began to carry ceremonies without a break:
a platform that tells of a ceremony for ever costs that much and no more.  What protects requests is
not held back: steps out, the undoing of a step that did harm, the maximum, and a person's order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.decide.observe import Seen
from engine.decide.rails.scale_in import ScaleIn
from engine.model import FloatArray, VowLocks
from engine.settings import VowLockSettings

LOCKED = "locked_instances"
"""The figure among the evidence of a step in: so many stay for a ceremony."""


def frees_s(locks: VowLocks, now_s: float, limit_s: float) -> FloatArray:
    """When each instance that has to stay now may go (epoch seconds), rising."""
    latest_s = locks.since_s + limit_s
    # What is overdue may be over at any moment; it is not over.
    ends_s = locks.until_s - limit_s if locks.waits else np.maximum(locks.until_s, now_s)
    stays = latest_s > now_s
    if locks.waits:
        stays &= ends_s > now_s
    return np.sort(np.minimum(ends_s, latest_s)[stays])


def unlocked(seen: Seen, going: ScaleIn, now_s: float, settings: VowLockSettings) -> ScaleIn:
    """What is left of a step in by the ceremonies on the instances: no fewer than carry any stay.

    What boots goes first, and then what is free: so the target is at least the number of those
    that have to stay.
    """
    locks, current = seen.service.locks, seen.service.desired
    if locks is None:
        return going
    free_s = frees_s(locks, now_s, settings.limit_s)
    target = max(going.target, min(len(free_s), current))
    if target == going.target:
        return going
    why = (
        f"vow lock: {len(free_s)} instances carry a ceremony, "
        f"the first for another {max(float(free_s[0]) - now_s, 0.0):.0f} s at most"
    )
    evidence = dict(going.recommendation.evidence) | {LOCKED: float(len(free_s))}
    return ScaleIn(target, replace(going.recommendation, evidence=evidence), why)
