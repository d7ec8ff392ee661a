"""What is booked, as an overview shows it: now, by phase, and for the hours to come."""

from __future__ import annotations

import math
from typing import Any

from engine.api.figures import figure
from engine.api.snapshot import StepLook
from engine.model import FloatArray

AHEAD_S = 7200.0
"""So much of what is booked is shown."""


def weddings_of(look: StepLook) -> dict[str, Any]:
    """What is booked, by phase and for the hours to come."""
    booked, outlook = look.weddings, look.outlook
    now = math.floor((look.time_s - outlook.start_s) / outlook.bin_s)
    bins = slice(max(now, 0), max(now + math.ceil(AHEAD_S / outlook.bin_s) + 1, 0))
    phases = outlook.phases if 0 <= now < outlook.in_phases.shape[1] else ()
    return {
        "noun": booked.noun,
        "in_progress": figure(booked.now),
        "major_in_progress": figure(booked.major_now),
        "next_peak": figure(booked.peak),
        "next_peak_at_s": figure(booked.peak_at_s, 12),
        "protection": booked.major_ahead,
        "known_until_s": figure(booked.known_until_s, 12),
        "phases": [
            {"phase": name, "in_progress": round(max(float(row[now]), 0.0), 1)}
            for name, row in zip(phases, outlook.in_phases, strict=False)
        ],
        "ahead": {
            "start_s": outlook.start_s + max(now, 0) * outlook.bin_s,
            "bin_s": outlook.bin_s,
            "events": _counts(outlook.events[bins]),
            "major": _counts(outlook.major_events[bins]),
        },
    }


def _counts(values: FloatArray) -> list[float]:
    return [round(max(value, 0.0), 1) for value in values.tolist()]
