"""Which way each figure is worse, and by how much it may be before somebody has to look.

The same world with the same seed gives the same figures to the byte, so what is allowed here is not
for chance: it is what a change may cost without being called a regression.  Chance comes on top, as
measured (`twin.guard.baseline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuardLimit:
    """By how much a figure may be worse: a share of what it was, and an amount on top of it."""

    higher_is_worse: bool
    relative: float
    absolute: float

    def allowed(self, before: float) -> float:
        """The amount by which the figure may be worse."""
        return abs(before) * self.relative + self.absolute


LIMITS: Mapping[str, GuardLimit] = {
    "cost.total_usd": GuardLimit(True, 0.005, 0.0),
    "cost.waited_for_usd": GuardLimit(True, 0.01, 0.0),
    "cost.deferred_usd": GuardLimit(True, 0.01, 0.0),
    "slo.violation_ratio": GuardLimit(True, 0.02, 2e-6),
    "slo.violation_minutes": GuardLimit(True, 0.0, 0.5),
    "slo.availability": GuardLimit(False, 0.0, 1e-5),
    "margin.mean": GuardLimit(False, 0.0, 0.002),
    "margin.low": GuardLimit(False, 0.0, 0.01),
    "margin.deferred": GuardLimit(False, 0.0, 0.005),
    "short.waited_for": GuardLimit(True, 0.02, 1e-4),
    "short.deferred": GuardLimit(True, 0.05, 2e-4),
    "spare.zone": GuardLimit(False, 0.0, 0.01),
    "reaction.order_s": GuardLimit(True, 0.0, 4.0),
    "reaction.short_s": GuardLimit(True, 0.03, 4.0),
    "ready.at_start": GuardLimit(False, 0.0, 0.002),
    "ready.lead": GuardLimit(False, 0.005, 0.0),
    "steps.actions": GuardLimit(True, 0.15, 3.0),
    "steps.flaps": GuardLimit(True, 0.15, 2.0),
    "steps.reversals": GuardLimit(True, 0.15, 2.0),
    "steps.failed": GuardLimit(True, 0.15, 2.0),
    "steps.largest_unasked_usd_per_hour": GuardLimit(True, 0.10, 2.0),
    "steps.asked": GuardLimit(True, 0.15, 1.0),
    "forecast.pinball": GuardLimit(True, 0.02, 1e-4),
}

HARM_COST = 0.02
"""A regression that costs this share more in a scenario at full size is one that has to be seen."""
HARMS = ("slo.", "reaction.", "ready.", "short.waited_for")
"""So is one that loses any of these by more than its limit."""
