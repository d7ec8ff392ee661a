"""Trials that cost nothing, in the form of the real ones: for tests of what is around them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from engine.api.what_if import Moment, TriedChange


def connect(slow_s: float = 0.0) -> QuickTrials:
    return QuickTrials(slow_s)


class QuickTrials:
    def __init__(self, slow_s: float) -> None:
        self._slow_s = slow_s

    def choices(self) -> Mapping[str, Any]:
        return {"zones": ["a", "b"], "controllers": ["engine", "hpa"]}

    def tried(self, moment: Moment, change: TriedChange, for_s: float) -> Mapping[str, Any]:
        time.sleep(self._slow_s)
        if change.zone == "z":
            raise ValueError('zone: "z" is not allowed (a, b)')
        if change.controller == "broken":
            raise RuntimeError("a fault of the simulator")
        if change.controller == "dead":
            os._exit(1)
        plan = {
            "controller": "engine", "notes": [moment.memory], "cost_usd": 1.0,
            "usd_per_hour_most": 2.0, "violation_ratio": 0.0, "actions": 0,
            "services": {
                name: {
                    "ready_least": one.ready, "ready_most": one.desired, "needed_most": 1,
                    "short_s": 0.0, "late_s": 0.0, "p95_most_s": None, "slo_p95_s": 0.5,
                    "violation_ratio": 0.0, "cost_usd": 0.5,
                }
                for name, one in moment.services.items()
            },
            "series": {
                "start_s": moment.time_s, "step_s": 60.0, "usd_per_hour": [2.0],
                "bad_share": [0.0],
                "services": {
                    name: {"ready": [one.ready], "needed": [1], "p95_s": [None]}
                    for name, one in moment.services.items()
                },
            },
        }  # fmt: skip
        return {
            "as_of_s": moment.time_s, "for_s": for_s, "after_s": change.after_s,
            "covered_until_s": moment.outlook.end_s, "plan": plan,
            "changed": None if change.is_none else {**plan, "notes": [repr(change)]},
        }  # fmt: skip
