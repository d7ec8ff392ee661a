"""Scale to zero: when a service may sleep, and what wakes it.

A service whose minimum is 0 sleeps once nobody has asked for it for a while (`limits.idle_s`, as
KEDA's `cooldownPeriod`), nobody who calls it was asked for anything either, and nothing is booked.
While it sleeps there is no CPU and no response time to be measured (0/0), which is no blackout:
what its load balancer or activator counts is enough.  One sample with a request, or with somebody
who waits, wakes it at the next look: there is nothing to confirm it by, the first user waits for a
boot already, and a wild sample costs an instance for a few minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.decide.sizing import Sizing
from engine.decide.view import Row, View
from engine.memory import NEVER
from engine.model import Reason, Recommendation, ServiceObservation
from engine.settings import EmergencySettings

ASLEEP = "asleep"
"""The figure among the evidence by which a wake-up is told from another emergency."""


def asked_for(row: Row) -> bool:
    """Whether this sample shows a request that came or waits."""
    return 0.0 < row[3] < math.inf or 0.0 < row[8] < math.inf


def last_asked_s(before_s: float, view: View, now_s: float) -> float:
    """When the service was last asked for, `before_s` having been the last time so far.

    Now, where nothing tells: at the first look, on stale samples, and without a request rate.
    """
    silent = [row for row in view.rows if row[3] == 0.0 and not row[8] > 0.0]
    if before_s == NEVER or not (silent or any(map(asked_for, view.rows))):
        return now_s
    return max([row[0] for row in view.rows if asked_for(row)], default=before_s)


def wakes(service: ServiceObservation, rows: Sequence[Row]) -> bool:
    """Whether the service sleeps and one of these samples shows that somebody wants it."""
    return service.desired == 0 and any(map(asked_for, rows))


def wake(
    service: ServiceObservation,
    view: View,
    sizing: Sizing,
    slowdown: float,
    *,
    passed_on_rate: float,
    trigger_s: float,
    settings: EmergencySettings,
) -> Recommendation:
    """What a sleeping service needs now: one instance, or what arrives and waits takes.

    `passed_on_rate` (1/s) is what callers that are woken with it will pass on.
    """
    rate = view.request_rate if view.request_rate >= 0.0 else 0.0
    waiting = view.queue_depth if view.queue_depth >= 0.0 else 0.0
    target = sizing.instances(
        (rate + passed_on_rate + waiting / settings.drain_s) * slowdown, settings.target_utilisation
    )
    return Recommendation(
        service.spec.name,
        min(max(target, 1), math.floor(settings.most_at_once)),
        Reason.EMERGENCY,
        {
            ASLEEP: 1.0,
            "request_rate": rate,
            "queue_depth": waiting,
            "passed_on_rate": passed_on_rate,
        },
        confidence=0.8,
        trigger_s=trigger_s,
    )
