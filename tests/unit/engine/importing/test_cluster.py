"""What is read of a namespace, and what is said to be assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.adapters.kubernetes.survey import ClusterSurvey
from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError
from engine.importing import cluster, files, prices
from engine.importing.figures import BY_HAND, ImportedPlatform, ImportedService
from engine.importing.quantities import quantity


def workload(
    name: str = "api", *, requests: dict[str, str] | None = None, limits: object = None, **more: Any
) -> dict[str, Any]:
    resources: dict[str, Any] = {"requests": requests} if requests is not None else {}
    if limits is not None:
        resources["limits"] = limits
    spec = {
        "replicas": 4,
        "selector": {"matchLabels": {"app": name}},
        "template": {"spec": {"containers": [{"name": "app", "resources": resources}]}},
    }
    return {"metadata": {"name": name, "namespace": "shop", **more}, "spec": spec}


def hpa(*metrics: dict[str, Any], name: str = "api", **spec: Any) -> dict[str, Any]:
    aim = {"kind": "Deployment", "name": name, "apiVersion": "apps/v1"}
    given = {"scaleTargetRef": aim, "maxReplicas": 30, "metrics": list(metrics), **spec}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": given}


def cpu(**target: object) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def pod(made: str, ready: str, node: str = "n1", restarts: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "labels": {"app": "api"}, "creationTimestamp": made},
        "spec": {"nodeName": node},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ready}],
            "containerStatuses": [{"restartCount": restarts}],
        },
    }


def node(name: str = "n1", zone: str = "a", kind: str = "m5.large", **annotations: str) -> Any:
    labels = {"topology.kubernetes.io/zone": zone, prices.TYPE: kind}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "status": {"allocatable": {"cpu": "2", "memory": "8Gi"}},
    }


def imported(
    body: dict[str, Any], *hpas: dict[str, Any], table: dict[str, float] | None = None, **more: Any
) -> ImportedService:
    seen = ClusterSurvey({"deployment/api": body}, hpas, more.get("scaled", ()),
                         more.get("pods", ()), more.get("nodes", ()))  # fmt: skip
    return cluster.services_of(seen, {"api": "deployment/api"}, table or {}, "prices.yaml")["api"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2.0), ("1Gi", 2.0**30), ("1.5k", 1500.0), ("2e3", 2000.0), (0.25, 0.25)],
)
def test_a_quantity_of_kubernetes_is_a_number(text: object, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "five", "1 Gi", "--1", "1Zi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


@pytest.mark.parametrize(
    ("metric", "limits", "target"),
    [
        (cpu(type="Utilization", averageUtilization=60), None, 60),
        # 60 % of 500m, where all slots may take a whole core
        (cpu(type="Utilization", averageUtilization=60), {"cpu": "1"}, 30),
        (cpu(type="AverageValue", averageValue="200m"), None, 40),
        (cpu(type="Utilization", averageUtilization=300), None, 100),
    ],
)
def test_an_hpa_keeps_its_aim_its_limits_and_its_behaviour(
    metric: dict[str, Any], limits: object, target: int
) -> None:
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 120, "tolerance": "50m"}}
    made = imported(
        workload(requests={"cpu": "500m"}, limits=limits),
        hpa(metric, minReplicas=3, behavior=behavior),
    )
    assert made.autoscaler == {
        "target_cpu": target,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 120, "tolerance": 0.05}},
    }
    assert (made.number("min_instances"), made.number("max_instances")) == (3, 30)
    assert "HorizontalPodAutoscaler api" in made.figures["max_instances"].source


def test_a_metric_that_the_twin_has_not_is_said() -> None:
    queue = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {}}}
    made = imported(workload(requests={"cpu": "1"}), hpa(queue))
    assert made.autoscaler is None
    assert "queue" in made.not_played[0]


def test_a_scaled_object_has_the_limits_and_its_hpa_the_aim() -> None:
    scaled = {
        "metadata": {"name": "s", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"name": "api"}, "minReplicaCount": 0, "maxReplicaCount": 50},
    }
    own = hpa(cpu(type="Utilization", averageUtilization=70))
    made = imported(workload(requests={"cpu": "1"}), own, scaled=(scaled,))
    assert (made.number("min_instances"), made.number("max_instances")) == (0, 50)
    assert made.autoscaler == {"target_cpu": 70}


def test_a_pod_pays_its_share_of_its_node_and_an_unknown_price_is_an_assumption() -> None:
    body = workload(requests={"cpu": "500m", "memory": "4Gi"})
    stands = [pod("2026-05-01T00:00:00Z", "2026-05-01T00:00:20Z")]
    priced = imported(body, pods=stands, nodes=[node()], table={"m5.large": 0.1})
    assert priced.number("price_per_hour") == pytest.approx(0.05)  # half of its memory
    noted = imported(body, pods=stands, nodes=[node(**{prices.ANNOTATION: "0.2"})])
    assert noted.number("price_per_hour") == pytest.approx(0.1)
    unknown = imported(body, pods=stands, nodes=[node()])
    assert unknown.figures["price_per_hour"].assumed
    assert "m5.large" in unknown.figures["price_per_hour"].source


def test_boots_are_those_of_the_pods_that_stand_and_were_started_once() -> None:
    stands = [
        pod("2026-05-01T00:00:00Z", f"2026-05-01T00:00:{seconds}Z") for seconds in (20, 30, 40)
    ]
    again = pod("2026-05-01T00:00:00Z", "2026-05-02T00:00:00Z", restarts=2)
    made = imported(workload(), pods=[*stands, again])
    assert made.number("boot.median_s") == 30.0
    assert not made.figures["boot.p95_s"].assumed
    few = imported(workload(), pods=stands[:1])
    assert few.figures["boot.p95_s"].assumed


def platform(one: ImportedService) -> ImportedPlatform:
    return ImportedPlatform("shop", "namespace shop", ("a", "b"), "labels", {"api": one})


def test_the_file_is_a_platform_and_has_a_source_beside_each_figure() -> None:
    text = files.platform_text(platform(imported(workload(requests={"cpu": "1"}))), "typed")
    PlatformConfig.model_validate(yaml.safe_load(text))
    inside = text.split("services:\n")[1].splitlines()[1:]
    for line in inside:
        assert line.endswith(":") or "  # " in line, line
    assert sum("ASSUMPTION" in line for line in inside) >= 5


def test_what_was_changed_by_hand_stays_at_the_next_import(tmp_path: Path) -> None:
    made = platform(imported(workload(requests={"cpu": "1"})))
    files.written(files.platform_files(tmp_path, made, "typed"), overwrite=False)
    path = files.platform_file(tmp_path, "shop")
    path.write_text(path.read_text().replace("slo_p95_s: 0.5 ", "slo_p95_s: 0.25"))
    again = files.earlier(tmp_path, "shop").services["api"].figures
    assert (again["slo_p95_s"].value, again["slo_p95_s"].source) == (0.25, BY_HAND)
    assert again["slots"] == made.services["api"].figures["slots"]


def test_nothing_is_replaced_without_being_told_to(tmp_path: Path) -> None:
    there, new = tmp_path / "a", tmp_path / "b"
    there.write_text("mine")
    with pytest.raises(ConfigError, match="is there already; overwrite=true"):
        files.written({new: "x", there: "y"}, overwrite=False)
    assert there.read_text() == "mine"
    assert not new.exists()
    files.written({new: "x", there: "y"}, overwrite=True)
    assert there.read_text() == "y"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"web": {"slots": 3}}, r'services: "web" is not allowed \(api\)'),
        ({"api": {"slot": 3}}, r'services.api: "slot" is not allowed \(slots,'),
    ],
)
def test_a_figure_that_is_said_has_to_be_one(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        files.with_given(platform(imported(workload())), given)


def test_a_workload_that_is_not_there_is_named_with_those_that_are() -> None:
    seen = ClusterSurvey({"deployment/api": workload()}, (), (), (), ())
    with pytest.raises(ConfigError, match=r'workloads.web: there is no "deployment/ap" .*api.*did'):
        cluster.chosen(seen, {"web": "deployment/ap"})


@pytest.mark.parametrize("text", ["", "- a", "m5.large: dear", "m5.large: -1", "a: [", "x: true"])
def test_prices_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="prices: "):
        prices.table(path)
