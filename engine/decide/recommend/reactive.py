"""Targets from what the service shows now: cpu, memory, request rate, response time, queue.

The arithmetic is the proportional one of Kubernetes' HorizontalPodAutoscaler: enough instances to
bring each figure back to its threshold, given what is *ready*.  Response time and queue do not
grow in proportion to load, so they ask for one step limit's worth at most, on top of what was ready
when they were measured: what has come since has not shown yet what it can do.
"""

from __future__ import annotations

import math

from engine.decide.assess import Assessment
from engine.decide.view import View
from engine.model import Reason, Recommendation, ServiceObservation

NOT_PROPORTIONAL = {Reason.RESPONSE_TIME, Reason.QUEUE_DEPTH}
MOST_AT_ONCE = 1.5


def reactive(
    service: ServiceObservation, view: View, assessment: Assessment
) -> list[Recommendation]:
    """What the signals above their thresholds ask for; empty when none is."""
    recommendations = []
    for signal in assessment.over:
        ready, factor = service.ready, signal.load
        if signal.reason in NOT_PROPORTIONAL:
            ready, factor = view.ready_then[0], min(factor, MOST_AT_ONCE)
        target = math.ceil(max(ready, 1) * factor - 1e-9)
        recommendations.append(
            Recommendation(
                service.spec.name,
                target,
                signal.reason,
                {
                    signal.reason.value: signal.value,
                    "threshold": signal.threshold,
                    "ready": float(service.ready),
                },
                confidence=0.8 if len(view.rows) >= 3 else 0.5,
                trigger_s=view.newest_s,
            )
        )
    return recommendations
