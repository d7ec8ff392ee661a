"""The faults of a random world: which, and when; each kind draws its own figures."""

from __future__ import annotations

from typing import Any

from scenarios.faults.base import Victim
from scenarios.faults.draw import Draw
from scenarios.faults.registry import KINDS


def faults_of_world(draw: Draw, services: list[str], zones: int, until_s: int) -> dict[str, Any]:
    """None to five faults of different kinds, all over by `until_s`."""
    faults: dict[str, Any] = {}
    kinds = draw.some_of(list(KINDS), 0, 5)
    scaling = any(KINDS[kind].needs_scaling for kind in kinds)
    if "flash_crowd" not in kinds and draw.chance(0.8 if scaling else 0.35):
        kinds.insert(0, "flash_crowd")  # something to scale for while the others go on
    for kind in kinds:
        at_s = draw.whole(60, until_s - 120)
        if KINDS[kind].needs_scaling and "flash_crowd" in faults and draw.chance(0.75):
            at_s = max(faults["flash_crowd"]["at"] - draw.whole(0, 60), 60)
        longest_s = until_s - at_s
        fault: dict[str, Any] = {"kind": kind, "at": at_s}
        if "duration_s" in KINDS[kind].model_fields:
            fault["duration_s"] = draw.whole(60, longest_s)
        fault |= figures_of_kind(draw, kind, services, zones, longest_s=longest_s)
        if "services" in KINDS[kind].model_fields and draw.chance(0.4):
            fault["services"] = draw.some_of(services, 1, 2)
        faults[kind] = fault
    return faults


def figures_of_kind(
    draw: Draw, kind: str, services: list[str], zones: int, *, longest_s: int
) -> dict[str, Any]:
    """What belongs to this kind alone."""
    zone = draw.whole(0, zones - 1)
    service = draw.one_of(services)
    share = draw.one_of([0.05, 0.2, 0.5, 1.0])
    return KINDS[kind].drawn(draw, Victim(services[0], service, zone, share, longest_s))
