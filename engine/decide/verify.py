"""Did the last step help?  Judge it once its effect can be seen.

An action that was refused, failed or lost is forgotten, so that the next cycle finds the same gap
and asks again.  One that went through is watched: if the service was well before and is not after
it, and the load does not explain that, the step is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.decide.assess import Assessment
from engine.decide.view import View
from engine.memory import Sent, ServiceMemory, Watch
from engine.model import Action, ActionResult, Reason, Recommendation, ServiceObservation, Status
from engine.settings import VerifySettings

SAME_LOAD = 1.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a watched step; `rollback` is set when it has to be undone."""

    watch: Watch
    good: bool
    rollback: Recommendation | None = None


def take_results(memory: ServiceMemory, results: dict[str, ActionResult]) -> None:
    """Note what became of the command sent last."""
    sent = memory.sent
    result = results.get(sent.decision_id) if sent is not None else None
    if sent is None or result is None:
        return
    if result.status is not Status.FAILED:
        sent.accepted = True
    elif not sent.accepted:
        _forget(memory, sent)


def compare(memory: ServiceMemory, desired: int, now_s: float, settings: VerifySettings) -> None:
    """Compare what is desired with what was sent and what was desired before.

    A command without answer or effect counts as lost.  A change that nobody here asked for (a
    command that was thought lost, another engine, a person) counts as a step made now, so that the
    rest after a step holds for it too.
    """
    sent = memory.sent
    if desired != memory.desired:
        if memory.desired >= 0 and (sent is None or desired != sent.to_instances):
            if desired > memory.desired:
                memory.last_out_s = now_s
            else:
                memory.last_in_s = now_s
        memory.desired = desired
    if (
        sent is not None
        and not sent.accepted
        and desired == sent.from_instances
        and now_s >= sent.sent_s + settings.answer_s
    ):
        _forget(memory, sent)


def _forget(memory: ServiceMemory, sent: Sent) -> None:
    """The step was not made: neither its rest nor its watch may stand, and no rollback was done."""
    unchanged = (
        memory.desired == sent.from_instances
    )  # else somebody's step was made: rest after it
    out = sent.to_instances > sent.from_instances
    if unchanged and out and memory.last_out_s == sent.sent_s:
        memory.last_out_s = sent.rest_s
    elif unchanged and not out and memory.last_in_s == sent.sent_s:
        memory.last_in_s = sent.rest_s
    if sent.undoes is not None:
        memory.watch = sent.undoes
    elif memory.watch is not None and memory.watch.decision_id == sent.decision_id:
        memory.watch = None
    memory.sent = None


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
        return Verdict(watch, good=False, rollback=recommendation)
    if now_s >= watch.decided_s + settings.settle_s + settings.watch_s:
        memory.watch = None
        return Verdict(watch, good=True)
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
