"""The emergency path: looked at on every sample, because 15 s and a cooldown are too long then.

A caller that drowns will pass its load on as soon as it has been given room, so the services it
calls are sized for that at once (`passed_on`): they often take longer to boot than the caller.

It fires when at least two of the newest three samples show the service drowning, so one wild
sample does not.  Where neither the CPU nor a queue is measured, arrivals as a share of what can be
served stand in for them; where nothing but arrivals is, nothing confirms them, and no more is asked
for than comfort takes.  Nor is it where the CPU has just been lost, or the request rate of a
service without one, and then with the rest of any other step and no calm afterwards: something is
wrong with the samples.  What such a caller passes on is confirmed no better.  One figure that all
others speak against, each of them measured, is no emergency either; nor are a queue and a rate that
are wrong together, where each of these samples shows a quarter of the slots free and all answered
in time.

The target carries what arrives now at a comfortable utilisation and works the backlog off within a
minute; it knows what is already booting, and asks again only for more.
"""

from __future__ import annotations

import math

from engine.decide.assess import UNTIMED_S, arrival_rate
from engine.decide.sizing import Sizing
from engine.decide.view import Row, View
from engine.decide.witnesses import FURTHER
from engine.model import Reason, Recommendation, ServiceObservation, ServiceSpec
from engine.settings import EmergencySettings

LOOKED_AT = 3
UNCONFIRMED = "unconfirmed"
"""The figure among the evidence by which an emergency is told that has just lost its cpu,
or the request rate in its place."""
PASSED_ON = "passed_on_rate"
"""The figure among the evidence by which an emergency is told that a caller causes."""
BORNE_OUT = 0.05
"""Waiting requests a slot that bear out full slots."""
BEARABLE = 0.75
"""Arrivals below this share of what can be served bear out neither a queue nor full slots."""
UNSEEN = 1.5
"""Arrivals, as a share of what can be served, that cannot come without a request that waits or
fails, where both are measured: a service may be a little faster than specified."""
BEHIND = 2.0
"""More may wait than the response time says, as it is that of those who came earlier."""


def drowning(row: Row, spec: ServiceSpec, ready: int, settings: EmergencySettings) -> bool:
    """Whether this one sample shows a service that was out of capacity with `ready` instances."""
    cpu, rate, p95_s, error_rate, queue = row[1], row[3], row[5], row[7], row[8]
    slots = max(ready, 1) * spec.slots
    queueing = settings.queue_per_slot * slots <= queue < math.inf
    if not queueing and 0.0 <= cpu < settings.cpu:
        return False  # most samples: whatever else they show
    failing = error_rate >= settings.error_rate
    slow = p95_s >= settings.response_time * spec.slo_p95_s
    if 0.0 <= cpu < math.inf:
        # Who is meant to be as busy as that has full slots by chance: the wait tells the rest.
        meant = spec.thresholds.cpu_up >= settings.cpu and 0.0 <= p95_s < math.inf
        busy, full = cpu >= settings.cpu, cpu >= 0.99 and not meant
    else:
        offered = rate / (max(ready, 1) * spec.rate_per_instance)
        busy = settings.cpu <= offered < math.inf
        if 0.0 <= queue < BORNE_OUT * slots and 0.0 <= error_rate < settings.error_rate:
            # What cannot be served waits or fails: nobody does, so it is served.
            busy = busy and offered < UNSEEN
        alone = not (0.0 <= queue < math.inf or 0.0 <= p95_s < math.inf)
        full = alone and offered >= 1.0
    # A queue fills the slots, or makes its callers wait or fail, and comes of more than can be
    # served; so do full slots.  Where all of that is measured and none of it is so, the one figure
    # is wrong.
    at_ease = p95_s >= 0.0 and not (slow or failing)
    served = max(ready, 1) * spec.rate_per_instance
    if at_ease and 0.0 <= rate < BEARABLE * served:
        queueing = queueing and cpu >= settings.cpu
    if at_ease and 0.0 <= rate < max(BEARABLE, cpu / FURTHER) * served:
        full = full and not 0.0 <= queue < BORNE_OUT * slots
    # Failures or slowness without busy slots are somebody else's: more of this would not help.
    return queueing or (busy and (failing or slow or full))


def has_free_slots(row: Row, spec: ServiceSpec, settings: EmergencySettings) -> bool:
    """Whether this one sample shows, by figures other than queue and rate, that nobody waits.

    A quarter of the slots was free, and who was answered came through, and in time.
    """
    cpu, p95_s, error_rate = row[1], row[5], row[7]
    in_time = 0.0 <= p95_s < settings.response_time * spec.slo_p95_s
    return 0.0 <= cpu < BEARABLE and in_time and not error_rate >= settings.error_rate


def emergency(
    service: ServiceObservation,
    view: View,
    sizing: Sizing,
    slowdown: float,
    *,
    settings: EmergencySettings,
    measures: int | None = None,
) -> Recommendation | None:
    """What has to be there at once, or None when the service is not drowning.

    `measures` is the column that tells how busy the service is, the cpu's or else the request
    rate's, where that is measured, or was until lately: samples without it lack something.
    """
    spec = service.spec
    hot = [
        row
        for row, ready in zip(view.rows[:LOOKED_AT], view.ready_then, strict=False)
        if drowning(row, spec, ready, settings)
    ]
    if len(hot) < settings.confirm or all(has_free_slots(row, spec, settings) for row in hot):
        return None
    rate = arrival_rate(view, spec, service.ready, slowdown)
    if not rate >= 0.0:
        rate = service.ready * spec.rate_per_instance / max(slowdown, 1.0)
    backlog = waiting(view, spec, rate)
    target = sizing.instances(
        (rate + backlog / settings.drain_s) * slowdown, settings.target_utilisation
    )
    # Full slots hide how much is missing: ask for at least as much more as comfort takes.
    if view.cpu >= settings.cpu:
        target = max(target, math.ceil(service.ready * view.cpu / settings.target_utilisation))
    unconfirmed = (
        measures is not None and sum(row[measures] >= 0.0 for row in hot) < settings.confirm
    )
    if unconfirmed or all(map(math.isnan, (view.cpu, view.queue_depth, view.p95_s))):
        target = min(target, math.ceil(max(service.ready, 1) / settings.target_utilisation))
    target = min(target, _most(service, settings))
    if target <= service.ready:
        return None
    return Recommendation(
        spec.name,
        target,
        Reason.EMERGENCY,
        {
            "cpu": view.cpu,
            "request_rate": rate,
            "p95_s": view.p95_s,
            "error_rate": view.error_rate,
            "queue_depth": view.queue_depth,
            "ready": float(service.ready),
        }
        | ({UNCONFIRMED: 1.0} if unconfirmed else {}),
        confidence=min(1.0, 0.4 + 0.2 * len(hot)),
        trigger_s=min(row[0] for row in hot),
    )


def waiting(view: View, spec: ServiceSpec, rate: float) -> float:
    """Requests in the queue, as far as the response time bears it out; 0 where none are measured.

    Without a response time they are no more than what arrives in `UNTIMED_S`.

    Who is answered now left behind what arrived while it waited (Little's law), at `rate` (1/s).
    """
    backlog = view.queue_depth if view.queue_depth >= 0.0 else 0.0
    behind_s = BEHIND * max(view.p95_s, spec.slo_p95_s) if view.p95_s >= 0.0 else UNTIMED_S
    return min(backlog, behind_s * rate)


def unserved_rate(service: ServiceObservation, view: View, slowdown: float, target: int) -> float:
    """Arrivals (1/s) beyond what the ready instances can serve, as far as `target` of them could.

    There are no more of them than the maximum allows, whatever arrives.
    """
    spec = service.spec
    per_instance = spec.rate_per_instance / max(slowdown, 1.0)
    rate = arrival_rate(view, spec, service.ready, slowdown)
    more = min(target, spec.max_instances) - service.ready
    unserved = min(rate - service.ready * per_instance, more * per_instance)
    return max(unserved, 0.0) if rate >= 0.0 else 0.0


def passed_on(
    service: ServiceObservation,
    view: View,
    sizing: Sizing,
    slowdown: float,
    *,
    extra_rate: float,
    trigger_s: float,
    settings: EmergencySettings,
    unconfirmed: bool = False,
) -> Recommendation | None:
    """What a callee needs once its drowning callers get room and pass `extra_rate` (1/s) on.

    `unconfirmed`: none of them has an emergency that its own samples confirm.
    """
    present = arrival_rate(view, service.spec, service.ready, slowdown)
    if not present >= 0.0:
        # Nothing tells what arrives: what is there is taken to be as busy as it should be.
        present = service.ready * service.spec.rate_per_instance * settings.target_utilisation
    # Who does not drown by itself serves what arrives: more than that is a wrong figure.
    present = min(present, service.ready * service.spec.rate_per_instance / max(slowdown, 1.0))
    rate = present + extra_rate
    target = sizing.instances(rate * slowdown, settings.target_utilisation)
    if unconfirmed:
        target = min(target, math.ceil(max(service.ready, 1) / settings.target_utilisation))
    target = min(target, _most(service, settings))
    if target <= service.ready:
        return None
    return Recommendation(
        service.spec.name,
        target,
        Reason.EMERGENCY,
        {
            "cpu": view.cpu,
            "request_rate": present,
            PASSED_ON: extra_rate,
            "ready": float(service.ready),
        }
        | ({UNCONFIRMED: 1.0} if unconfirmed else {}),
        confidence=0.5,
        trigger_s=trigger_s,
    )


def _most(service: ServiceObservation, settings: EmergencySettings) -> int:
    return math.floor(max(service.ready, service.spec.min_instances, 1) * settings.most_at_once)
