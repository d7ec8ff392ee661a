"""Objects of another shape than Kubernetes has are refused at the border, whatever reads them."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from engine.adapters.kubernetes.infrastructure import KubernetesInfrastructure
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.adapters.kubernetes.shapes import complaint
from engine.model import Status
from engine.ports.infrastructure import Unreachable
from engine.ports.lease import Fence
from tests.unit.engine.conftest import make_spec
from tests.unit.engine.runtime.conftest import action

ODD = [
    ({"items": 3}, ".items is no list"),
    ({"items": "ab"}, ".items is no list"),
    ({"items": [None]}, ".items[0] is no object"),
    ({"items": [{}, 3]}, ".items[1] is no object"),
    ({"items": [{"spec": [1]}]}, ".items[0].spec is no object"),
    ({"items": [{"metadata": {"ownerReferences": [1]}}]}, ".ownerReferences[0] is no object"),
    ({"items": [{"spec": {"triggers": [1]}}]}, ".triggers[0] is no object"),
    ({"items": [{"spec": {"scaleTargetRef": [1]}}]}, ".scaleTargetRef is no object"),
    ({"metadata": "x"}, ".metadata is no object"),
    ({"metadata": {"annotations": [1]}}, ".annotations is no object"),
    ({"metadata": {"managedFields": [1]}}, ".managedFields[0] is no object"),
    ({"metadata": {"managedFields": 3}}, ".managedFields is no list"),
    ({"spec": {"selector": {"matchLabels": [1]}}}, ".matchLabels is no object"),
    ({"spec": {"selector": {"matchExpressions": [1]}}}, ".matchExpressions[0] is no object"),
    ({"status": {"conditions": [1]}}, ".conditions[0] is no object"),
    ({"status": 3}, ".status is no object"),
]
FINE: list[dict[str, Any]] = [
    {},
    {"items": None},
    {"items": []},
    {"metadata": None, "spec": None, "status": None},
    {"kind": "Status", "status": "Failure", "message": "no"},
    {"kind": "Scale", "spec": {"replicas": 3}, "status": {"replicas": 3, "selector": "a=b"}},
    {"metadata": {"annotations": None, "labels": {}}, "spec": {"selector": {"app": "x"}}},
]


@pytest.mark.parametrize(("body", "why"), ODD)
def test_another_shape_is_named_by_its_place(body: dict[str, Any], why: str) -> None:
    assert complaint("/apis/apps/v1/namespaces/shop/deployments", body).endswith(why)


@pytest.mark.parametrize("body", FINE)
def test_what_kubernetes_may_leave_out_is_no_complaint(body: dict[str, Any]) -> None:
    assert complaint("/apis/apps/v1/namespaces/shop/deployments", body) == ""


@pytest.mark.parametrize(
    "body",
    [
        {"spec": {"selector": "app=x", "triggers": {}, "metrics": 3}, "status": {"conditions": {}}},
        {"items": [{"spec": {"containers": "none"}}]},
    ],
)
def test_what_a_resource_of_ones_own_has_in_its_spec_is_its_affair(body: dict[str, Any]) -> None:
    assert complaint("/apis/example.com/v1/namespaces/shop/fleets/api", body) == ""
    assert complaint("/apis/example.com/v1/fleets", {"metadata": [], **body}) == (
        ".metadata is no object"
    )


WORKLOAD = {
    "metadata": {"name": "api", "uid": "u", "annotations": {}},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}},
}
EMPTY = {"metadata": {"resourceVersion": "1"}, "items": []}
ACTION = action("d-1", 1, 2)


@pytest.mark.parametrize("body", [body for body, _ in ODD])
@pytest.mark.parametrize("where", ["/deployments/api", "/pods", "horizontalpodautoscalers", ""])
def test_looking_and_writing_end_in_their_own_errors(body: dict[str, Any], where: str) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "watch" in request.url.params:
            await asyncio.sleep(3600.0)
        if where in path:
            return httpx.Response(200, content=json.dumps(body))
        return httpx.Response(200, json=WORKLOAD if path.endswith("/api") else EMPTY)

    async def story() -> None:
        access: Any = SimpleNamespace(
            url="https://cluster.test", context=True, headers=dict, namespace="shop", said_by="x"
        )
        config = KubernetesConfig(timeout_s=1.0, zones=False)
        made = KubernetesInfrastructure([make_spec("api")], config, access)
        await made.api.close()
        made.api._client = httpx.AsyncClient(
            base_url=access.url, transport=httpx.MockTransport(answer)
        )
        try:
            try:
                await made.observe()
            except Unreachable as error:
                str(error).encode()
            (result,) = await made.apply([ACTION], Fence(3))
            assert result.status in (Status.FAILED, Status.ACCEPTED)
        finally:
            await made.close()

    asyncio.run(story())
