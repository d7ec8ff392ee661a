"""What stands on a workload, the patch that changes it, and who else scales it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.adapters.kubernetes.owners import autoscalers, floor_target, refusal
from engine.adapters.kubernetes.settings import KubernetesConfig, WorkloadConfig
from engine.adapters.kubernetes.workloads import (
    DECISIONS,
    FENCE,
    OWN_FLOOR,
    REMEMBERED,
    SET,
    KubeObject,
    change,
    read,
    target,
)
from engine.config.strict import ConfigError

API = target(WorkloadConfig(name="api"), "shop")


def test_a_workload_is_found_where_its_kind_is() -> None:
    assert API.path == "/apis/apps/v1/namespaces/shop/deployments/api"
    rollout = WorkloadConfig(
        kind="Rollout", api="argoproj.io/v1alpha1", plural="rollouts", name="api", namespace="web"
    )
    aim = target(rollout, "shop")
    assert aim.path == "/apis/argoproj.io/v1alpha1/namespaces/web/rollouts/api"
    assert aim.title == "Rollout web/api"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"workloads": {"api": "api"}}, "deployment/NAME"),
        ({"workloads": {"api": "daemon/api"}}, "plural"),
        ({"workloads": {"api": "deployment/API!"}}, "workloads.api.name"),
        ({"workloads": {"api": {"name": "api", "plural": "x"}}}, "leave them out"),
        ({"mode": "both"}, "mode"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"namspace": "x"}, "namspace"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KubernetesConfig.of(given)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("infrastructure.options")


def test_a_workload_in_short_is_the_one_spelled_out() -> None:
    config = KubernetesConfig.of({"workloads": {"db": "shop/statefulset/pg"}})
    assert config.workloads["db"] == WorkloadConfig(kind="statefulset", name="pg", namespace="shop")


def body(count: object, annotations: dict[str, str] | None = None, **meta: Any) -> dict[str, Any]:
    spec = {} if count is None else {"replicas": count}
    given = {} if annotations is None else {"annotations": annotations}
    return {"metadata": {"uid": "u", **given, **meta}, "spec": spec}


def patched(before: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What the patch makes of it, by hand; None if a test of it fails."""
    tree: dict[str, Any] = {"metadata": dict(before["metadata"]), "spec": dict(before["spec"])}
    if "annotations" in tree["metadata"]:
        tree["metadata"]["annotations"] = dict(tree["metadata"]["annotations"])
    for one in operations:
        keys = [k.replace("~1", "/").replace("~0", "~") for k in one["path"].split("/")[1:]]
        here = tree
        for key in keys[:-1]:
            here = here[key]
        if one["op"] == "test":
            if here.get(keys[-1]) != one["value"]:
                return None
        else:
            here[keys[-1]] = one["value"]
    return tree


@pytest.mark.parametrize("annotations", [None, {}, {"other": "1"}])
def test_a_decision_is_carried_out_once_and_leaves_others_alone(
    annotations: dict[str, str] | None,
) -> None:
    before = body(2, annotations)
    operations = change(read(before, API), API, "d1", 5, fence=3)
    after = patched(before, operations)
    assert after is not None
    record = read(after, API)
    assert (record.count, record.fence, record.set, record.decisions) == (5, 3, 5, ("d1",))
    assert not record.is_changed
    assert {**(annotations or {}), **after["metadata"]["annotations"]} == (
        after["metadata"]["annotations"]
    )
    assert patched(after, operations) is None


@pytest.mark.parametrize(
    "meanwhile",
    [
        body(3, {FENCE: "3", SET: "2", DECISIONS: "d0"}),
        body(2, {FENCE: "4", SET: "2", DECISIONS: "d0"}),
        body(2, {FENCE: "3", SET: "2", DECISIONS: "dx d0"}),
        body(2, {}),
    ],
)
def test_what_changed_meanwhile_is_not_overwritten(meanwhile: dict[str, Any]) -> None:
    before = body(2, {FENCE: "3", SET: "2", DECISIONS: "d0"})
    operations = change(read(before, API), API, "d1", 5, fence=3)
    assert patched(before, operations) is not None
    assert patched(meanwhile, operations) is None


