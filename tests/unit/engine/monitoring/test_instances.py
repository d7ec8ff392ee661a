"""One instance that differs from its peers is named, and nothing is said where all are alike."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from engine.model import SAMPLE_FIELDS, InstanceFigures, Observation, ServiceSpec
from engine.monitoring.alerts.machine import Alerts
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import MonitorStage
from engine.monitoring.findings import CauseKind, Finding, FindingKind
from engine.monitoring.monitor import Monitor
from engine.monitoring.peers import PeerFigures
from engine.monitoring.picture import Watched
from engine.monitoring.rules.instances import OddInstances
from engine.monitoring.settings import PeerSettings
from tests.unit.engine.conftest import make_spec
from tests.unit.engine.monitoring.conftest import Platform, make_monitor

STEP_S = 5.0


class Single:
    """Ten instances of api beside a platform that is as usual; `odd` says what differs in which."""

    def __init__(self, platform: Platform, count: int = 10) -> None:
        self.platform, self.count = platform, count
        self.services = ["api"]
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
        return {
            name: InstanceFigures(tuple(f"{name}-{k}" for k in range(self.count)), samples)
            for name in self.services
        }

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


@pytest.mark.parametrize(
    ("services", "figures", "cause"),
    [
        (["api"], {"p95_s": 1.5}, CauseKind.INSTANCE),
        (["api", "database"], {"p95_s": 1.5}, CauseKind.SLOWNESS),
        (["api", "database"], {"cpu": 0.95}, CauseKind.SLOWNESS),
        (["api", "database"], {"memory": 0.8}, CauseKind.INSTANCE),
        (["api", "database"], {"error_rate": 0.4}, CauseKind.INSTANCE),
    ],
)
def test_slow_instances_of_several_services_are_no_single_instance(
    single: Single, services: list[str], figures: dict[str, float], cause: CauseKind
) -> None:
    single.services, single.odd = services, {3: figures}
    single.steps(6)
    lasting = [own.finding for own in single.platform.monitor.memory.lasting.values()]
    differ = [f for f in lasting if f.kind is FindingKind.INSTANCE_DIFFERS]
    assert {f.service for f in differ} == set(services)
    assert {f.causes[0].kind for f in differ} == {cause}


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


def compared(spec: ServiceSpec, **figures: list[float]) -> set[str]:
    """The figures of which two samples say that one of the instances is odd."""
    rule = OddInstances(Watched.of([spec]), PeerSettings())
    memory, symptoms = rule.begin(), ()
    for k in (1, 2):
        usual = dict.fromkeys(SAMPLE_FIELDS, 0.0) | {"time_s": 15.0 * k}
        (count,) = {len(values) for values in figures.values()}
        rows = [
            list((usual | {name: values[i] for name, values in figures.items()}).values())
            for i in range(count)
        ]
        own = InstanceFigures(tuple(f"{spec.name}-{i}" for i in range(count)), np.array(rows))
        peers = PeerFigures.of([spec.name], {spec.name: own}, 0.0, 15.0 * k)
        memory, symptoms = rule.among(memory, peers, 15.0 * k)
    return {symptom.figure for symptom in symptoms}


@pytest.mark.parametrize(
    ("slots", "service_s", "cpu", "is_odd"),
    [
        # Standard deviation of a sample's cpu: sqrt(mean cpu * service_s * 2 / (slots * 5 s)).
        (4, 0.9, [0.41, 0.0, 0.0], False),  # 0.11
        (4, 0.9, [0.53, 0.2, 0.21], False),  # 0.17
        (4, 0.9, [1.0, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05], True),  # 0.12
        (4, 0.09, [0.41, 0.0, 0.0], True),  # 0.035
        (64, 0.9, [0.41, 0.0, 0.0], True),  # 0.028
        (64, 0.9, [0.2, 0.0, 0.0], False),  # less than a quarter more
    ],
)
def test_a_cpu_that_chance_explains_is_not_odd(
    slots: int, service_s: float, cpu: list[float], is_odd: bool
) -> None:
    spec = make_spec("jobs", slots=slots, service_s=service_s)
    assert compared(spec, cpu=cpu) == ({"cpu"} if is_odd else set())


@pytest.mark.parametrize(
    ("per_sample", "slow_s", "is_odd"),
    [
        # 6 / sqrt(2) * 1.45 / sqrt(requests) of the logarithm: that of 4.0, 2.4 and 1.9 times.
        (20.0, 3.6, False),
        (20.0, 4.2, True),
        (50.0, 2.3, False),
        (50.0, 2.6, True),
        (100.0, 1.95, False),  # not twice as slow
        (100.0, 2.1, True),
        (10.0, 9.0, False),  # so few say nothing of a quantile
    ],
)
def test_a_p95_of_few_requests_has_to_be_farther_away(
    per_sample: float, slow_s: float, is_odd: bool
) -> None:
    spec = make_spec("jobs", slo_p95_s=1.0)
    count = 6
    odd = compared(
        spec, p95_s=[1.0] * (count - 1) + [slow_s], request_rate=[per_sample / 5.0] * count
    )
    assert odd == ({"p95_s"} if is_odd else set())
