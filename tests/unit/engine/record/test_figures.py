"""Figures that every world's summary works out the same way."""

from __future__ import annotations

import numpy as np
import pytest

from engine.record.figures import Issued, prediction_figures

STEP_S = 5.0


def issued(due_s: float, q50: float = 100.0) -> Issued:
    return Issued(0, 300.0, due_s, 0.9 * q50, q50, 1.1 * q50)


def test_a_forecast_is_compared_with_the_minute_around_its_time() -> None:
    rates = np.full((1, 100), 80.0)
    rates[0, 34:46] = 100.0  # the minute around 200 s
    accuracy = prediction_figures([issued(200.0, 125.0)], rates, 0.0, STEP_S)
    assert accuracy["300"].wape == pytest.approx(0.25)
    assert accuracy["300"].coverage_80 == 0.0


@pytest.mark.parametrize("samples", [0, 1, 11, 12, 30])
def test_a_run_that_ends_before_a_forecast_is_due_judges_none(samples: int) -> None:
    rates, measured = np.full((1, samples), 100.0), np.full((1, samples), True)
    assert prediction_figures([issued(900.0)], rates, 0.0, STEP_S, measured=measured) == {}


def test_a_forecast_for_a_minute_with_a_hole_is_not_judged() -> None:
    rates, measured = np.full((1, 200), 100.0), np.full((1, 200), True)
    measured[0, 42] = False
    forecasts = [issued(200.0), issued(600.0, 50.0), issued(5000.0)]
    accuracy = prediction_figures(forecasts, rates, 0.0, STEP_S, measured=measured)
    assert accuracy["300"].wape == pytest.approx(0.5)  # that of the second one alone
