"""The floor of an autoscaler: the real controller follows it, and nothing else is touched."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.model import Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from tests.control_plane import ControlPlane, until
from tests.integration.kubernetes.conftest import Connect, seen
from tests.integration.kubernetes.test_contract import hpa


def others_business(body: dict[str, Any], field: str) -> dict[str, Any]:
    """All of an autoscaler that is not the engine's."""
    meta = body["metadata"]
    annotations = {
        k: v for k, v in meta.get("annotations", {}).items() if not k.startswith("wedtwin/")
    }
    spec = {k: v for k, v in body["spec"].items() if k != field}
    return {"labels": meta.get("labels"), "annotations": annotations, "spec": spec}


def test_the_real_controller_goes_up_to_the_floor_and_keeps_it_when_the_engine_is_gone(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", mode="floor")
        await seen(adapter, lambda s: s.services["api"] == Counts(2, 2, 0, 0))
        before = others_business(cluster.ask("GET", path), "minReplicas")
        (result,) = await adapter.apply([action("api", 2, 6, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED, result
        done = await seen(adapter, lambda s: s.services["api"] == Counts(6, 6, 0, 0))
        results = done.results
        while not results:
            results = (await adapter.observe()).results
        assert [(r.decision_id, r.status) for r in results] == [("d1", Status.COMPLETED)]
        for count, why in ((10, "above 9"), (1, "below 2")):
            (refused,) = await adapter.apply([action("api", 6, count, f"to-{count}")], Fence(1))
            assert refused.status is Status.FAILED
            assert why in refused.detail
        await adapter.close()  # the engine is gone
        # Somebody scales it down by hand: the floor that stands brings it back.
        cluster.merge(f"{workload}/scale", {"spec": {"replicas": 3}})
        until(lambda: cluster.ask("GET", workload)["spec"]["replicas"] == 6, "the floor")
        body = cluster.ask("GET", path)
        assert body["spec"]["minReplicas"] == 6
        assert others_business(body, "minReplicas") == before
        assert cluster.ask("GET", workload)["metadata"]["annotations"].keys() == {
            "deployment.kubernetes.io/revision"
        }

    workload = cluster.workload(namespace, "api", 2)
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    cluster.ask("POST", path, hpa("api"))
    path += "/api"
    asyncio.run(story())


def test_a_floor_that_somebody_changed_is_told_of_and_lower_ones_come_again(
    cluster: ControlPlane, namespace: str, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", mode="floor")
        await seen(adapter, lambda s: s.services["api"].ready == 2)
        await adapter.apply([action("api", 2, 5, "d1")], Fence(1))
        cluster.merge(path, {"spec": {"minReplicas": 2}})  # as GitOps would, if it is let
        await seen(
            adapter,
            lambda s: any(
                "kubectl set 2 on Deployment" in n and "had set 5" in n for n in s.notices
            ),
        )
        await adapter.close()

    cluster.workload(namespace, "api", 2)
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    cluster.ask("POST", path, hpa("api"))
    path += "/api"
    asyncio.run(story())
