from __future__ import annotations

import pytest

from locustfiles.plan import Part, Plan, make


@pytest.fixture(scope="package")
def plan() -> Plan:
    """An hour around the peak of a small June Saturday, a hundred times as fast."""
    return make(
        "june_peak",
        scale=0.05,
        speed=100.0,
        seed=3,
        part=Part(window="1h"),
        overrides=("population.simultaneous=500",),
    )
