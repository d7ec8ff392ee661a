"""The course of observations behind the stored snapshots of older engines, one a cycle.

Two services over an hour and a half: a rise, an emergency, a question about a large step, a fall.
"""

from __future__ import annotations

import math

from engine import EngineSettings
from engine.model import Approval, Call, Observation
from engine.settings import ApprovalSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

SETTINGS = EngineSettings(approval=ApprovalSettings(max_instances=4))
API, DATABASE = make_spec("api", calls=(Call("database", 0.5),)), make_spec("database")
STORED_AFTER = 300
"""Cycles after which the snapshots were taken; from then on every question is answered with yes."""


def moment(cycle: int, desired: dict[str, int], asked: tuple[str, ...] = ()) -> Observation:
    """What is observed in a cycle, where so many are desired and these decisions are approved."""
    now_s = NOW_S + 15.0 * cycle
    rate = 500.0 + 600.0 * math.sin(cycle / 60.0) ** 2
    drowns = 100 <= cycle < 104
    services = []
    for spec, share in ((API, 1.0), (DATABASE, 0.5)):
        count = desired[spec.name]
        cpu = min(rate * share / (100.0 * count), 1.0)
        window = make_window(
            now_s,
            cpu=1.0 if drowns else cpu,
            rate=rate * share,
            memory=0.3,
            p95_s=3.0 if drowns else 0.2,
            error_rate=0.1 if drowns else 0.0,
            queue=500.0 if drowns else 0.0,
        )
        services.append(make_service(spec, desired=count, window=window))
    outlook = make_outlook(
        lambda ahead_s: 700.0 + 300.0 * abs(math.sin(1.0)) + 0.05 * ahead_s.clip(0.0, 7200.0),
        services=("api", "database"),
        major=0.2,
    )
    answers = tuple(Approval(decision, True, now_s, "somebody") for decision in asked)
    return observe(*services, now_s=now_s, outlook=outlook, approvals=answers)
