"""What is said of claims, wherever it is said: groups, outcomes, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Outcome = Literal["shown", "shown in simulation only", "not shown", "expired"]
OUTCOMES: tuple[Outcome, ...] = ("shown", "shown in simulation only", "not shown", "expired")
Readiness = Literal["ready", "ready, but", "not ready"]

GROUPS = {
    1: "Auto-scaling performance",
    2: "Prediction accuracy",
    3: "Monitoring",
    4: "Security and compliance",
    5: "Integration",
}
"""The groups by the first figure of a claim's id; a team's own claims may begin one at 6."""


def outcome_on(day: str, outcome: Outcome, valid_until: str) -> Outcome:
    """What an outcome is worth on `day` (both days ISO)."""
    return "expired" if outcome != "not shown" and day > valid_until else outcome


def readiness(outcomes: Iterable[tuple[Outcome, bool]]) -> Readiness:
    """Of all claims together, each with whether one may not go live without it."""
    ready: Readiness = "ready"
    for outcome, required in outcomes:
        if outcome in ("not shown", "expired"):
            if required:
                return "not ready"
            ready = "ready, but"
        elif outcome == "shown in simulation only":
            ready = "ready, but"
    return ready
