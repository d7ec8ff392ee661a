"""Did the last step help?  Judge it once its effect can be seen.

An action that was refused, failed or lost is forgotten (`engine.memory`), so that the next cycle
finds the same gap and asks again.  One that went through is watched: if the service was well before
and is not after it, and the load does not explain that, the step is taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.decide.assess import Assessment
from engine.decide.observe import Seen
from engine.decide.view import NEWEST, View
from engine.decide.witnesses import FURTHER
from engine.memory import Watch
from engine.model import Action, Reason, Recommendation, ServiceObservation
from engine.settings import VerifySettings

SAME_LOAD = 1.25


class Verdict(NamedTuple):
    """What is left to watch of a service, how long it rests, and what has to be undone.

    No step in goes below `held_at` until `hold_in_until_s`.  `undoes` is the watch that the
    rollback puts an end to.
    """

    watch: Watch | None
    hold_out_until_s: float
    hold_in_until_s: float
    held_at: int
    rollback: Recommendation | None = None
    undoes: Watch | None = None


def verify(seen: Sequence[Seen], now_s: float, settings: VerifySettings) -> tuple[Verdict, ...]:
    """Judge the watched step of each service; between two cycles nothing is judged."""
    return tuple([_verdict(one, now_s, settings) for one in seen])


def _verdict(seen: Seen, now_s: float, settings: VerifySettings) -> Verdict:
    memory, view = seen.memory, seen.view
    watch = memory.watch
    rests = (memory.hold_out_until_s, memory.hold_in_until_s, memory.held_at)
    if watch is None or view.stale or not seen.whole:
        return Verdict(watch, *rests)
    service = seen.service
    grew = watch.to_instances > watch.from_instances
    if grew and service.ready < watch.to_instances and service.booting > 0:
        # Still booting: the watch runs from when the new instances serve.
        late = now_s - watch.decided_s >= 4.0 * settings.watch_s
        return Verdict(None if late else watch, *rests)
    if now_s < watch.decided_s + settings.settle_s:
        return Verdict(watch, *rests)
    if view.rows[:NEWEST][-1][0] < watch.decided_s:
        # Samples of before the step say nothing of it.
        return Verdict(watch, *rests)
    if not _made_worse(service, watch, view, seen.assessment, grew=grew, settings=settings):
        over = now_s >= watch.decided_s + settings.settle_s + settings.watch_s
        return Verdict(None if over else watch, *rests)
    until_s = now_s + settings.hold_s
    evidence = {
        "from": float(watch.to_instances),
        "back_to": float(watch.from_instances),
        "error_rate": view.error_rate,
        "p95_s": view.p95_s,
        "cpu": view.cpu,
    }
    return Verdict(
        watch=None,
        hold_out_until_s=until_s if grew else memory.hold_out_until_s,
        hold_in_until_s=memory.hold_in_until_s if grew else until_s,
        held_at=memory.held_at if grew else watch.from_instances,
        rollback=Recommendation(
            service.spec.name, watch.from_instances, Reason.ROLLBACK, evidence, 0.9, now_s
        ),
        undoes=watch,
    )


def watched(action: Action, view: View, *, healthy: bool) -> Watch:
    """How the service was when `action` was decided, to be compared with later."""
    return Watch(
        decision_id=action.decision_id,
        from_instances=action.from_instances,
        to_instances=action.to_instances,
        decided_s=action.decided_s,
        error_rate=view.error_rate if view.error_rate >= 0.0 else 0.0,
        request_rate=view.request_rate if view.request_rate >= 0.0 else 0.0,
        healthy=healthy,
    )


def _made_worse(
    service: ServiceObservation,
    watch: Watch,
    view: View,
    assessment: Assessment,
    *,
    grew: bool,
    settings: VerifySettings,
) -> bool:
    # Where the rate is lost nobody can say that no more comes.
    lost = grew and watch.request_rate > 0.0 and not view.request_rate >= 0.0
    more = view.request_rate > SAME_LOAD * max(watch.request_rate, 1.0)
    if lost or more or not watch.healthy:
        return False
    failing = view.error_rate > watch.error_rate + settings.worse_error_rate
    if grew:
        # New instances that fail what they are given raise errors while nothing is short.
        return failing and not assessment.saturated
    slow = assessment.breach and assessment.saturated
    return failing or slow or _full(service, view)


def _full(service: ServiceObservation, view: View) -> bool:
    """Whether the CPU is above its threshold, and by what arrives: the step explains no more."""
    spec = service.spec
    offered = view.request_rate / (max(service.ready, 1) * spec.rate_per_instance)
    return view.cpu > spec.thresholds.cpu_up and not view.cpu > FURTHER * offered
