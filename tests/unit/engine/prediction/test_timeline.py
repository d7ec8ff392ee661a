"""From the quantiles of a load to the instances that the engine would ask for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.sizing import risk_score, sizing
from engine.model import Call
from engine.prediction.forecaster import LEVELS
from engine.prediction.timeline import SCORES, at_accepted_risk, instances_needed
from engine.settings import EngineSettings, ForecastSettings
from tests.unit.engine.conftest import make_spec

SPECS = (
    make_spec("api", user_facing=True, calls=(Call("jobs", 1.0, asynchronous=True),)),
    make_spec("jobs"),
)
SD = np.array([0.1, 0.3])
MEDIANS = np.array([[800.0, 1200.0, 5000.0], [300.0, 40.0, 7000.0]])


def quantiles() -> np.ndarray:
    return MEDIANS[:, :, None] * np.exp(SD[:, None, None] * SCORES)


@pytest.mark.parametrize("risk", [0.001, 0.02, 0.025, 0.06, 0.1, 0.3, 0.49])
@pytest.mark.parametrize("deferred", [0.002, 0.1, 0.25, 0.4])
def test_each_service_is_made_ready_for_the_risk_accepted_for_it(
    risk: float, deferred: float
) -> None:
    settings = EngineSettings(forecast=ForecastSettings(risk=risk, risk_deferred=deferred))
    likely = at_accepted_risk(quantiles(), SPECS, settings)
    scores = [risk_score(settings.forecast, critical=critical) for critical in (True, False)]
    expected = MEDIANS * np.exp(SD * np.array(scores))[:, None]
    np.testing.assert_allclose(likely, expected, rtol=1e-9)
    # as the engine itself would count
    counts = instances_needed(likely, MEDIANS, SPECS, settings)
    for i, spec in enumerate(SPECS):
        size = sizing(spec, settings.capacity, critical=i == 0)
        for hour in range(3):
            asked = size.needed(float(expected[i, hour]), float(MEDIANS[i, hour]))
            assert counts[i, hour] == max(asked, spec.min_instances)


def test_no_load_takes_the_minimum() -> None:
    settings = EngineSettings()
    likely = at_accepted_risk(np.zeros((2, 3, len(LEVELS))), SPECS, settings)
    assert likely.tolist() == [[0.0] * 3] * 2
    assert np.all(instances_needed(likely, np.zeros((2, 3)), SPECS, settings) == 2.0)
    some = quantiles()
    some[:, 0] = 0.0
    assert math.isfinite(float(at_accepted_risk(some, SPECS, settings).sum()))
