from __future__ import annotations

import pytest

from locustfiles.plan import LoadPlan, WantedExcerpt, make


@pytest.fixture(scope="package")
def plan() -> LoadPlan:
    """An hour around the peak of a small June Saturday, a hundred times as fast."""
    return make(
        "june_peak",
        scale=0.05,
        speed=100.0,
        seed=3,
        part=WantedExcerpt(window="1h"),
        overrides=("population.simultaneous=500",),
    )
