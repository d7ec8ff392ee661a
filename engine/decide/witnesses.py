"""Whether a measured request rate is borne out by anything else.

Two witnesses say independently of it what should arrive: the busy slots, which are what requests
hold, and the calendar, corrected by what was learned of the day.  A rate far outside of both is a
figure that is wrong, by whatever factor, and counts as no further outside than real days go.
Where the slots are full they say nothing of what waits outside, and the rate is taken as it is,
unless it was wrong before they filled: what it was worth while slots were free it is worth still.
"""

from __future__ import annotations

import math
from statistics import median

import numpy as np

from engine.decide.assess import UNCLEAR_ERRORS
from engine.decide.view import MOST_SHARE, NEWEST, View, most_rate
from engine.forecast.schedule import FALLEN_SHARE
from engine.model import FloatArray, ServiceObservation, ServiceSpec

FURTHER = 1.5
"""A rate may be so many times what either witness says, or so many times less than both say."""
BEYOND_DOUBT = 3.0
"""No service is so many times as fast as specified."""
NOTHING = 0.005
"""Of what was there before: nothing ends so suddenly while requests go on being answered."""
STILL = 0.5
"""A rate that has fallen to less than this share is another than it was."""


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


def corrected(service: ServiceObservation, view: View) -> View:
    """The view of a service without room, its rate and queue by what they were worth before.

    The newest three samples of the window with room tell: where in each of them the rate was
    `BEYOND_DOUBT` times what the slots were in use for, while hardly anybody waited or failed, and
    has not fallen since, it is as many times too high now.  No more can wait than did then, and
    than has arrived since.  The same view where they do not say so.
    """
    spec, window = service.spec, service.window
    slots, served = (max(service.ready, 1) * one for one in (spec.slots, spec.rate_per_instance))
    rate, cpu = window["request_rate"], window["cpu"]
    with_room = window[
        (window["time_s"] < view.newest_s)
        & (rate > 0.0)
        & (rate <= most_rate(spec))
        & (cpu > 0.05)
        & (cpu < spec.thresholds.cpu_up)
        & ~(window["queue_depth"] > spec.thresholds.queue_depth_up * slots)
        & (window["error_rate"] <= UNCLEAR_ERRORS)
    ][-NEWEST:]
    if len(with_room) < NEWEST:
        return view
    times = float((with_room["request_rate"] / (with_room["cpu"] * served)).min())
    still = view.request_rate >= STILL * float(with_room["request_rate"].min())
    if not (times >= BEYOND_DOUBT and still):
        return view
    arrives, last = view.request_rate / times, with_room[-1]
    waiting = float(last["queue_depth"]) + arrives * (view.newest_s - float(last["time_s"]))
    if view.queue_depth > waiting:
        view = view._replace(queue_depth=waiting)
    return view._replace(request_rate=arrives)


def answered(service: ServiceObservation, view: View) -> View:
    """The view without cpu and rate where nothing of them is left and yet somebody is answered.

    Who is answered has asked, and has held a slot.  So where all of the two that are measured have
    come to less than `NOTHING` of what the older half of the window shows, while response times are
    measured still, they are wrong.  Where nobody measures response times, nothing says that the
    requests have ended, and they are taken for wrong as well.  The same view where they do not say
    so, and once most of that half is as they are.
    """
    if not view.p95_s >= 0.0 and np.isfinite(service.window["p95_s"]).any():
        return view
    of_load = (
        ("cpu", view.cpu, MOST_SHARE),
        ("request_rate", view.request_rate, most_rate(service.spec)),
    )
    there = [one for one in of_load if one[1] >= 0.0]
    if not there:
        return view
    for name, value, highest in there:
        # What it was before cannot have been more than the highest: most looks end at that.
        if not (
            value < NOTHING * highest and value < NOTHING * _before(service.window[name], highest)
        ):
            return view
    return view._replace(cpu=math.nan, cpu_then=math.nan, request_rate=math.nan)


def _before(values: FloatArray, highest: float) -> float:
    """The median of the older half of a figure's `values` (samples,); 0 of fewer than six.

    Higher than `highest` it cannot be.
    """
    plausible = [value for value in values.tolist() if 0.0 <= value <= highest]
    half = len(plausible) // 2
    return median(plausible[:half]) if half >= NEWEST else 0.0


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
