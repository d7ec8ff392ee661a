"""Take back a step whose cause has vanished.

A figure that asked for more and is back where it was leaves its instances behind: they keep every
figure between its thresholds, and what is booked for the next hours forbids to give them away.  For
a load that has come, and for a booking, that is right; for a figure that was wrong, or a moment
that is over, it is not.  So the count that there was before figures asked for more is remembered,
and for as long as such a step is young it may be taken back, to what was enough before it: with the
patience of any scale-in: no lower than what anything asked for, or what would have kept the figures
below their thresholds, within the stabilisation window.
"""

from __future__ import annotations

from engine.decide.assess_weddings import Ahead
from engine.decide.observe import Seen
from engine.decide.rails.limits import held_at, spent_on_little
from engine.decide.rails.rise import before_rise
from engine.decide.rails.scale_in import waits_for_boots
from engine.model import Reason, Recommendation
from engine.settings import EngineSettings

VANISHED = "vanished"
"""The figure among the evidence that tells such a rollback: the count before the step."""


def take_back(
    seen: Seen,
    ahead: Ahead,
    chosen: Recommendation,
    *,
    targets: tuple[tuple[float, int], ...],
    now_s: float,
    settings: EngineSettings,
) -> Recommendation | None:
    """The rollback of what figures asked for and no longer do; None where there is none.

    `targets` are those of the stabilisation window, the highest first.
    """
    own, spec, current = seen.memory, seen.traits.spec, seen.service.desired
    limits = settings.limits
    before = before_rise(seen, now_s)
    if before >= current:
        return None
    rested_s = max(own.last_out_s + limits.flip_hold_s, own.calm_from_s)
    if now_s < rested_s or seen.alarm is not None:
        return None
    if seen.view.stale or seen.figures.lost or seen.figures.unmeasured or seen.assessment.saturated:
        return None
    if waits_for_boots(seen, now_s):
        return None
    sent = own.sent
    if sent is not None and not sent.accepted and now_s < sent.sent_s + settings.verify.answer_s:
        return None
    lowest = max(
        before, targets[-1][1], ahead.weddings.floor, spec.min_instances, held_at(own, now_s), 1
    )
    target = max(lowest, targets[0][1])
    if target > current - max(limits.tolerance_in * current, 1.0):
        return None
    if spent_on_little(current, target, lowest, targets, now_s=now_s, settings=limits):
        return None
    evidence = dict(chosen.evidence) | {VANISHED: float(before)}
    return Recommendation(spec.name, target, Reason.ROLLBACK, evidence, chosen.confidence, now_s)
