"""Whether a measured request rate is borne out by anything else.

Two witnesses say independently of it what should arrive: the busy slots, which are what requests
hold, and the calendar, corrected by what was learned of the day.  A rate far outside of both is a
figure that is wrong, by whatever factor, and counts as no further outside than real days go.
Where the slots are full they say nothing of what waits outside, and the rate is taken as it is.
"""

from __future__ import annotations

import math

from engine.decide.assess import UNCLEAR_ERRORS
from engine.decide.view import View
from engine.forecast.schedule import FALLEN_SHARE
from engine.model import ServiceSpec

FURTHER = 1.5
"""A rate may be so many times what either witness says, or so many times less than both say."""


def has_room(view: View, spec: ServiceSpec) -> bool:
    """Whether the slots were partly free when the samples were taken, so that they tell what came.

    Slots that have been added since say nothing of what waited outside then.
    """
    limits = spec.thresholds
    waiting = view.queue_depth > limits.queue_depth_up * max(view.ready_then[0], 1) * spec.slots
    return view.cpu_then < limits.cpu_up and not waiting and not view.error_rate > UNCLEAR_ERRORS


def borne_out(
    view: View, spec: ServiceSpec, ready: int, expected: float, *, slowdown: float
) -> float:
    """The request rate (1/s) of a service that `has_room`, within what the witnesses bear out.

    `expected` is what the calendar lets expect (1/s), `slowdown` how many times slower than
    specified the service works.  The rate itself where there is no second witness.
    """
    rate = view.request_rate
    if not expected > 0.0:
        return rate
    busy = view.cpu * ready * spec.rate_per_instance
    lowest = min(busy / slowdown, expected) / FURTHER
    highest = max(busy, expected) * FURTHER
    return min(max(rate, lowest), highest)


def fallen(view: View, expected: float) -> bool:
    """Whether less arrives than the calendar lets expect, which says nothing of how slow it is."""
    return view.request_rate < FALLEN_SHARE * expected


def learnable(rate: float, expected: float, surge: float, *, alone: bool = False) -> float:
    """What may be learned (1/s) of `rate`, read off other figures; 0 where that is nothing.

    It is to be about what the calendar lets expect, or `surge` (log) more or less, as was seen
    last.  Where nobody measures a rate (`alone`) a busier day shows nowhere else: of more than that
    as much as that is learned.
    """
    last = expected * math.exp(surge)
    if min(expected, last) / FURTHER <= rate <= max(expected, last) * FURTHER:
        return rate
    return expected * FURTHER if alone and rate > expected * FURTHER else 0.0
