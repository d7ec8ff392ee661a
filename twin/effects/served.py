"""How many requests have been answered: what faults of a service are counted by."""

from __future__ import annotations

from twin.queues.port import TRUTH_FIELDS, SimulatedPlatform


def served(platform: SimulatedPlatform, service: int) -> float:
    """Requests to the service that have been answered so far."""
    return float(platform.totals()[service, TRUTH_FIELDS.index("served")])
