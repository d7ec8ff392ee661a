"""What people have asked for: floors with an expiry, pinned counts, and the fallback's floor."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model import (
    Direction,
    ManualFloor,
    ManualScale,
    Pause,
    Reason,
    Recommendation,
    ServiceSpec,
)
from engine.settings import FallbackSettings

FALLBACK = "fallback"
"""The evidence by which a fallback's count is known from what people ask for."""
OVERRIDE = "override"
"""The evidence of a count that somebody wants past step, rest, budget and quota."""


def manual(spec: ServiceSpec, floors: Sequence[ManualFloor], now_s: float) -> list[Recommendation]:
    """The floors that are in force for this service."""
    return [
        Recommendation(
            spec.name,
            floor.instances,
            Reason.MANUAL,
            {"floor": float(floor.instances), "expires_in_s": floor.expires_s - now_s},
            confidence=1.0,
            trigger_s=now_s,
        )
        for floor in floors
        if floor.service == spec.name and now_s < floor.expires_s
    ]


def scaled(spec: ServiceSpec, scales: Sequence[ManualScale], now_s: float) -> Recommendation | None:
    """The count that a person wants for this service now, of several the one asked for last."""
    for scale in reversed(scales):
        if scale.service == spec.name and now_s < scale.expires_s:
            evidence = {"asked": float(scale.instances), "expires_in_s": scale.expires_s - now_s}
            if scale.override:
                evidence[OVERRIDE] = 1.0
            return Recommendation(
                spec.name, scale.instances, Reason.MANUAL, evidence, 1.0, now_s, scale.id
            )
    return None


def overrides(chosen: Recommendation | None, current: int) -> bool:
    """Whether `chosen` raises a service past what else limits a rise; a fall is never one."""
    return chosen is not None and OVERRIDE in chosen.evidence and chosen.target > current


def static_fallback(
    spec: ServiceSpec, fallback: FallbackSettings, age_s: float, now_s: float
) -> list[Recommendation]:
    """The configured count for a service whose metrics are lost."""
    if fallback.mode != "static":
        return []
    evidence = {FALLBACK: float(fallback.instances), "metrics_age_s": age_s}
    return [Recommendation(spec.name, fallback.instances, Reason.MANUAL, evidence, 0.5, now_s)]


def pauses_in_force(spec: ServiceSpec, pauses: Sequence[Pause], now_s: float) -> list[Pause]:
    """The pauses, engine-wide or of this service, that are in force now."""
    return [
        pause for pause in pauses if pause.service in ("", spec.name) and now_s < pause.expires_s
    ]


def pinned(pauses: Sequence[Pause]) -> int | None:
    """The count that a pause holds the service at, the highest if several do."""
    counts = [pause.pinned for pause in pauses if pause.pinned is not None]
    return max(counts) if counts else None


def pin(spec: ServiceSpec, count: int, now_s: float) -> Recommendation:
    """A pinned count as a recommendation."""
    evidence = {"pinned": float(count)}
    return Recommendation(spec.name, count, Reason.MANUAL, evidence, 1.0, now_s)


def is_paused(pauses: Sequence[Pause], out: bool) -> bool:
    """Whether these pauses forbid a step out (`out`) or in."""
    direction = Direction.OUT if out else Direction.IN
    return any(pause.direction in (Direction.ALL, direction) for pause in pauses)
