"""A scaler beside an adapter, in one loop, and the ScaledObject by which it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.adapters.kubernetes.access import access_of
from engine.adapters.kubernetes.api import Api
from engine.adapters.kubernetes.infrastructure import targets_of
from engine.adapters.kubernetes.keda.published import Published
from engine.adapters.kubernetes.keda.scaled_objects import scaled_object
from engine.adapters.kubernetes.keda.server import Scaler, listening
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.model import ServiceSpec
from tests.control_plane import ControlPlane

GROUP = "keda.sh/v1alpha1"


def path_of(namespace: str, name: str = "") -> str:
    """The path of a ScaledObject, or of all."""
    return f"/apis/{GROUP}/namespaces/{namespace}/scaledobjects{f'/{name}' if name else ''}"


def let_keda_scale(
    cluster: ControlPlane, namespace: str, spec: ServiceSpec, keda: dict[str, Any], **changed: Any
) -> str:
    """Apply the ScaledObject that is generated for a service; returns its path."""
    config = KubernetesConfig.of({"mode": "keda", "keda": keda})
    target = targets_of([spec.name], config, namespace)[spec.name]
    body = scaled_object(spec, target, config.keda)
    body["spec"] |= changed
    cluster.ask("POST", f"{path_of(namespace)}?fieldValidation=Strict", body)
    return path_of(namespace, spec.name)


@asynccontextmanager
async def a_scaler(
    config_file: Path, services: list[ServiceSpec], listen: str, **keda: Any
) -> AsyncIterator[Scaler]:
    """One that takes calls, and looks at the cluster with what the file allows."""
    config = KubernetesConfig.of(
        {"kubeconfig": str(config_file), "mode": "keda", "keda": {"listen": listen, **keda}}
    )
    access = access_of(config)
    api = Api(access, config.timeout_s)
    targets = targets_of([spec.name for spec in services], config, access.namespace)
    published = Published(api, config, [access.namespace], access.namespace)
    scaler = Scaler(targets, published.standing, lambda: published.changed)
    server = await listening(scaler, config.keda)
    try:
        published.start()
        yield scaler
    finally:
        await server.stop(None)
        await published.close()
        await api.close()


def at_least(spec: ServiceSpec, least: int) -> ServiceSpec:
    """The service with another minimum."""
    return replace(spec, min_instances=least)
