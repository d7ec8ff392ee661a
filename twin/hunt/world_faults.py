"""The faults of a random world: which, when, and the figures that each kind has of its own.

A kind of fault is drawn here once it is in `scenarios.faults.kinds`; its own figures are one entry
of `OWN_FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from scenarios.faults.kinds import KINDS
from twin.hunt.draw import Draw

SCALING = frozenset({
    "slow_boot", "heavy_boots", "never_ready", "crash_loop", "capacity_shortage", "api_errors",
    "api_timeout", "commands_lost", "commands_duplicated", "two_leaders",
})  # fmt: skip
"""Faults that meet nothing unless the engine scales while they go on."""


def faults_of_world(draw: Draw, services: list[str], zones: int, until_s: int) -> dict[str, Any]:
    """None to five faults of different kinds, all over by `until_s`."""
    faults: dict[str, Any] = {}
    kinds = draw.some_of(list(KINDS), 0, 5)
    if "flash_crowd" not in kinds and draw.chance(0.8 if SCALING & set(kinds) else 0.35):
        kinds.insert(0, "flash_crowd")  # something to scale for while the others go on
    for kind in kinds:
        at_s = draw.whole(60, until_s - 120)
        if kind in SCALING and "flash_crowd" in faults and draw.chance(0.75):
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


class _Drawn(NamedTuple):
    """What is drawn for each fault, whatever of it its kind has."""

    entered: str
    """The service at which users enter first."""
    service: str
    zone: int
    share: float
    longest_s: int


def figures_of_kind(
    draw: Draw, kind: str, services: list[str], zones: int, *, longest_s: int
) -> dict[str, Any]:
    """What belongs to this kind alone."""
    zone = draw.whole(0, zones - 1)
    service = draw.one_of(services)
    share = draw.one_of([0.05, 0.2, 0.5, 1.0])
    own = OWN_FIGURES.get(kind)
    return {} if own is None else own(draw, _Drawn(services[0], service, zone, share, longest_s))


def _of_crowd(draw: Draw, of: _Drawn) -> dict[str, Any]:
    first, second = sorted(draw.whole(0, of.longest_s) for _ in range(2))
    return {
        "service": of.entered, "factor": draw.log(0.2, 10), "ramp_s": first,
        "hold_s": second - first, "decay_s": of.longest_s - second,
    }  # fmt: skip


def _of_shortage(draw: Draw, of: _Drawn) -> dict[str, Any]:
    if draw.chance(0.3):
        return {"zones": [of.zone]}
    return {"granted": draw.one_of([0.0, 0.3, 0.7])}


def _share(_: Draw, of: _Drawn) -> dict[str, Any]:
    return {"share": of.share}


FIGURES = ["cpu", "memory", "request_rate", "p95_s", "error_rate", "queue_depth"]
OWN_FIGURES: Mapping[str, Callable[[Draw, _Drawn], dict[str, Any]]] = {
    "flash_crowd": _of_crowd,
    "slow_service": lambda draw, of: {"service": of.service, "factor": draw.log(0.5, 10)},
    "cache_flush": lambda draw, of: {
        "service": of.service,
        "factor": draw.log(1.5, 10),
        "refill_s": draw.whole(60, of.longest_s),
    },
    "zone_loss": lambda _, of: {"zone": of.zone},
    "slow_instance": lambda draw, of: {
        "service": of.service,
        "instances": draw.whole(1, 3),
        "factor": draw.log(2, 20),
    },
    "slow_zone": lambda draw, of: {"zone": of.zone, "factor": draw.log(1.5, 10)},
    "spot_reclaim": lambda draw, of: {
        "share": of.share,
        "notice_s": min(draw.one_of([0, 30, 120]), of.longest_s),
    },
    "slow_boot": lambda draw, _: {"factor": draw.log(0.5, 10)},
    "heavy_boots": lambda draw, of: {"share": of.share, "tail": draw.real(0.8, 3)},
    "never_ready": lambda draw, of: {"share": of.share, "given_up_s": draw.whole(30, 300)},
    "crash_loop": lambda draw, of: {
        "share": of.share,
        "up_s": draw.whole(10, 60),
        "crashes": draw.whole(1, 4),
    },
    "capacity_shortage": _of_shortage,
    "api_errors": lambda draw, of: {
        "share": of.share,
        "status": draw.one_of([429, 500, 502, 503, 504]),
    },
    "api_timeout": lambda draw, of: {
        "share": of.share,
        "timeout_s": draw.log(1, 60),
        "late_s": draw.log(1, 600),
    },
    "commands_lost": _share,
    "commands_duplicated": lambda draw, of: {"share": of.share, "delay_s": draw.log(0.1, 600)},
    "metrics_blackout": lambda draw, _: {"late_s": draw.one_of([0, 60])},
    "scrape_lag": lambda draw, _: {"lag_s": draw.log(5, 300)},
    "sample_loss": _share,
    "sample_nan": _share,
    "sample_duplicates": _share,
    "sample_reorder": lambda draw, of: {"share": of.share, "late_s": draw.log(5, 120)},
    "unit_spike": lambda draw, _: {
        "share": draw.one_of([0.02, 0.1, 0.5]),
        "factor": draw.one_of([0.001, 1000.0, 1e9]),
        "figure": draw.one_of(FIGURES),
    },
    "engine_kill": lambda draw, _: {
        "acted": draw.whole(0, 2),
        "down_s": draw.whole(0, 120),
        "snapshot_age_s": draw.one_of([0, 30, 300, 3600]),
    },
    "two_leaders": lambda draw, _: {"behind_s": draw.one_of([0, 15, 60, 300])},
    "clock_step": lambda draw, _: {"step_s": draw.one_of([-3600, -300, -20, 20, 300, 3600])},
    "schedule_late": lambda draw, _: {"delay_s": draw.log(60, 86_400)},
    "schedule_wrong": lambda draw, _: {
        "shift_s": draw.whole(-7200, 7200),
        "missing": draw.real(0, 1),
        "scale": draw.log(0.1, 10),
    },
}
"""What is drawn for a kind besides its times and services; a kind without figures is not here."""
