"""Two looks at one moment, as where a clock stands: the second teaches nothing."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from engine.monitoring.settings import WatcherConfig
from tests.unit.engine.monitoring.conftest import DETECTORS, Platform, make_monitor

ALL = DETECTORS | {
    name: WatcherConfig(factory=f"engine.monitoring.detectors.{module}:{made}")
    for name, module, made in (
        ("departures", "departures", "Departures"),
        ("forest", "forest", "IsolationForests"),
    )
}


@pytest.mark.parametrize("before", [0, 1, 200])
def test_what_is_usual_stays_the_same(before: int) -> None:
    once, twice = (Platform(make_monitor(detectors=ALL)) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for platform in (once, twice):
            platform.steps(before)
            platform.step()
        twice.monitor.step(twice.services, twice.outlook, twice.now_s)
        for platform in (once, twice):
            platform.steps(30)
    for learned in ("spread", "learned_s", "days"):
        assert np.isfinite(twice.monitor.memory.detectors["seasonal"][learned]).all()
    assert once.monitor.usual().keys() == twice.monitor.usual().keys()
    for service, usual in once.monitor.usual().items():
        for residual, (centre, spread) in usual.items():
            its_centre, its_spread = twice.monitor.usual()[service][residual]
            assert its_centre == pytest.approx(centre, abs=0.5 * spread)
            assert its_spread == pytest.approx(spread, rel=0.05)
