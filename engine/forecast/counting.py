"""How much of what a measured rate departs by is the chance of which requests it counted.

A sample counts the requests of some seconds, so its rate is off by the chance of which of them fell
into these.  That is no load that has to be served: what chance does within seconds is in the room
above the busy slots already (`engine.decide.sizing`).  Forecasts are judged by such samples, and a
small platform, of which a sample counts few requests, would pay for the same chance twice.

Arrivals of many independent people are Poisson (Palm 1943, Khinchin 1955), and the logarithm of
such a count of mean m has the variance 1 / m (delta method).  A sample may show less than that: one
that is an average over a longer time, or the same as the one before.  So no more is taken for
chance than the samples really scatter around their neighbours: half the mean square of their
successive differences, which a trend hardly moves (von Neumann, Kent, Bellinson and Hart, "The mean
square successive difference", Ann. Math. Statist. 1941).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

OF_MEDIAN = {1: 1.0, 2: 0.5, 3: 1.0 - math.sqrt(3.0) / math.pi}
"""Variance of the median of so many normal values, as a share of the variance of one (David and
Nagaraja, "Order Statistics", 3rd ed. 2003)."""
FEWEST = 5.0
"""The logarithm of a count of fewer requests is far from normal: nothing is taken for chance."""


class Counting(NamedTuple):
    """Variances of the logarithm of one sample's rate, and what share of it a median keeps.

    `variance` is that of the count, `scatter` that of the samples around their neighbours.  All 0:
    nothing says how many were counted.
    """

    variance: float = 0.0
    scatter: float = 0.0
    share: float = 0.0


UNCOUNTED = Counting()


def counting(rates: Sequence[float], spacing_s: float, of: int) -> Counting:
    """What chance there is in a rate that is the median of the first `of` of `rates` (1/s).

    These are of single samples, newest first, each of the requests of `spacing_s`; those that are
    not finite and positive say nothing.  `UNCOUNTED` where that or the spacing leaves nothing to
    go by.
    """
    measured = [rate for rate in rates if 0.0 < rate < math.inf]
    here = [rate for rate in rates[:of] if 0.0 < rate < math.inf]
    if not (spacing_s > 0.0 and here and len(measured) > 1 and len(here) in OF_MEDIAN):
        return UNCOUNTED
    counted = sum(here) / len(here) * spacing_s
    if counted < FEWEST:
        return UNCOUNTED
    logs = [math.log(rate) for rate in measured]
    squares = [(after - before) ** 2 for after, before in pairwise(logs)]
    scatter = 0.5 * sum(squares) / len(squares)
    return Counting(1.0 / counted, scatter, OF_MEDIAN[len(here)])
