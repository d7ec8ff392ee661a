"""Requests and answers of people as the store has them, read as each step reads them."""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.adapters.store.written import answer_of, asked_of, readable
from tools.fuzz.scratch import NOW_S
from tools.fuzz.target import FuzzTarget

KINDS = ("floor", "pause", "scale", "alert", "monitor", "occasion")
TEXTS = (
    {"service": "api", "expires_s": NOW_S, "instances": 4, "requested_by": "pat",
     "schedule": {"cron": "0 8 * * MON-FRI", "time_zone": "Europe/Rome", "duration_s": 3600}},
    {"service": "", "expires_s": None, "direction": "both", "pinned": None},
    {"service": "api", "expires_s": NOW_S, "id": "s", "instances": 9, "requested_by": "pat",
     "why": "x", "before": 4, "override": True},
    {"service": "api", "expires_s": NOW_S, "id": "a", "incident": "i", "escalates": False,
     "requested_by": "pat", "why": ""},
    {"service": "", "expires_s": None, "id": "m", "services": ["api"], "every_s": 5.0, "kinds": [],
     "since_s": 1.0, "until_s": None, "requested_by": "pat", "why": "", "ended_by": ""},
    {"service": "", "expires_s": NOW_S, "id": "o", "name": "sale", "times": {"api": 2.0},
     "starts_s": NOW_S, "ends_s": NOW_S + 60.0, "sure": True, "ramp_s": 60.0, "requested_by": "pat",
     "why": "", "approved_by": "", "ended_by": ""},
    {"decision_id": "d", "approved": True, "time_s": NOW_S, "approver": "pat"},
)  # fmt: skip


def _read() -> Callable[[bytes], object]:
    def read(given: bytes) -> object:
        text = given.decode("utf-8", "replace")
        for kind in KINDS:
            asked, _ = readable([("one", text)], lambda _, text, kind=kind: asked_of(kind, text))
            for one in asked:
                if one.schedule is not None:
                    one.schedule.at(NOW_S)
        return readable([("one", text)], lambda _, text: answer_of(text))

    return read


TARGET = FuzzTarget("requests", tuple(json.dumps(one).encode() for one in TEXTS), _read, ())
