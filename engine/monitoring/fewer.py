"""Fewer requests than are expected, for longer than chance explains.

Where 9 requests are expected in a sample, none of them comes in one sample of eight thousand, and
two or fewer in one of 160.  So a share of what is expected says little by itself where little is:
it has to be seen for as long as it takes.

If `m` requests are expected and each comes or not by itself, at most `q m` of them (q < 1) come
with a probability of exp(-m (1 - q + q ln q)) at most: Chernoff's bound for a Poisson distribution
(Mitzenmacher and Upfal, Probability and Computing, 2005, theorem 5.4).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.monitoring.picture import RATE, Picture

NATS = 28.0
"""Looks share samples, so this is more than a chance of exp(-28): in 80 million simulated looks at
Poisson arrivals of 1 to 2.4 requests/s it was reached in none, and 20 nats in eleven."""
AT_FIRST = 2.0
"""Of the newest three samples so many are no larger than their median ..."""
LATER = 2.0 / 3.0
"""... and of those in a row of such looks this share."""


class Fewer(NamedTuple):
    """For how long samples are of too few, `seen_s` (services,), and whether that is no chance."""

    seen_s: FloatArray
    by_far: NDArray[np.bool_]


def fewer(
    seen_s: FloatArray,
    picture: Picture,
    expected: FloatArray,
    *,
    share: float,
    least_rate: float,
) -> Fewer:
    """Of which services less than `share` of the `expected` requests/s (services,) come.

    `seen_s` is that of the look before.  Of fewer than `least_rate` nothing is said.
    """
    rate = picture.column(RATE)
    few = picture.fresh & (expected >= least_rate) & (rate < share * expected)
    if not few.any():
        return Fewer(np.zeros_like(seen_s), few)
    # A look shows the newest samples, however long ago the last one was.
    newest_s = AT_FIRST * picture.spacing_s
    more_s = np.where(seen_s > 0.0, np.minimum(LATER * picture.elapsed_s, newest_s), newest_s)
    seen_s = np.where(few, seen_s + more_s, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.where(few, rate / expected, 1.0)
        of_each = 1.0 - q + np.where(q > 0.0, q * np.log(q), 0.0)
        by_far = few & (expected * seen_s * of_each >= NATS)
    return Fewer(seen_s, by_far)
