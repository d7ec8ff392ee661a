"""Rows that are whole simulated days: one seed, one row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.config.composition import composed
from engine.model import Category
from engine.record.schema.summary import Figures
from twin.config import parse
from twin.runs.summary import summarise
from twin.world.world import World

CLAIRVOYANT = "controller=clairvoyant"


def day(*, seed: int, overrides: Sequence[str], bound: bool = False) -> dict[str, Any]:
    """A day of the twin with `overrides` of the configuration, and its headline figures.

    `bound` adds what the clairvoyant bound costs on the same day.  Columns: `seed`, `requests`,
    `missed` (of them, failed or slower than the SLO), `cost_usd`, `bound_usd`, `events` (major
    ones), `prepared` (of them, those whose floor stood a lead time before; without any floor,
    none), `ready` (of them, those that found enough).
    """
    figures, _ = _simulated(overrides, seed)
    prescaling = figures.prescaling
    return {
        "seed": seed,
        "requests": figures.requests.total,
        "missed": _part(figures.slo.violation_ratio, figures.requests.total),
        "cost_usd": figures.cost.total_usd,
        "bound_usd": _simulated([*overrides, CLAIRVOYANT], seed)[0].cost.total_usd
        if bound
        else None,
        "events": None if prescaling is None else prescaling.events,
        "prepared": None
        if prescaling is None
        else _part(prescaling.lead_ready_share or 0.0, prescaling.events),
        "ready": None if prescaling is None else _part(prescaling.ready_share, prescaling.events),
    }


def surge(*, seed: int, overrides: Sequence[str], fault: str, service: str) -> dict[str, Any]:
    """A day with a surge, and how long it took until more capacity was accepted.

    `reaction_s` is the time within which 95 % of the actions that a sample triggered were
    accepted, from that sample on.  `surge_s` is from the beginning of the fault called `fault`,
    `emergency_s` from the sample that showed it, both to the acceptance of the first emergency
    action for `service`; where there was none, the time that was left of the day.
    """
    figures, world = _simulated(overrides, seed)
    begun_s = next(
        event["time_s"]
        for event in world.recorder.events
        if event["kind"] == "fault_started" and event["name"] == fault
    )
    left_s = world.start_s + world.duration_s - begun_s
    first = next(
        (
            decision
            for decision in world.recorder.decisions
            if decision["kind"] == "action"
            and decision["service"] == service
            and decision["category"] == Category.EMERGENCY
            and decision["time_s"] >= begun_s
            and math.isfinite(decision["accepted_s"])
        ),
        None,
    )
    return {
        "seed": seed,
        "reaction_s": _reaction_s(world),
        "surge_s": left_s if first is None else first["accepted_s"] - begun_s,
        "emergency_s": left_s if first is None else first["accepted_s"] - first["trigger_s"],
        "requests": figures.requests.total,
        "missed": _part(figures.slo.violation_ratio, figures.requests.total),
    }


def _reaction_s(world: World) -> float | None:
    """95 % quantile of sample → acceptance, s, over the actions that a sample triggered."""
    took_s = sorted(
        decision["accepted_s"] - decision["trigger_s"]
        for decision in world.recorder.decisions
        if decision["kind"] == "action"
        and decision["trigger_s"] != decision["time_s"]
        and math.isfinite(decision["accepted_s"])
    )
    return float(np.quantile(took_s, 0.95)) if took_s else None


def _simulated(overrides: Sequence[str], seed: int) -> tuple[Figures, World]:
    world = World(parse({**composed([*overrides, f"seed={seed}"]), "replications": 1}))
    world.run()
    return summarise(world), world


def _part(share: float | None, of: int) -> float | None:
    return None if share is None else share * of