def test_the_newest_decisions_are_remembered_and_the_oldest_forgotten() -> None:
    tree = body(0)
    for n in range(REMEMBERED + 3):
        after = patched(tree, change(read(tree, API), API, f"d{n}", n, fence=1))
        assert after is not None
        tree = after
    kept = read(tree, API).decisions
    assert kept[0] == f"d{REMEMBERED + 2}"
    assert kept[-1] == "d3"
    assert len(kept) == REMEMBERED


@pytest.mark.parametrize("count", ["3", True, -1, 2.5])
def test_what_is_no_count_is_not_taken_for_one(count: object) -> None:
    with pytest.raises(ValueError, match="no count"):
        read(body(count), API)


def test_who_changed_the_count_is_said_by_the_object_itself() -> None:
    mine = {"f:spec": {"f:replicas": {}}}
    fields = [
        {"manager": "wedtwin", "time": "2027-01-01T00:00:00Z", "fieldsV1": mine},
        {"manager": "kubectl", "time": "2027-01-02T00:00:00Z", "fieldsV1": mine,
         "subresource": "scale"},
        {"manager": "kube-controller-manager", "time": "2027-01-03T00:00:00Z",
         "fieldsV1": {"f:status": {}}},
    ]  # fmt: skip
    record = read(body(7, {SET: "5"}, managedFields=fields), API)
    assert record.is_changed
    assert record.writer == "kubectl through scale"


def hpa(name: str, kind: str, of: str, maker: str = "") -> dict[str, Any]:
    owner = [{"kind": "ScaledObject", "name": maker}] if maker else []
    return {
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": owner},
        "spec": {"scaleTargetRef": {"kind": kind, "name": of}},
    }


def test_a_workload_that_an_autoscaler_targets_is_refused_by_its_name() -> None:
    owners = autoscalers([hpa("h", "Deployment", "api")], "HorizontalPodAutoscaler")
    assert "HorizontalPodAutoscaler shop/h" in refusal(API, owners)
    for other in (
        hpa("h", "StatefulSet", "api"),
        hpa("h", "Deployment", "web"),
        {**hpa("h", "Deployment", "api"), "metadata": {"name": "h", "namespace": "else"}},
    ):
        assert refusal(API, autoscalers([other], "HorizontalPodAutoscaler")) == ""


def test_of_keda_the_scaled_object_counts_and_not_the_autoscaler_that_it_made() -> None:
    scaled = {
        "metadata": {"name": "so", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"name": "api"}},
    }
    owners = [
        *autoscalers([hpa("keda-hpa-so", "Deployment", "api", "so")], "HorizontalPodAutoscaler"),
        *autoscalers([scaled], "ScaledObject"),
    ]
    assert "ScaledObject shop/so" in refusal(API, owners)
    assert "keda-hpa-so" not in refusal(API, owners)
    floor = floor_target(API, owners)
    assert floor.path == "/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects/so"
    assert read({"metadata": {}, "spec": {}}, floor).count == 0


@pytest.mark.parametrize("count", [0, 2])
def test_a_floor_needs_one_autoscaler(count: int) -> None:
    owners = autoscalers(
        [hpa(f"h{n}", "Deployment", "api") for n in range(count)], "HorizontalPodAutoscaler"
    )
    with pytest.raises(ValueError, match="needs one"):
        floor_target(API, owners)


def test_the_floor_before_the_engine_is_kept_from_its_first_decision_on() -> None:
    owners = autoscalers([hpa("h", "Deployment", "api")], "HorizontalPodAutoscaler")
    floor: KubeObject = floor_target(API, owners)
    tree: dict[str, Any] = {"metadata": {}, "spec": {"minReplicas": 2, "maxReplicas": 9}}
    for n, count in enumerate((4, 3)):
        after = patched(tree, change(read(tree, floor), floor, f"d{n}", count, fence=1))
        assert after is not None
        tree = after
    record = read(tree, floor)
    assert (record.count, record.own_floor, record.most) == (3, 2, 9)
    assert tree["metadata"]["annotations"][OWN_FLOOR] == "2"
    assert tree["spec"]["maxReplicas"] == 9
