"""Each kind of workload, and each way of writing, keeps the contract of every infrastructure."""

from __future__ import annotations

import asyncio

import pytest

from engine.ports import contract
from engine.ports.infrastructure import Infrastructure
from tests.control_plane import ControlPlane, until
from tests.integration.kubernetes.conftest import Connect

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def define(
    cluster: ControlPlane, group: str, kind: str, plural: str, *, scale: bool = False
) -> None:
    """A kind of somebody's own, as an operator brings it."""
    if cluster.is_there(f"{CRD}/{plural}.{group}"):
        return
    scaled = {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }  # fmt: skip
    open_schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    cluster.ask("POST", CRD, {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [{
                "name": "v1alpha1", "served": True, "storage": True,
                "schema": {"openAPIV3Schema": open_schema},
                "subresources": {"status": {}, **({"scale": scaled} if scale else {})},
            }],
        },
    })  # fmt: skip
    until(
        lambda: cluster.is_there(f"/apis/{group}/v1alpha1/namespaces/default/{plural}"),
        f"the kind {kind}",
    )


class Bench(contract.InfrastructureBench):
    """The API server is really killed, and started again."""

    service, low, high = "api", 2, 5

    def __init__(
        self, cluster: ControlPlane, connect: Connect, *, breaks: bool, **options: object
    ) -> None:
        self._cluster, self._connect = cluster, connect
        self._breaks, self._options = breaks, options

    async def connect(self) -> Infrastructure:
        return self._connect("api", **self._options)

    async def break_off(self) -> bool:
        if self._breaks:
            self._cluster.kill("apiserver")
        return self._breaks

    async def mend(self) -> None:
        self._cluster.start("apiserver")
        await asyncio.to_thread(self._cluster.ready)


@pytest.mark.slow
def test_a_deployment_keeps_the_contract_while_the_api_server_is_killed(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    cluster.workload(namespace, "api", 2)
    asyncio.run(contract.infrastructure(Bench(cluster, connect, breaks=True)))


def test_a_stateful_set_keeps_the_contract(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    cluster.workload(namespace, "db", 2, kind="StatefulSet")
    bench = Bench(cluster, connect, breaks=False, workloads={"api": "statefulset/db"})
    asyncio.run(contract.infrastructure(bench))


def test_a_kind_of_somebodys_own_with_a_scale_keeps_the_contract(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    define(cluster, "test.example", "Rollout", "rollouts", scale=True)
    path = f"/apis/test.example/v1alpha1/namespaces/{namespace}/rollouts"
    cluster.ask("POST", path, {
        "apiVersion": "test.example/v1alpha1", "kind": "Rollout",
        "metadata": {"name": "api"}, "spec": {"replicas": 2},
    })  # fmt: skip
    cluster.merge(f"{path}/api/status", {"status": {"selector": "app=api", "replicas": 0}})
    own = {"kind": "Rollout", "api": "test.example/v1alpha1", "plural": "rollouts", "name": "api"}
    bench = Bench(cluster, connect, breaks=False, workloads={"api": own})
    asyncio.run(contract.infrastructure(bench))


def test_the_floor_of_an_autoscaler_keeps_the_contract(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    cluster.workload(namespace, "api", 2)
    cluster.ask(
        "POST", f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", hpa("api")
    )
    asyncio.run(contract.infrastructure(Bench(cluster, connect, breaks=False, mode="floor")))


def test_the_floor_of_a_scaled_object_keeps_the_contract(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    define(cluster, "keda.sh", "ScaledObject", "scaledobjects")
    cluster.workload(namespace, "api", 2)
    cluster.ask("POST", f"/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects", {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "api"},
        "spec": {"scaleTargetRef": {"name": "api"}, "minReplicaCount": 2, "maxReplicaCount": 9},
    })  # fmt: skip
    asyncio.run(contract.infrastructure(Bench(cluster, connect, breaks=False, mode="floor")))


def hpa(of: str, least: int = 2, most: int = 9) -> dict[str, object]:
    """An autoscaler by CPU of a deployment."""
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}
    return {
        "metadata": {"name": of},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": of},
            "minReplicas": least, "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": cpu}],
        },
    }  # fmt: skip
