"""How near to what was measured the twin has to be, live and in the past."""

from __future__ import annotations

LIMITS = {
    "throughput": (0.02, True),
    "utilisation": (0.03, False),
    "p50": (0.10, True),
    "p95": (0.15, True),
}
"""What is to be reached: the limit, and whether it is a share of the measured figure."""

CLOSED_LIMITS = {"replicas": 1.0, "cost": 0.05}
"""The same where a controller decides: instances, and a share of the cost."""
