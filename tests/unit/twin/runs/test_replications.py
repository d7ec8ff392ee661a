"""Seeds and intervals of replications."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from twin.runs.replications import Replication, interval, section, table
from twin.runs.seeds import seed_of


def test_the_first_replication_has_the_seed_of_the_run() -> None:
    assert seed_of(7, 0) == 7


def test_seeds_differ_and_are_legal() -> None:
    seeds = [seed_of(seed, number) for seed in (0, 1, 2**62) for number in range(50)]
    assert len(set(seeds)) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_interval_of_five_values_worked_out_by_hand() -> None:
    # mean 3, sd sqrt(2.5), t(0.975, 4) = 2.776: 3 +- 2.776 * 1.5811 / 2.2361
    over = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert over.mean == 3.0
    assert over.sd == pytest.approx(math.sqrt(2.5))
    assert over.low == pytest.approx(1.0370, abs=5e-4)
    assert over.high == pytest.approx(4.9630, abs=5e-4)
    assert (over.min, over.max) == (1.0, 5.0)


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 17)
    low, high = stats.t.interval(0.95, 16, loc=values.mean(), scale=stats.sem(values))
    over = interval(values.tolist())
    assert (over.low, over.high) == pytest.approx((low, high))


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(2000):
        over = interval(rng.normal(5.0, 3.0, 6).tolist())
        assert over.low is not None
        assert over.high is not None
        held += over.low <= 5.0 <= over.high
    assert 0.935 < held / 2000 < 0.965


def test_a_single_value_has_no_interval() -> None:
    over = interval([4.0])
    assert (over.mean, over.low, over.high) == (4.0, None, None)


def test_the_section_is_nested_like_the_summary() -> None:
    runs = [
        Replication(0, 1, {"slo.availability": 1.0, "services.a.b.p95_s": 0.1, "cost.none": None}),
        Replication(1, 2, {"slo.availability": 0.5, "services.a.b.p95_s": None, "cost.none": None}),
    ]
    over = section(runs)
    assert (over.count, over.confidence) == (2, 0.95)
    assert over.slo["availability"].mean == 0.75
    assert over.services["a.b"]["p95_s"].max == 0.1
    assert over.cost == {}


def test_the_table_has_a_row_for_each() -> None:
    cost = {"cost.total_usd": 1.0, "slo.violation_ratio": 0.0}
    runs = [
        Replication(0, 1, {"slo.availability": 1.0, **cost}),
        Replication(1, 2**62, {"slo.availability": None, **cost}),
    ]
    frame = table(runs)
    assert frame["replication"].tolist() == [0, 1]
    assert frame["seed"].tolist() == [1, 2**62]
    assert math.isnan(frame["slo.availability"][1])
