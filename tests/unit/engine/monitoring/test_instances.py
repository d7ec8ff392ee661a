"""One instance that differs from its peers is named, and nothing is said where all are alike."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS, InstanceFigures, Observation
from engine.monitoring.alerts.machine import Alerts
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import MonitorStage
from engine.monitoring.findings import CauseKind, Finding, FindingKind
from engine.monitoring.monitor import Monitor
from tests.unit.engine.monitoring.conftest import Platform, make_monitor

STEP_S = 5.0


class Single:
    """Ten instances of api beside a platform that is as usual; `odd` says what differs in which."""

    def __init__(self, platform: Platform, count: int = 10) -> None:
        self.platform, self.count = platform, count
        self.odd: dict[int, dict[str, float]] = {}
        self.rate = 50.0
        self._noise = np.random.default_rng(2)

    def figures(self, age_s: float = 2.0) -> dict[str, InstanceFigures]:
        usual = {"cpu": 0.5, "memory": 0.5, "request_rate": self.rate, "p50_s": 0.1, "p95_s": 0.2,
                 "p99_s": 0.4, "error_rate": 0.0, "queue_depth": 0.0}  # fmt: skip
        samples = np.array([
            [self.platform.now_s - age_s, *(usual | self.odd.get(k, {})).values()]
            for k in range(self.count)
        ])  # fmt: skip
        samples[:, 1:] *= 1.0 + 0.03 * self._noise.standard_normal((self.count, 8))
        assert samples.shape[1] == len(SAMPLE_FIELDS)
        return {"api": InstanceFigures(tuple(f"api-{k}" for k in range(self.count)), samples)}

    def steps(self, count: int, **figures: float) -> list[Finding]:
        began: list[Finding] = []
        for k in range(count):
            findings = self.platform.step(partial(self.figures, **figures) if k % 3 == 0 else dict)
            began += findings.began
        return began


@pytest.fixture
def single(settled: Platform) -> Single:
    made = Single(settled)
    assert made.steps(12) == []
    return made


@pytest.mark.parametrize(
    ("figures", "figure"),
    [
        ({"cpu": 0.95}, "cpu"),
        ({"memory": 0.8}, "memory"),
        ({"p95_s": 1.5}, "p95_s"),
        ({"error_rate": 0.4}, "error_rate"),
        ({"request_rate": 2.0}, "request_rate"),
    ],
)
def test_an_instance_that_differs_twice_is_named(
    single: Single, figures: dict[str, float], figure: str
) -> None:
    single.odd = {3: figures}
    assert single.steps(3) == []  # one look alone says nothing
    (finding,) = single.steps(3)
    assert (finding.service, finding.kind) == ("api", FindingKind.INSTANCE_DIFFERS)
    assert finding.symptom.figure == figure
    assert "api-3" in finding.symptom.words
    assert (finding.causes[0].service, finding.causes[0].kind) == ("api", CauseKind.INSTANCE)


def test_a_service_that_is_slow_because_of_one_instance_is_blamed_on_that(single: Single) -> None:
    single.odd = {3: {"cpu": 0.99, "p95_s": 1.5}}
    single.platform.change("api", cpu=0.75, p95_s=0.5)
    began = single.steps(10)
    assert {f.kind for f in began} > {FindingKind.INSTANCE_DIFFERS}
    lasting = [own.finding for own in single.platform.monitor.memory.lasting.values()]
    assert {f.causes[0].kind for f in lasting if f.service == "api"} == {CauseKind.INSTANCE}


def test_an_instance_that_is_well_again_ends_its_finding(single: Single) -> None:
    single.odd = {3: {"cpu": 0.99}}
    assert len(single.steps(6)) == 1
    single.odd = {}
    single.steps(40)
    assert single.platform.monitor.memory.lasting == {}


def test_where_more_than_a_few_differ_it_is_no_single_instance(single: Single) -> None:
    single.odd = {k: {"cpu": 0.95} for k in range(4)}
    assert single.steps(12) == []


def test_another_instance_each_time_is_chance(single: Single) -> None:
    for k in range(8):
        single.odd = {k: {"cpu": 0.95}}
        assert single.steps(3) == []


def test_one_sample_that_is_seen_twice_counts_once(single: Single) -> None:
    single.odd = {3: {"cpu": 0.95}}
    figures = single.figures()
    for _ in range(4):
        assert single.platform.step(lambda: figures).lasting == ()


def test_of_two_instances_nobody_is_the_odd_one(settled: Platform) -> None:
    pair = Single(settled, count=2)
    pair.odd = {1: {"cpu": 0.99, "p95_s": 3.0}}
    assert pair.steps(12) == []


def test_a_quantile_of_a_handful_of_requests_says_nothing(single: Single) -> None:
    single.rate = 1.0
    single.odd = {3: {"p95_s": 3.0}}
    assert single.steps(12) == []


@pytest.mark.parametrize("age_s", [300.0, -20.0, math.nan])
def test_samples_that_are_old_or_of_no_time_are_none(single: Single, age_s: float) -> None:
    single.odd = {3: {"cpu": 0.95}}
    assert single.steps(12, age_s=age_s) == []


def test_who_was_odd_once_is_remembered_over_a_restart(single: Single) -> None:
    single.odd = {3: {"cpu": 0.95}}
    single.steps(3)
    before = single.platform.monitor
    single.platform.monitor = Monitor(before.specs, before.settings)
    single.platform.monitor.restore(before.snapshot())
    assert [f.kind for f in single.steps(3)] == [FindingKind.INSTANCE_DIFFERS]


def test_beside_a_live_engine_instances_are_looked_at_when_they_are_due() -> None:
    platform = Platform(make_monitor(detectors={}))
    single, monitor = Single(platform), platform.monitor
    stage = MonitorStage(monitor, Alerts(monitor.specs, AlertSettings()))
    single.odd = {3: {"cpu": 0.95}}
    began: list[tuple[float, FindingKind]] = []
    for _ in range(8):
        platform.step()
        seen = Observation(platform.now_s, tuple(platform.services), platform.outlook)
        news = stage.turn(seen, platform.now_s, instances=single.figures())
        began += [(platform.now_s, finding.kind) for finding in news.began]
    first_s = platform.now_s - 7 * STEP_S
    assert began == [(first_s + 15.0, FindingKind.INSTANCE_DIFFERS)]
