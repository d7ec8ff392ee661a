"""All of a namespace that says how its workloads are scaled and what they cost, read once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.access import Access
from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.owners import HPAS, SCALED_OBJECTS
from engine.adapters.kubernetes.preflight import UNTRUSTED
from engine.adapters.kubernetes.settings import PLURALS
from engine.config.complaints import close
from engine.config.strict import ConfigError

PAGE = 500
Objects = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ClusterSurvey:
    """Objects as the API server gave them; workloads by `kind/name` (such as deployment/api).

    `nodes` is empty where `nodes_refused` says why they may not be read.
    """

    workloads: Mapping[str, Mapping[str, Any]]
    hpas: Objects
    scaled_objects: Objects
    pods: Objects
    nodes: Objects
    nodes_refused: str = ""


async def survey(access: Access, timeout_s: float) -> ClusterSurvey:
    """What there is in the namespace of `access`; raises ConfigError naming what keeps it."""
    api = Api(access, timeout_s)
    try:
        return await _survey(api, access.namespace)
    except ApiError as error:
        raise ConfigError(f"cluster.kubeconfig: {access.said_by}: {_said(error, access)}") from None
    finally:
        await api.close()


async def _survey(api: Api, namespace: str) -> ClusterSurvey:
    workloads: dict[str, Mapping[str, Any]] = {}
    for short, (group, plural, _) in PLURALS.items():
        for one in await _all(api, f"/apis/{group}/namespaces/{namespace}/{plural}"):
            workloads[f"{short}/{one['metadata']['name']}"] = one
    if not workloads:
        await _is_there(api, namespace)
        raise ConfigError(f"cluster.namespace: {namespace} has no Deployment and no StatefulSet")
    hpas = await _all(api, f"/apis/{HPAS[0]}/namespaces/{namespace}/{HPAS[1]}")
    try:
        path = f"/apis/{SCALED_OBJECTS[0]}/namespaces/{namespace}/{SCALED_OBJECTS[1]}"
        scaled = await _all(api, path)
    except ApiError as error:
        if error.status != 404:
            raise
        scaled = ()  # there is no KEDA
    pods = await _all(api, f"/api/v1/namespaces/{namespace}/pods")
    refused = ""
    try:
        nodes = await _all(api, "/api/v1/nodes")
    except ApiError as error:
        if error.status != 403:
            raise
        nodes, refused = (), str(error)
    return ClusterSurvey(workloads, hpas, scaled, pods, nodes, refused)


async def _all(api: Api, path: str) -> Objects:
    """A whole list, in pages; one that grew too old on the way is begun anew."""
    for _ in range(3):
        items: list[Mapping[str, Any]] = []
        onward = ""
        try:
            while True:
                more = {"continue": onward} if onward else {}
                answer = await api.get(path, limit=PAGE, **more)
                items += answer.get("items") or ()
                onward = str((answer.get("metadata") or {}).get("continue") or "")
                if not onward:
                    return tuple(items)
        except ApiError as error:
            if error.status != 410:
                raise
            await asyncio.sleep(0.1)
    raise ApiError(f"{path}: the list changes faster than it can be read")


async def _is_there(api: Api, namespace: str) -> None:
    """Raise ConfigError for a namespace that is not there, as far as one may know."""
    try:
        await api.get(f"/api/v1/namespaces/{namespace}")
    except ApiError as error:
        if error.status != 404:
            return
    else:
        return
    names: list[str] = []
    with contextlib.suppress(ApiError):
        names = [str(one["metadata"]["name"]) for one in await _all(api, "/api/v1/namespaces")]
    there = f" (there are: {', '.join(names)})" if names else ""
    raise ConfigError(
        f'cluster.namespace: there is no namespace "{namespace}"{there}{close(namespace, names)}'
    )


def _said(error: ApiError, access: Access) -> str:
    if error.status == 403:
        return f"{error}; the import needs list on workloads, autoscalers, pods and nodes"
    if error.status == 404:
        return f"{error}: is {access.url} an API server of Kubernetes?"
    if UNTRUSTED in str(error):
        return f"its certificate-authority is not that of {access.url} ({error})"
    return str(error)
