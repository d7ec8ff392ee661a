"""What the rows of predictions count, on forecasts and values made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.config.strict import ConfigError
from engine.model import Series
from engine.prediction.forecaster import LEVELS, NO_EVENTS
from twin.backtest.cases import Case
from twin.backtest.rolling import RolledForecasts, RollingWindow
from twin.evidence import arguments
from twin.evidence.claims import Claim, parse
from twin.evidence.measures.predictions import _moved, _order, _row, _scored

NAN = float("nan")
VALUES = np.array([90.0, 100.0, 110.0, 100.0, 100.0])
"""The last four are tested."""


def case() -> Case:
    series = Series("api", 0.0, 3600.0, VALUES)
    return Case("api", "", series, NO_EVENTS, RollingWindow(0, 1, 5, 5), (2,), 1)


def said(name: str, *medians: float, width: float = 5.0) -> RolledForecasts:
    median = np.array([[NAN, *medians]])
    quantiles = np.stack([median + width * (level - 0.5) / 0.4 for level in LEVELS], axis=2)
    return RolledForecasts(name, (2,), median, quantiles)


def test_errors_are_shares_of_the_mean_load_and_the_best_rival_counts() -> None:
    rivals = [said("far", 0.0, 0.0, 0.0, 0.0), said("near", 100.0, 100.0, 100.0, 141.0)]
    outcomes = [said("own", 104.0, 100.0, 100.0, 106.0), *rivals]
    row = _row([_scored(case(), outcomes, _order(4, None))], (2,), slice(None))
    # The mean of 100, 110, 100, 100 is 102.5; own misses 4 + 10 + 0 + 6, the near one 10 + 41.
    assert row["error_2h"] == pytest.approx(20.0 / 102.5)
    assert row["rival_2h"] == pytest.approx(51.0 / 102.5)
    # 80 % of them lie within 5 of the median: 100 in 99 … 109, 110 not in 95 … 105, 100, not 106.
    assert (row["inside_2h"], row["steps_2h"]) == (2, 4)


def test_hours_that_somebody_did_not_forecast_count_for_nobody() -> None:
    outcomes = [said("own", 110.0, NAN, 100.0, 100.0), said("other", NAN, 110.0, 120.0, 100.0)]
    row = _row([_scored(case(), outcomes, _order(4, None))], (2,), slice(None))
    assert row["error_2h"] == 0.0
    assert row["rival_2h"] == pytest.approx(20.0 / 102.5)
    assert row["steps_2h"] == 3


def test_what_is_shuffled_is_the_truth_and_all_of_it() -> None:
    order = _order(96, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(96))
    assert order.tolist() != list(range(96))
    assert _order(3, None).tolist() == [0, 1, 2]


def test_a_calendar_a_week_late_has_the_bookings_of_the_week_before() -> None:
    assert _moved(np.arange(21), 7)[7:].tolist() == list(range(14))
    assert _moved(np.arange(3), 0).tolist() == [0, 1, 2]


def test_a_claim_that_takes_recorded_data_is_shown_by_a_production_record(
    own_text: str, tmp_path: Path
) -> None:
    measure = 'measure: {each: "a:b", of_data: "c:d", options: {leads: [1]}}'
    raw = (
        own_text.split("measure:")[0]
        + measure
        + (
            "\nquick: {rows: 6, minutes: 0.1, options: {overrides: [x=1]}}"
            "\nfull: {rows: 24, minutes: 0.1}\ncontrol: {says: Broken., options: {broken: true}}\n"
        )
    )
    claim = parse(raw.encode(), "own.yaml")
    assert claim.measured_on(None) is claim
    taken = claim.measured_on(tmp_path)
    assert taken.source == "production record"
    assert taken.measure is not None
    assert taken.measure.all == "c:d"
    assert taken.measure.options == {"leads": [1], "data": str(tmp_path)}
    assert taken.level("quick").options == {}
    assert taken.control == claim.control


def test_a_claim_that_takes_no_data_is_measured_as_always(own: Claim, tmp_path: Path) -> None:
    assert own.measured_on(tmp_path) is own


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data: .*nothing is not there"):
        arguments.read(["2.1", f"data={tmp_path / 'nothing'}"])


def test_the_data_are_part_of_the_plan_by_their_digest(make, own_text: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    trace = tmp_path / "trace.csv"
    trace.write_text("time,value\n")
    planned = json.loads((make(own_text, data=trace) / "plan.json").read_text())
    assert planned["data"]["path"] == str(trace)
    assert len(planned["data"]["sha256"]) == 64
