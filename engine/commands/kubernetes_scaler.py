"""`python -m engine kubernetes scaledobjects` and `scaler`: what KEDA sees of the engine."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence

import yaml

from engine.adapters.kubernetes import infrastructure as adapter
from engine.adapters.kubernetes.access import Access, AccessError, access_of
from engine.adapters.kubernetes.keda.scaled_objects import scaled_object
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.adapters.kubernetes.workloads import KubeObject
from engine.config.strict import ConfigError
from engine.model import ServiceSpec


def print_objects(specs: Sequence[ServiceSpec], config: KubernetesConfig) -> int:
    """The ScaledObject of each service; returns the exit code."""
    targets = _targets(specs, config, _access(config) if config.namespace is None else None)
    made = [scaled_object(spec, targets[spec.name], config.keda) for spec in specs]
    yaml.safe_dump_all(made, sys.stdout, sort_keys=False, explicit_start=True)
    return 0


def serve(specs: Sequence[ServiceSpec], config: KubernetesConfig) -> int:
    """Answer KEDA until SIGTERM or SIGINT; returns the exit code, raises ValueError."""
    try:
        from engine.adapters.kubernetes.keda import server
    except ImportError as error:
        raise ConfigError(
            f"infrastructure.options.mode: the scaler needs {error.name}, which is not installed: "
            'pip install "wedtwin[keda]"'
        ) from None
    del server
    access = _access(config)
    asyncio.run(_serve(_targets(specs, config, access), config, access))
    return 0


async def _serve(
    targets: Mapping[str, KubeObject], config: KubernetesConfig, access: Access
) -> None:
    from engine.adapters.kubernetes.api import Api
    from engine.adapters.kubernetes.keda.published import Published
    from engine.adapters.kubernetes.keda.server import GRACE_S, Scaler, listening

    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    api = Api(access, config.timeout_s)
    namespaces = [target.namespace for target in targets.values()]
    published = Published(api, config, namespaces, config.namespace or access.namespace)
    scaler = Scaler(targets, published.standing, lambda: published.changed)
    server = await listening(scaler, config.keda)
    try:
        published.start()
        secured = "" if config.keda.tls is None else " (TLS)"
        print(f"the scaler takes calls at {config.keda.listen}{secured}", flush=True)
        await over.wait()
    finally:
        await server.stop(GRACE_S)
        await published.close()
        await api.close()


def _targets(
    specs: Sequence[ServiceSpec], config: KubernetesConfig, access: Access | None
) -> dict[str, KubeObject]:
    namespace = config.namespace or (access.namespace if access is not None else "")
    names = [spec.name for spec in specs]
    for key, given in (("workloads", config.workloads), ("keda.fallback", config.keda.fallback)):
        for name in given:
            if name not in names:
                raise ConfigError(
                    f'infrastructure.options.{key}.{name}: "{name}" is not allowed '
                    f"({', '.join(names)})"
                )
    return adapter.targets_of(names, config, namespace)


def _access(config: KubernetesConfig) -> Access:
    try:
        return access_of(config)
    except AccessError as error:
        raise ConfigError(f"infrastructure.options.kubeconfig: {error}") from None
