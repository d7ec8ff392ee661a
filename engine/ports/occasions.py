"""What an occasion may say, whoever is asked for it, and how it stands with one.

An occasion (`engine.model.Occasion`) is proposed, approved by somebody else, under way, over, or
taken back.  Until it is approved it changes nothing.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from engine.config.complaints import close
from engine.model import Occasion

MOST_TIMES = 100.0
LONGEST_S = 14.0 * 86_400.0
FARTHEST_S = 400.0 * 86_400.0
LONGEST_RAMP_S = 7200.0
MOST_OCCASIONS = 50
"""So many may stand at once."""
SHOWN_S = 30.0 * 86_400.0
"""One that is over is shown for so long."""


class OccasionState(StrEnum):
    """How it stands with an occasion."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    UNDER_WAY = "under_way"
    OVER = "over"
    TAKEN_BACK = "taken_back"


@dataclass(frozen=True, slots=True)
class OccasionFault:
    """What is wrong with one: the field, what was given, what is allowed, and what is near."""

    field: str
    given: object
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        given = f'"{self.given}"' if isinstance(self.given, str) else self.given
        return f"{self.field}: {given} is not allowed ({self.allowed}){self.hint}"


def state_of(occasion: Occasion, now_s: float) -> OccasionState:
    """How it stands at `now_s` (epoch seconds)."""
    if occasion.ended_by:
        return OccasionState.TAKEN_BACK
    if now_s >= occasion.ends_s:
        return OccasionState.OVER
    if not occasion.approved_by:
        return OccasionState.PROPOSED
    begins_s = occasion.starts_s - occasion.ramp_s
    return OccasionState.UNDER_WAY if now_s >= begins_s else OccasionState.APPROVED


def fault_of(
    occasion: Occasion, now_s: float, services: Sequence[str] | None
) -> OccasionFault | None:
    """What is wrong with a proposal at `now_s`; `services` are those there are, None: not known."""
    if not 1 <= len(occasion.name.strip()) <= 100:
        return OccasionFault("name", occasion.name, "1 to 100 characters")
    if not occasion.times:
        return OccasionFault("times", "", "a service, such as api=3")
    for name, times in occasion.times:
        if services is not None and name not in services:
            there = list(services)
            return OccasionFault("times", name, ", ".join(there), close(name, there))
        if not 1.0 < times <= MOST_TIMES:
            return OccasionFault(f"times.{name}", times, f"more than 1, at most {MOST_TIMES:g}")
    if not 0.0 < occasion.sure <= 1.0:
        return OccasionFault("sure", occasion.sure, "more than 0, at most 1")
    if not 0.0 <= occasion.ramp_s <= LONGEST_RAMP_S:
        return OccasionFault("ramp_s", occasion.ramp_s, f"0 … {LONGEST_RAMP_S:g}")
    if not 0.0 < occasion.ends_s - occasion.starts_s <= LONGEST_S:
        allowed = f"after its beginning, by at most {LONGEST_S:g} s"
        return OccasionFault("ends_s", occasion.ends_s, allowed)
    if not now_s < occasion.ends_s or not occasion.starts_s <= now_s + FARTHEST_S:
        return OccasionFault("starts_s", occasion.starts_s, "not over, within 400 days from now")
    return None


def approved(occasion: Occasion, by: str) -> Occasion:
    """The same, which counts from now on."""
    return replace(occasion, approved_by=by)


def taken_back(occasion: Occasion, by: str, now_s: float) -> Occasion:
    """The same, which counts no more."""
    return replace(occasion, ended_by=by, expires_s=now_s + SHOWN_S)


def said(occasion: Occasion) -> Mapping[str, str | float]:
    """What the audit log has of it."""
    return {
        "occasion": occasion.id,
        "name": occasion.name,
        "times": ", ".join(f"{name} {times:g}" for name, times in occasion.times),
        "from": _clock(occasion.starts_s),
        "until": _clock(occasion.ends_s),
        "sure": occasion.sure,
        "approved_by": occasion.approved_by,
    }


def _clock(time_s: float) -> str:
    if not math.isfinite(time_s):
        return "never"
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
