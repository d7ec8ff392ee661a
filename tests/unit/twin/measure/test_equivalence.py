"""When the twin counts as equivalent to the live stack, and what is compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.calibrate.knee import saturation
from twin.measure.driver import Answers, poisson
from twin.measure.meters import COUNTED, Increments, parse
from twin.measure.settings import read
from twin.queues.port import clients_of
from twin.validate.cells import cells
from twin.validate.equivalence import judge
from twin.validate.figures import of_twin, with_calls_of


@pytest.mark.parametrize(
    ("live", "twin", "limit", "outcome"),
    [
        ([1.0, 1.01, 0.99], [1.0, 1.01, 0.99], 0.05, "equivalent"),
        ([1.0, 1.01, 0.99], [1.2, 1.21, 1.19], 0.05, "different"),
        ([1.0, 1.3, 0.7], [1.0, 0.7, 1.3], 0.05, "not shown"),
        # Nothing is found to differ here either, and yet nothing is shown.
        ([1.0, 1.1], [1.05, 1.05], 0.05, "not shown"),
        ([2.0, 2.0], [2.08, 2.08], 0.05, "equivalent"),
        ([2.0, 2.0], [1.8, 1.8], 0.05, "different"),
    ],
)
def test_equivalence_needs_the_whole_interval(
    live: list[float], twin: list[float], limit: float, outcome: str
) -> None:
    verdict = judge(live, twin, limit, relative=True)
    assert verdict is not None
    assert verdict.outcome == outcome


def test_a_wrong_claim_is_made_in_one_case_of_twenty() -> None:
    # Truly different by exactly the limit: two one-sided tests at 5 % may err in 5 %.
    wrong = 0
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        live = rng.normal(1.0, 0.02, 6)
        twin = live + 0.05 + rng.normal(0.0, 0.02, 6)
        verdict = judge(live.tolist(), twin.tolist(), 0.05, relative=False)
        assert verdict is not None
        wrong += verdict.outcome == "equivalent"
    assert 60 <= wrong <= 145


def test_absolute_and_relative_limits() -> None:
    relative = judge([0.5, 0.5], [0.52, 0.52], 0.03, relative=True)
    absolute = judge([0.5, 0.5], [0.52, 0.52], 0.03, relative=False)
    assert relative is not None
    assert absolute is not None
    assert relative.difference == pytest.approx(0.04)
    assert relative.outcome == "different"
    assert absolute.outcome == "equivalent"


@pytest.mark.parametrize(
    ("live", "twin"),
    [([], []), ([1.0], [1.0]), ([float("nan")] * 3, [1.0] * 3), ([0.0, 0.0], [0.0, 0.0])],
)
def test_nothing_is_said_where_there_is_nothing_to_compare(
    live: list[float], twin: list[float]
) -> None:
    assert judge(live, twin, 0.1, relative=True) is None


def test_pairs_have_to_be_pairs() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        judge([1.0, 2.0], [1.0], 0.1, relative=True)


@given(st.integers(0, 2**32), st.floats(0.5, 200.0))
def test_arrivals_are_counted_as_they_are_drawn(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    arrivals = poisson(("a", "b"), {"b": np.full(7, rate)}, rng)
    counts = arrivals.per_second()
    assert counts.shape == (2, 7)
    assert counts[0].sum() == 0
    assert counts[1].sum() == len(arrivals.time_s)
    assert (np.diff(arrivals.time_s) >= 0.0).all()
    assert abs(counts.sum() - 7 * rate) <= 6.0 * np.sqrt(7 * rate) + 1


def test_how_late_the_load_was_is_kept() -> None:
    arrivals = poisson(("a",), {"a": np.full(10, 50.0)}, np.random.default_rng(1))
    answers = Answers(
        arrivals, arrivals.time_s + 0.25, arrivals.time_s + 1.0, np.full(len(arrivals.time_s), 200)
    )
    assert answers.lateness_p99_s == pytest.approx(0.25)
    assert answers.served.all()


def test_a_workers_figures_are_found_in_its_text() -> None:
    text = """# HELP wedtwin_requests_total Requests that arrived.
