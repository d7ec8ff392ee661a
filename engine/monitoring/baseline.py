"""What is usual: a running centre and spread of each residual of each service.

Both are robust recursions (M-estimators of location and scale by stochastic approximation; Huber,
Robust Statistics, 1981, ch. 6 and 8): one sample, however wild, moves the centre by a small part of
the spread and the spread by a small part of itself.  What has gone on for hours becomes usual; what
began minutes ago does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.model import FloatArray
from engine.monitoring.picture import EFFECTS, RESIDUALS, or_zero, within

CENTRE_S, SCALE_S = 900.0, 3600.0
"""About how long the centre, and the spread, take to follow."""
REACH = 3.0
MEAN_REACHED = 0.7970
"""E[min(|z|, 3)] of a standard normal z: the spread of normal residuals stays what it is."""
THRESHOLD = 6.0
"""So many spreads are an effect that anybody has to hear of: the least spread is that share."""
LEAST = EFFECTS / THRESHOLD
MOST = 12.0 * LEAST
"""A spread of twice the effect is where nothing is ever far: no figure is taken for that wild."""


class Usual(NamedTuple):
    """`centre`, `scale`, `learned_s` (services, residuals): the last since when it is learned."""

    centre: FloatArray
    scale: FloatArray
    learned_s: FloatArray

    @classmethod
    def begin(cls, services: int) -> Usual:
        """Before anything was seen."""
        shape = (services, len(RESIDUALS))
        return cls(np.full(shape, np.nan), np.tile(LEAST, (services, 1)), np.zeros(shape))

    def spread(self, chance: FloatArray) -> FloatArray:
        """The spread of each residual where chance alone gives it `chance`."""
        spread: FloatArray = np.sqrt(self.scale**2 + or_zero(chance) ** 2)
        return spread

    def after(self, residuals: FloatArray, elapsed_s: float) -> Usual:
        """The same after one more look, `elapsed_s` after the last; NaN teaches nothing."""
        there = ~np.isnan(residuals)
        first = there & np.isnan(self.centre)
        centre = np.where(first, residuals, self.centre)
        z = np.where(there, (residuals - centre) / self.scale, 0.0)
        share = elapsed_s / np.minimum(self.learned_s + elapsed_s, CENTRE_S)
        step = within(z, -1.0, 1.0) * self.scale * share
        growth = elapsed_s / np.minimum(self.learned_s + 12.0 * elapsed_s, SCALE_S)
        departure = np.where(there, np.minimum(np.abs(z), REACH) - MEAN_REACHED, 0.0)
        return Usual(
            centre + step,
            within(self.scale * np.exp(growth * departure), LEAST, MOST),
            np.where(there, self.learned_s + elapsed_s, self.learned_s),
        )
