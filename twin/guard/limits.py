"""Which way each figure is worse, and by how much it may be before somebody has to look.

The same world with the same seed gives the same figures to the byte, so what is allowed here is not
for chance: it is what a change may cost without being called a regression.  Chance comes on top, as
measured (`twin.guard.baseline`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """By how much a figure may be worse: a share of what it was, and an amount on top of it."""

    higher_is_worse: bool
    relative: float
    absolute: float

    def allowed(self, before: float) -> float:
        """The amount by which the figure may be worse."""
        return abs(before) * self.relative + self.absolute


LIMITS: Mapping[str, Limit] = {
    "cost.total_usd": Limit(True, 0.005, 0.0),
    "cost.waited_for_usd": Limit(True, 0.01, 0.0),
    "cost.deferred_usd": Limit(True, 0.01, 0.0),
    "slo.violation_ratio": Limit(True, 0.02, 2e-6),
    "slo.violation_minutes": Limit(True, 0.0, 0.5),
    "slo.availability": Limit(False, 0.0, 1e-5),
    "margin.mean": Limit(False, 0.0, 0.002),
    "margin.low": Limit(False, 0.0, 0.01),
    "margin.deferred": Limit(False, 0.0, 0.005),
    "short.waited_for": Limit(True, 0.02, 1e-4),
    "short.deferred": Limit(True, 0.05, 2e-4),
    "spare.zone": Limit(False, 0.0, 0.01),
    "reaction.order_s": Limit(True, 0.0, 4.0),
    "reaction.short_s": Limit(True, 0.03, 4.0),
    "ready.at_start": Limit(False, 0.0, 0.002),
    "ready.lead": Limit(False, 0.005, 0.0),
    "steps.actions": Limit(True, 0.15, 3.0),
    "steps.flaps": Limit(True, 0.15, 2.0),
    "steps.reversals": Limit(True, 0.15, 2.0),
    "steps.failed": Limit(True, 0.15, 2.0),
    "steps.largest_unasked_usd_per_hour": Limit(True, 0.10, 2.0),
    "steps.asked": Limit(True, 0.15, 1.0),
    "forecast.pinball": Limit(True, 0.02, 1e-4),
}

HARM_COST = 0.02
"""A regression that costs this share more in a scenario at full size is one that has to be seen."""
HARMS = ("slo.", "reaction.", "ready.", "short.waited_for")
"""So is one that loses any of these by more than its limit."""
