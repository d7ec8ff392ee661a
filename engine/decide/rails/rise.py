"""How far figures alone may raise a service: to twice what there was, unless its shortage shows.

Who is short of instances lets requests wait, fails some of them, or gets more than it can serve.  A
cpu and a response time that say otherwise may be right (the service works more slowly) or wrong, by
whatever factor and for whatever time; nothing tells them apart.  So they may double what there was
before they asked for more, and no further until one of the others bears them out.  Nor does a queue
or a rate bear out what free slots speak against, nor do failures beside both, nor a rate that would
have to make some wait or fail; with more instances that one looks possible, and is as wrong.
"""

from __future__ import annotations

import math

import numpy as np

from engine.decide.observe import Seen
from engine.decide.ready_then import ready_then
from engine.decide.recommend.emergency import BEARABLE, BORNE_OUT, PASSED_ON, UNSEEN
from engine.decide.view import NEWEST, View
from engine.decide.witnesses import FURTHER, STILL
from engine.model import Reason, Recommendation, ServiceSpec

YOUNG_S = 1800.0
"""What figures asked for is theirs for so long after they last did."""
AT_MOST = 2
"""So many times what there was before."""
WELL_USED = 0.7
"""Arrivals of this share of what can be served bear out that a service is short."""
FULL = 0.95
"""Slots that are less in use than this in each of the newest samples keep nobody waiting."""
AT_ONCE = 0.5
"""Who is answered within this share of the SLO has not waited."""
FAILING = 0.01
"""More failures than this bear out that a service is short."""
UNBOOKED_SURGE = 0.2
"""A forecast goes by figures, too, where the load departs by more than this (log) from what is
booked, or the service works more slowly than specified."""
BY_FIGURES = frozenset({
    Reason.CPU, Reason.MEMORY, Reason.REQUEST_RATE, Reason.RESPONSE_TIME, Reason.QUEUE_DEPTH,
    Reason.EMERGENCY,
})  # fmt: skip


def by_figures(seen: Seen, chosen: Recommendation) -> bool:
    """Whether `chosen` is for what was measured, and not for bookings and people alone."""
    if chosen.reason is Reason.FORECAST:
        return seen.slowdown > 1.0 or seen.response.surge > UNBOOKED_SURGE
    return chosen.reason in BY_FIGURES


def before_rise(seen: Seen, now_s: float) -> int:
    """How many there were before figures asked for more; as many as now where they did not."""
    own, desired = seen.memory, seen.service.desired
    young = 0 <= own.before_rise < desired and now_s <= own.rise_s + YOUNG_S
    return own.before_rise if young else desired


def bounded(seen: Seen, chosen: Recommendation, now_s: float) -> int:
    """The target of `chosen`, or the highest that figures which nothing bears out may ask for."""
    desired = seen.service.desired
    if chosen.target <= desired or not by_figures(seen, chosen) or _is_short(seen):
        return chosen.target
    most = AT_MOST * max(before_rise(seen, now_s), seen.traits.spec.min_instances, 1)
    return max(min(chosen.target, most + _for_callers(chosen)), desired)


def _for_callers(chosen: Recommendation) -> int:
    """What of an emergency is for load that callers will pass on, which no figure shows yet."""
    extra = chosen.evidence.get(PASSED_ON, 0.0)
    if not extra > 0.0:
        return 0
    return math.ceil(chosen.target * extra / (chosen.evidence["request_rate"] + extra) - 1e-9)


def enough(seen: Seen, now_s: float) -> int:
    """What would keep the figures below their thresholds, where they have asked for what is there.

    0 where they have not: bookings say by themselves what is enough for them.  All of it where the
    figures that would say so are missing: they are asked again for as long as anything counts.
    """
    desired, view = seen.service.desired, seen.view
    if before_rise(seen, now_s) >= desired:
        return 0
    if view.stale or ("cpu" in seen.figures.lost and not view.request_rate >= 0.0):
        return desired
    return seen.assessment.enough


def _is_short(seen: Seen) -> bool:
    view, spec, ready = seen.view, seen.traits.spec, max(seen.service.ready, 1)
    if not (view.queue_depth >= 0.0 or view.request_rate >= 0.0):
        return True
    in_use, in_time = _most_in_use(view), not view.p95_s > spec.slo_p95_s
    queued = not view.queue_depth < BORNE_OUT * ready * spec.slots
    offered = view.request_rate / (ready * spec.rate_per_instance)
    denied = in_use < FULL and offered > FURTHER * in_use
    # Who fails beside free slots that nobody waits for is failed by somebody else: that bears out
    # no rate that they speak against.
    if view.error_rate > FAILING and (queued or in_use >= BEARABLE or not denied):
        return True
    if denied:
        return False  # what free slots speak against, a queue of a few bears out no better
    if offered >= WELL_USED and not (_served_all(view, spec) or _denied_before(seen)):
        return True
    # Nobody waits beside free slots and is answered in time, nor, where no slots are measured, if
    # all are answered at once: a surge of a few seconds has been waited for by as many.
    unseen = math.isnan(view.cpu) and _at_once(view, spec)
    waits = not (unseen or (in_use < BEARABLE and in_time))
    return waits and view.queue_depth >= BORNE_OUT * ready * spec.slots


def _served_all(view: View, spec: ServiceSpec) -> bool:
    """Whether far more arrives than could be served then, and yet nobody is seen to wait or fail.

    It does not come without a queue, nor for long without failures, so the rate is wrong.
    """
    in_time = not view.p95_s > spec.slo_p95_s
    served = max(view.ready_then[0], 1) * spec.rate_per_instance
    tells = view.queue_depth >= 0.0 or (view.error_rate >= 0.0 and in_time)
    return tells and view.request_rate >= UNSEEN * served


def _denied_before(seen: Seen) -> bool:
    """Whether the rate was wrong like that in `NEWEST` samples of the window, and is so still.

    With more instances it looks like one that can be; it is as wrong until it has fallen.
    """
    spec, window, view = seen.traits.spec, seen.service.window, seen.view
    times_s, rate, queue = window["time_s"], window["request_rate"], window["queue_depth"]
    counts = seen.memory.counts
    ready = np.array([max(ready_then(counts, t, seen.service.ready), 1) for t in times_s.tolist()])
    wrong = (
        (rate >= UNSEEN * spec.rate_per_instance * ready)
        & (queue >= 0.0)
        & (queue < BORNE_OUT * spec.slots * ready)
        & ~(window["error_rate"] > FAILING)
    )
    several = np.count_nonzero(wrong) >= NEWEST
    return bool(several and view.request_rate >= STILL * rate[wrong].min())


def _most_in_use(view: View) -> float:
    """The highest share of the slots in use that any of the newest samples shows; 1 if one may be.

    Full slots in one of them are enough: a surge has begun between two.
    """
    shares = [row[1] for row in view.rows[:NEWEST]]
    return max(shares) if all(0.0 <= share < math.inf for share in shares) else 1.0


def _at_once(view: View, spec: ServiceSpec) -> bool:
    """Whether each of the newest samples has a p95, of less than half of the SLO."""
    return all(0.0 <= row[5] < AT_ONCE * spec.slo_p95_s for row in view.rows[:NEWEST])
