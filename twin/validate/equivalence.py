"""Equivalence tests: not "no difference was found" but "the difference lies within ±X".

Two one-sided tests (Schuirmann 1987) at 5 % each: the claim holds where the 90 % interval of the
mean paired difference lies wholly within the limits.  Beside it stands what live runs differ from
each other by; no model can be closer to reality than reality is to itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit

Outcome = Literal["equivalent", "not shown", "different"]


@dataclass(frozen=True, slots=True)
class EquivalenceVerdict:
    """One figure's comparison; all in the unit of `limit` (a share, or an absolute difference).

    `difference` is twin less live, `low` and `high` its 90 % interval over the repeats.  `noise` is
    what two live runs differ by in nine of ten cases.
    """

    difference: float
    low: float
    high: float
    noise: float
    limit: float
    outcome: Outcome


def judge(
    live: Sequence[float], twin: Sequence[float], limit: float, *, relative: bool
) -> EquivalenceVerdict | None:
    """Compare pairs, one for each repeat; None where there is nothing to compare.

    `relative`: the difference as a share of the live mean.  Raises ValueError for lists of
    different lengths.
    """
    if len(live) != len(twin):
        raise ValueError(f"live and twin: {len(live)} and {len(twin)} are no pairs")
    pairs = np.array([(a, b) for a, b in zip(live, twin, strict=True) if _finite(a, b)])
    if len(pairs) < 2:
        return None
    scale = float(pairs[:, 0].mean()) if relative else 1.0
    if scale == 0.0:
        return None
    differences = (pairs[:, 1] - pairs[:, 0]) / scale
    n = len(differences)
    half = float(stdtrit(n - 1, 0.95) * differences.std(ddof=1) / math.sqrt(n))
    middle = float(differences.mean())
    spread = float(pairs[:, 0].std(ddof=1)) / scale
    noise = float(ndtri(0.95)) * math.sqrt(2.0) * spread
    return EquivalenceVerdict(middle, middle - half, middle + half, noise, limit,
                   _outcome(middle - half, middle + half, limit))  # fmt: skip


def _outcome(low: float, high: float, limit: float) -> Outcome:
    if -limit <= low and high <= limit:
        return "equivalent"
    return "different" if low > limit or high < -limit else "not shown"


def _finite(a: float, b: float) -> bool:
    return math.isfinite(a) and math.isfinite(b)
