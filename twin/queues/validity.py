"""Where the fluid's response times are verified against single requests, and where not.

The borders are those of the table in docs/background/fidelity.md, which `benchmarks/fidelity.py`
measures: the error of p95 is at most 10 % up to a utilisation of 0.9, and 20 % up to 0.98, with 50
slots or more; with fewer the noise of single seconds is too large a part of the load, and only
lower utilisations are within the aim.
"""

from __future__ import annotations

import numpy as np

from engine.model import FloatArray

REGIONS = ((50, 1.0), (10, 0.6), (2, 0.3))
"""(slots, utilisation): with so many slots or more, verified up to that utilisation."""


def verified(slots: float, utilisation: float) -> bool:
    """Whether the fluid's response times are within the aim for a service of `slots` slots."""
    return any(slots >= least and utilisation <= most for least, most in REGIONS)


def outside_share(slots: FloatArray, utilisation: FloatArray) -> float:
    """Share of the samples (n,) that are outside what is verified, of those with a load.

    `slots` ready in each sample and their `utilisation`, 0-1 (NaN where unknown: not counted).
    """
    busy = np.isfinite(utilisation) & (slots > 0.0) & (utilisation > 0.0)
    if not busy.any():
        return 0.0
    inside = np.zeros(len(slots), dtype=bool)
    for least, most in REGIONS:
        inside |= (slots >= least) & (utilisation <= most)
    return float(np.mean(~inside[busy]))