wedtwin_requests_total{service="api"} 12
wedtwin_responses_total{service="api",outcome="served"} 10
wedtwin_responses_total{service="api",outcome="shed"} 2
wedtwin_service_seconds_bucket{service="api",le="0.1"} 4
wedtwin_service_seconds_sum{service="api"} 1.5
wedtwin_service_squared_seconds_total{service="api"} 0.25
wedtwin_boot_seconds{service="api"} 6.25
"""
    figures, gauges = parse(text)
    named = dict(zip(COUNTED, figures, strict=True))
    assert named["wedtwin_requests_total"] == 12.0
    assert (named["served"], named["shed"], named["failed"]) == (10.0, 2.0, 0.0)
    assert named["wedtwin_service_seconds_sum"] == 1.5
    assert named["wedtwin_service_squared_seconds_total"] == 0.25
    assert gauges == {"wedtwin_boot_seconds": 6.25}


def test_cells_hold_out_what_the_fit_has_seen() -> None:
    config = read([])
    plan = cells(config, knee=10.0)
    assert not {cell.level for cell in plan if cell.steady} & set(config.levels)
    assert [cell.name for cell in plan][-3:] == ["step", "flash crowd", "instance kill"]
    level = plan[0]
    assert level.rates["api"][0] == pytest.approx(10.0 * 0.4 * config.mix["api"])
    crowd = next(cell for cell in plan if cell.name == "flash crowd")
    assert crowd.rates["api"].max() == pytest.approx(13.0 * config.mix["api"])


def test_the_replay_is_utilised_as_queueing_theory_says() -> None:
    config = read([])
    specs = config.platform.specs()
    clients = clients_of(config.platform)
    at = 0.5 * saturation(specs, config.counts, config.mix)
    cell = cells(read(["validation.seconds=600", "validation.levels=[0.5]"]), knee=2.0 * at)[0]
    arrivals = poisson(tuple(config.platform.services), cell.rates, np.random.default_rng(3))
    ready = {name: ((0.0, count),) for name, count in config.counts.items()}
    measured = of_twin(
        specs, clients, arrivals, ready, cell=cell, hop_s=0.01, rng=np.random.default_rng(4)
    )
    sent = arrivals.per_second()[:, cell.within_s :].mean(axis=1)
    for index, spec in enumerate(specs):
        if sent[index] == 0.0:
            assert np.isnan(measured.p50[spec.name])
            continue
        expected = sent[index] * spec.service_s / (spec.slots * config.counts[spec.name])
        assert measured.utilisation[spec.name] == pytest.approx(expected, rel=0.1)
        assert measured.throughput[spec.name] == pytest.approx(sent[index], rel=0.02)
        assert measured.failed[spec.name] == 0.0
        assert spec.service_s < measured.p95[spec.name]


def test_a_hop_is_added_once_a_request_and_once_a_call() -> None:
    config = read([])
    specs = config.platform.specs()
    clients = clients_of(config.platform)
    cell = cells(config, knee=5.0)[0]
    arrivals = poisson(tuple(config.platform.services), cell.rates, np.random.default_rng(3))
    ready = {name: ((0.0, count),) for name, count in config.counts.items()}

    def p50(hop_s: float) -> dict[str, float]:
        rng = np.random.default_rng(4)
        return dict(of_twin(specs, clients, arrivals, ready, cell=cell, hop_s=hop_s, rng=rng).p50)

    without, with_hop = p50(0.0), p50(0.01)
    assert with_hop["api"] - without["api"] == pytest.approx(0.01 * 2.6)
    assert with_hop["file-storage"] - without["file-storage"] == pytest.approx(0.01)


def test_the_twin_makes_the_calls_that_the_run_made() -> None:
    specs = read([]).platform.specs()
    counted = {spec.name: np.zeros((4, len(COUNTED))) for spec in specs}
    uploads, jobs = (
        COUNTED.index(name) for name in ("wedtwin_service_seconds_count", "wedtwin_calls_total")
    )
    counted["file-storage"][:, uploads] = 10.0
    counted["file-storage"][:, jobs] = [9.0, 2.0, 2.0, 2.0]
    slots = {spec.name: np.ones(4) for spec in specs}
    by_name = {s.name: s for s in with_calls_of(specs, Increments(counted, slots), since=1)}
    before = {s.name: s for s in specs}
    assert before["file-storage"].calls[0].per_request == 0.3
    assert by_name["file-storage"].calls[0].per_request == pytest.approx(0.2)
    # Nobody asked api for anything, so nothing is known of its calls.
    assert by_name["api"] == before["api"]
    assert by_name["database"] == before["database"]
