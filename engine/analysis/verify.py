"""Did the last step help?  Judge it once its effect can be seen.

An action that was refused or failed is forgotten, so that the next cycle finds the same gap and
asks again.  One that went through is watched: if the service was well before and is not after it,
and the load does not explain that, the step is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.analysis.assess import Assessment
from engine.analysis.view import View
from engine.model import Action, ActionResult, Reason, Recommendation, ServiceObservation, Status
from engine.settings import VerifySettings
from engine.state import NEVER, ServiceMemory, Watch

SAME_LOAD = 1.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a watched step; `rollback` is set when it has to be undone."""

    decision_id: str
    good: bool
    rollback: Recommendation | None = None


def take_results(memory: ServiceMemory, results: dict[str, ActionResult]) -> None:
    """Forget the step that was refused: neither its cooldown nor its watch may stand."""
    watch = memory.watch
    if watch is None:
        return
    result = results.get(watch.decision_id)
    if result is not None and result.status is Status.FAILED:
        if watch.to_instances > watch.from_instances:
            memory.last_out_s = NEVER
        else:
            memory.last_in_s = NEVER
        memory.watch = None


def start_watch(memory: ServiceMemory, action: Action, view: View, healthy: bool) -> None:
    """Remember how the service was when `action` was decided."""
    memory.watch = Watch(
        decision_id=action.decision_id,
        from_instances=action.from_instances,
        to_instances=action.to_instances,
        decided_s=action.decided_s,
        error_rate=view.error_rate if view.error_rate >= 0.0 else 0.0,
        request_rate=view.request_rate if view.request_rate >= 0.0 else 0.0,
        healthy=healthy,
    )


def verify(
    service: ServiceObservation,
    memory: ServiceMemory,
    view: View,
    assessment: Assessment,
    now_s: float,
    settings: VerifySettings,
) -> Verdict | None:
    """Judge the watched step of `service`; None while there is nothing to say."""
    watch = memory.watch
    if watch is None or view.stale:
        return None
    grew = watch.to_instances > watch.from_instances
    if grew and service.ready < watch.to_instances and service.booting > 0:
        # Still booting: the watch runs from when the new instances serve.
        if now_s - watch.decided_s < 4.0 * settings.watch_s:
            return None
        memory.watch = None
        return None
    if now_s < watch.decided_s + settings.settle_s:
        return None
    worse = _made_worse(service, watch, view, assessment, grew, settings)
    if worse:
        memory.watch = None
        until_s = now_s + settings.hold_s
        if grew:
            memory.hold_out_until_s = until_s
        else:
            memory.hold_in_until_s = until_s
        evidence = {
            "from": float(watch.to_instances),
            "back_to": float(watch.from_instances),
            "error_rate": view.error_rate,
            "p95_s": view.p95_s,
            "cpu": view.cpu,
        }
        recommendation = Recommendation(
            service.spec.name, watch.from_instances, Reason.ROLLBACK, evidence, 0.9, now_s
        )
        return Verdict(watch.decision_id, good=False, rollback=recommendation)
    if now_s >= watch.decided_s + settings.settle_s + settings.watch_s:
        memory.watch = None
        return Verdict(watch.decision_id, good=True)
    return None


def _made_worse(
    service: ServiceObservation,
    watch: Watch,
    view: View,
    assessment: Assessment,
    grew: bool,
    settings: VerifySettings,
) -> bool:
    if not watch.healthy or view.request_rate > SAME_LOAD * max(watch.request_rate, 1.0):
        return False
    failing = view.error_rate > watch.error_rate + settings.worse_error_rate
    if grew:
        # New instances that fail what they are given raise errors while nothing is short.
        return failing and not assessment.saturated
    slow = assessment.breach and assessment.saturated
    return failing or slow or view.cpu > service.spec.thresholds.cpu_up
