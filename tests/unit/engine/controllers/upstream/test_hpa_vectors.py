"""Kubernetes' own cases, where the file that holds them is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.controllers.upstream import hpa as k8s

FILE = (
    Path(os.environ.get("WEDTWIN_REFERENCE", Path(__file__).parents[4] / "shared" / "reference"))
    / "hpa_vectors.json"
)
NOW_S = 2_000_000_000.0
OLD_S = 1_000_000_000.0
VECTORS: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}

pytestmark = pytest.mark.skipif(
    not VECTORS, reason=f"{FILE} is not there; set WEDTWIN_REFERENCE to the folder that holds it"
)


def cases(section: str) -> Any:
    return pytest.mark.parametrize(
        "case", VECTORS.get(section, []), ids=lambda case: case["name"].replace(" ", "-")
    )


def at(values: list[Any] | None, i: int, default: Any) -> Any:
    return values[i] if values and i < len(values) else default


def settings(**changes: Any) -> k8s.ManagerFlags:
    tests = {"cpu_initialization_s": 120.0, "initial_readiness_s": 10.0, "scale_up_factor": 8.0}
    return k8s.ManagerFlags(**(tests | changes))


def pods_of(case: dict[str, Any], count: int, requests: list[int] | None) -> list[k8s.Pod]:
    ages = case.get("start_age_s")
    return [
        k8s.Pod(
            f"pod-{i}",
            k8s.PodPhase(at(case.get("phase"), i, "Running")),
            at(case.get("deleted"), i, False),
            NOW_S - at(ages, i, OLD_S),
            at(case.get("ready"), i, True),
            NOW_S - OLD_S,
            tuple([at(requests, i, None)] * 2) if requests is not None else (1000, 1000),
        )
        for i in range(count)
    ]


@cases("replica_calculator")
def test_replica_calculator(case: dict[str, Any]) -> None:
    kind, current, expected = case["kind"], case["currentReplicas"], case["expected"]
    count = max(current, len(case.get("phase", [])))
    pods = pods_of(case, count, case.get("requests_m_per_container"))
    tolerance = k8s.Tolerance(**case.get("tolerance", {}))
    chosen = settings(tolerance=tolerance)

    def propose() -> k8s.Proposal:
        if kind in ("resource_cpu_utilization", "pods"):
            levels = case.get("levels_m_by_pod_container") or [[x] for x in case["levels_m"]]
            names = case.get("metric_pod_names") or [f"pod-{i}" for i in range(len(levels))]
            samples = {
                name: k8s.Sample(tuple(level), NOW_S - OLD_S, 60.0)
                for name, level in zip(names, levels, strict=True)
            }
            container = {None: None, "container1": 0, "container2": 1}[case.get("container")]
            target = case.get("targetUtilizationPct") or case["target_m"]
            return k8s.from_pods(
                pods, samples, current, target, settings=chosen, now_s=NOW_S,
                utilization=kind != "pods", container=container,
            )  # fmt: skip
        if kind in ("object", "external"):
            return k8s.from_value(
                case["levels_m"], pods, current, case["target_m"], settings=chosen
            )
        return k8s.from_average(case["levels_m"], current, case["targetPerPod_m"], chosen)

    if "error" in expected:
        with pytest.raises(k8s.MetricError, match=expected["error"]):
            propose()
        return
    proposal = propose()
    assert proposal.replicas == expected["replicas"]
    assert proposal.utilization == expected.get("utilizationPct")
    assert proposal.usage_m == expected.get("rawAvg_m", expected.get("usage_m"))


@cases("group_pods")
def test_group_pods(case: dict[str, Any]) -> None:
    pods = []
    for pod in case["pods"]:
        condition, start = pod["readyCondition"], pod["start_age_s"]
        pods.append(
            k8s.Pod(
                pod["name"],
                k8s.PodPhase(pod["phase"]),
                pod.get("deleted", False),
                None if start is None else NOW_S - start,
                None if condition is None else condition["status"],
                0.0 if condition is None else NOW_S - condition["transition_age_s"],
            )
        )
    samples = {
        name: k8s.Sample((0,), NOW_S - metric["age_s"], metric["window_s"])
        for name, metric in case["metrics"].items()
    }
    groups = k8s.group(pods, samples, case["resource"] == "cpu", settings(), now_s=NOW_S)
    expected = case["expected"]
    assert groups.ready == expected["readyCount"]
    for name in ("unready", "missing", "ignored"):
        assert getattr(groups, name) == set(expected[name])


def log_of(entries: list[list[float]] | None) -> list[tuple[int, float]] | None:
    return None if entries is None else [(int(value), NOW_S - age) for value, age in entries]


@cases("controller")
def test_controller(case: dict[str, Any]) -> None:
    requests = case.get("pod_requests_m")
    levels = case["levels_m"]
    count = len(requests) if requests is not None else case["statusReplicas"]
    pods = [
        k8s.Pod(
            f"pod-{i}",
            k8s.PodPhase(at(case.get("phase"), i, "Running")),
            at(case.get("deleted"), i, False),
            NOW_S - at(case.get("start_age_s"), i, OLD_S),
            at(case.get("ready"), i, True),
            NOW_S - at(case.get("start_age_s"), i, OLD_S),
            (at(requests, i, 1000) // 2,) * 2,
        )
        for i in range(count or case["statusReplicas"])
    ]
    if requests == [] and levels:
        pods = [k8s.Pod("pod-0", requests_m=(None, None))]
    proposals = [_propose(metric, pods, levels, case) for metric in case["metrics"]]
    behavior = None
    if case.get("behavior"):
        up = case["behavior"]["scaleUp"]
        rate = k8s.Rate(True, up["percent"], up["percentPeriod_s"])
        behavior = k8s.Behavior(k8s.Rules(up["stabilization_s"], (rate,)))
    target = k8s.ScaleTarget(
        case["specReplicas"], case["minReplicas"], case["maxReplicas"], behavior
    )
    memory = k8s.HpaMemory(log_of(case["recommendations_value_age_s"]))
    verdict = k8s.reconcile(target, proposals, memory, settings(), now_s=NOW_S)
    assert verdict.replicas == case["expected"]["desiredReplicas"]
    assert verdict.reasons == case["expected"]["conditionReasons"]


def _propose(
    metric: dict[str, Any], pods: list[k8s.Pod], levels: list[int], case: dict[str, Any]
) -> k8s.Proposal | k8s.MetricError:
    kind = metric["kind"]
    if metric.get("fetch_error") or kind == "invalid":
        return k8s.MetricError(metric["conditionReason"], "not to be had")
    if kind in ("object", "external"):
        return k8s.from_value(
            levels, pods, case["specReplicas"], metric["target_m"], settings=settings()
        )
    if kind in ("object_per_pod", "external_per_pod"):
        return k8s.from_average(
            levels, case["statusReplicas"], metric["targetPerPod_m"], settings()
        )
    resource = kind == "resource_cpu_utilization"
    container = {None: None, "container1": 0, "container2": 1}[metric.get("container")]
    samples = {
        f"pod-{i}": k8s.Sample((level // 2,) * 2 if resource else (level,), NOW_S, 60.0)
        for i, level in enumerate(levels)
    }
    try:
        return k8s.from_pods(
            pods, samples, case["specReplicas"],
            metric["targetUtilizationPct" if resource else "target_m"], settings=settings(),
            now_s=NOW_S,
            utilization=resource, container=container,
        )  # fmt: skip
    except k8s.MetricError as error:
        return error


@cases("convert_without_behavior")
def test_clamp(case: dict[str, Any]) -> None:
    got = k8s.clamp(case["current"], case["desired"], case["min"], case["max"], settings=settings())
    assert got == (case["expected"], case["condition"])


@cases("stabilize_without_behavior")
def test_stabilize(case: dict[str, Any]) -> None:
    log = log_of(case["recommendations_value_age_s"]) or []
    assert k8s.stabilize(log, case["desired"], NOW_S, case["window_s"]) == case["expected"]
    assert len(log) == case["expected_log_len"]


def rules_of(rules: dict[str, Any] | None, default: k8s.Rules) -> k8s.Rules:
    if rules is None:
        return default
    policies = tuple(
        k8s.Rate(p["type"] == "Percent", p["value"], p["period_s"]) for p in rules["policies"]
    )
    return k8s.Rules(rules.get("stabilization_s", 0.0), policies, k8s.Policy(rules["selectPolicy"]))


def events_of(changes: list[list[float]]) -> list[k8s.ScaleEvent]:
    return [k8s.ScaleEvent(int(change), NOW_S - age) for change, age in changes]


@cases("rate_limits_with_behavior")
def test_rate_limits(case: dict[str, Any]) -> None:
    behavior = k8s.Behavior(
        rules_of(case["scaleUpRules"], k8s.DEFAULT_UP),
        rules_of(case["scaleDownRules"], k8s.DEFAULT_DOWN),
    )
    memory = k8s.HpaMemory(
        [], events_of(case["scaleUpEvents_change_age_s"]),
        events_of(case["scaleDownEvents_change_age_s"]),
    )  # fmt: skip
    got = k8s.clamp_by(
        case["current"],
        case["desired"],
        case["min"],
        case["max"],
        behavior=behavior,
        memory=memory,
        now_s=NOW_S,
    )
    assert got == (case["expected"], case["condition"])


@cases("scale_limit")
def test_scale_limit(case: dict[str, Any]) -> None:
    rules = rules_of(case, k8s.DEFAULT_UP)
    up = case["direction"] == "up"
    got = k8s.rate_limit(case["current"], rules, k8s.HpaMemory(), NOW_S, up=up)
    assert got == case["expected_limit"]


@cases("store_scale_events")
def test_store_scale_events(case: dict[str, Any]) -> None:
    events = events_of(case["prev_change_age_s"])
    before = k8s.change_within(events, case["lookback_s"], NOW_S)
    assert before == case["expected_change_in_lookback_before_store"]
    if case["policies"] is None:
        return  # without `behavior` nothing is stored; see test_controller
    rates = [k8s.Rate(kind == "Percent", value, s) for kind, value, s in case["policies"]]
    k8s.store(events, case["replicaChange"], rates, NOW_S)
    assert [event.change for event in events] == case["expected_stored_changes"]
    assert [event.outdated for event in events] == case["expected_outdated"]


@cases("stabilize_with_behavior")
def test_stabilize_by_behavior(case: dict[str, Any]) -> None:
    log = log_of(case["recommendations_value_age_s"]) or []
    behavior = k8s.Behavior(
        k8s.Rules(case["upWindow_s"], k8s.DEFAULT_UP.policies),
        k8s.Rules(case["downWindow_s"], k8s.DEFAULT_DOWN.policies),
    )
    got = k8s.stabilize_by(log, case["current"], case["desired"], NOW_S, behavior=behavior)
    assert got == case["expected"]
    if case["expected_log"] is not None:
        assert [count for count, _ in log] == case["expected_log"]
