"""A scaler beside an adapter, in one loop, and the ScaledObject by which it is asked."""

from __future__ import annotations

import asyncio
import contextlib
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


class Front:
    """An address before several ports, as a service of a cluster is: who takes calls gets them."""

    def __init__(self, *ports: int) -> None:
        self.port = 0
        self._ports = ports
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Front:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._ports:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                for source, sink in ((reader, back), (there, writer)):
                    task = asyncio.create_task(_carried(source, sink))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                return
        writer.close()


async def _carried(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()
