"""How well capacity followed the need: SPEC's elasticity metrics, and how calmly it did.

Definitions after N. Herbst et al., "Quantifying Cloud Performance and Dependability", ACM Trans.
Model. Perform. Eval. Comput. Syst. 3(4), 2018, with s(t) instances ready and d(t) needed:

    accuracy_under = mean of max(d - s, 0) / d          timeshare_under = share of t with s < d
    accuracy_over  = mean of max(s - d, 0) / d          timeshare_over  = share of t with s > d
    instability    = share of the minutes in which s and d do not move in the same direction
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray


def elasticity(ready: FloatArray, needed: FloatArray, per_minute: int) -> dict[str, float]:
    """The five metrics of one service; `ready` and `needed` (samples,), `per_minute` samples."""
    samples = len(ready)
    if samples == 0:
        return dict.fromkeys(NAMES, 0.0)
    least = np.maximum(needed, 1.0)
    minutes = samples // per_minute
    shape = (minutes, per_minute)
    supply = np.sign(np.diff(ready[: minutes * per_minute].reshape(shape).mean(axis=1)))
    demand = np.sign(np.diff(needed[: minutes * per_minute].reshape(shape).mean(axis=1)))
    return {
        "accuracy_under": float(np.mean(np.maximum(needed - ready, 0.0) / least)),
        "accuracy_over": float(np.mean(np.maximum(ready - needed, 0.0) / least)),
        "timeshare_under": float(np.mean(ready < needed)),
        "timeshare_over": float(np.mean(ready > needed)),
        "instability": float(np.mean(supply != demand)) if len(supply) else 0.0,
    }


NAMES = ("accuracy_under", "accuracy_over", "timeshare_under", "timeshare_over", "instability")


def longest_run(flags: Sequence[bool]) -> int:
    """Length of the longest unbroken run of true ones."""
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest
