"""The emergency path: looked at on every sample, because 15 s and a cooldown are too long then.

It fires when at least two of the newest three samples show the service drowning, so one wild
sample does not.  The target carries what arrives now at a comfortable utilisation and works the
backlog off within a minute; it knows what is already booting, and asks again only for more.
"""

from __future__ import annotations

import math

from engine.analysis.view import Row, View
from engine.capacity import Sizing
from engine.model import Reason, Recommendation, ServiceObservation, ServiceSpec
from engine.settings import EmergencySettings

LOOKED_AT = 3


def drowning(row: Row, spec: ServiceSpec, ready: int, settings: EmergencySettings) -> bool:
    """Does this one sample show a service that is out of capacity?"""
    cpu, p95_s, error_rate, queue = row[1], row[5], row[7], row[8]
    slots = max(ready, 1) * spec.slots
    busy = cpu >= settings.cpu
    queueing = queue >= settings.queue_per_slot * slots
    failing = error_rate >= settings.error_rate
    slow = p95_s >= settings.response_time * spec.slo_p95_s
    # Failures or slowness without busy slots are somebody else's: more of this would not help.
    return (busy and (queueing or failing or slow)) or queueing or (busy and cpu >= 0.99)


def emergency(
    service: ServiceObservation,
    view: View,
    sizing: Sizing,
    slowdown: float,
    settings: EmergencySettings,
) -> Recommendation | None:
    """What has to be there at once, or None when the service is not drowning."""
    spec = service.spec
    rows = view.rows[:LOOKED_AT]
    hot = [row for row in rows if drowning(row, spec, service.ready, settings)]
    if len(hot) < min(settings.confirm, LOOKED_AT) or not hot:
        return None
    rate = view.request_rate
    if not rate >= 0.0:
        return None
    backlog = max(view.queue_depth, 0.0) if view.queue_depth >= 0.0 else 0.0
    target = sizing.instances(
        (rate + backlog / settings.drain_s) * slowdown, settings.target_utilisation
    )
    # Full slots hide how much is missing: ask for at least as much more as comfort takes.
    if view.cpu >= settings.cpu:
        target = max(target, math.ceil(service.ready * view.cpu / settings.target_utilisation))
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
            "queue_depth": backlog,
            "ready": float(service.ready),
        },
        confidence=min(1.0, 0.4 + 0.2 * len(hot)),
        trigger_s=min(row[0] for row in hot),
    )
