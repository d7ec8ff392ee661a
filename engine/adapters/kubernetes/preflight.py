"""What can be known to be wrong before a run begins: names, rights, and who else scales.

Each message names the key of the configuration that is wrong, or the right that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.adapters.kubernetes.access import Access
from engine.adapters.kubernetes.api import ApiError
from engine.adapters.kubernetes.owners import floor_target, published_target, refusal
from engine.adapters.kubernetes.settings import KubernetesConfig, Mode
from engine.adapters.kubernetes.workloads import KubeObject, at, read
from engine.config.complaints import close
from engine.model import ServiceSpec

if TYPE_CHECKING:
    from engine.adapters.kubernetes.infrastructure import KubernetesInfrastructure

RIGHTS = "python -m engine kubernetes rbac prints the role that the engine needs"
MOST_OF_KEDA = 100
"""What KEDA takes for maxReplicaCount where there is none."""
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"


async def check(made: KubernetesInfrastructure, specs: Sequence[ServiceSpec]) -> None:
    """Raise ValueError for what cannot be right; an API server that is away is no error."""
    try:
        await _workloads(made)
        await _watches(made)
        await _autoscalers(made, specs)
    except ApiError as error:
        if error.status in (401, 403):
            hint = f"; {RIGHTS}" if error.status == 403 else ""
            raise ValueError(
                f"infrastructure.options.kubeconfig: {made.access.said_by}: {error}{hint}"
            ) from None
        if error.status == 404:
            raise ValueError(
                f"infrastructure.options.kubeconfig: {made.access.said_by}: {error}: "
                "is that an API server of Kubernetes?"
            ) from None
        if UNTRUSTED in str(error):
            raise ValueError(
                f"infrastructure.options.kubeconfig: {made.access.said_by}: its "
                f"certificate-authority is not that of {made.access.url} ({error})"
            ) from None


async def floors_of(
    specs: Sequence[ServiceSpec], config: KubernetesConfig, access: Access
) -> list[KubeObject]:
    """The autoscalers whose floors are the services'; raises ValueError."""
    from engine.adapters.kubernetes.infrastructure import KubernetesInfrastructure

    made = KubernetesInfrastructure(specs, config, access)
    try:
        owners = await made.looker.autoscalers()
        return [floor_target(aim, owners) for aim in made.targets.values()]
    except ApiError as error:
        raise ValueError(f"infrastructure.options.kubeconfig: {access.said_by}: {error}") from None
    finally:
        await made.close()


async def _workloads(made: KubernetesInfrastructure) -> None:
    taken: dict[str, str] = {}
    for name, aim in made.targets.items():
        if aim.path in taken:
            raise ValueError(
                f"infrastructure.options.workloads.{name}: {aim.title} is {taken[aim.path]} already"
            )
        taken[aim.path] = name
    for name in made.config.workloads:
        if name not in made.targets:
            raise ValueError(
                f'infrastructure.options.workloads.{name}: "{name}" is not allowed '
                f"({', '.join(made.targets)}){close(name, list(made.targets))}"
            )
    objects = await made.looker.objects()
    for name, aim in made.targets.items():
        if name not in objects:
            raise ValueError(
                f"infrastructure.options.workloads.{name}: there is no {aim.title}"
                f"{await _others(made, name)}"
            )
        if at(objects[name], aim.pointer) is None and aim.pointer != "/spec/replicas":
            raise ValueError(
                f"infrastructure.options.workloads.{name}.replicas: {aim.title} has nothing at "
                f"{aim.pointer}"
            )


async def _others(made: KubernetesInfrastructure, name: str) -> str:
    """What there is instead, as far as one may know."""
    aim = made.targets[name]
    try:
        listed = await made.api.get(aim.collection, limit=20)
    except ApiError:
        return ""
    names = [str(at(one, "/metadata/name")) for one in listed.get("items") or ()]
    return f" (there are: {', '.join(names) or 'none'}){close(aim.name, names)}"


async def _watches(made: KubernetesInfrastructure) -> None:
    for namespace in made.looker.pods:
        await made.api.get(f"/api/v1/namespaces/{namespace}/pods", limit=1)
    if made.config.zones:
        try:
            await made.api.get("/api/v1/nodes", limit=1)
        except ApiError as error:
            if error.status == 403:
                raise ValueError(
                    f"infrastructure.options.zones: {error}; {RIGHTS}, and zones=false does "
                    "without nodes"
                ) from None
            raise


async def _autoscalers(made: KubernetesInfrastructure, specs: Sequence[ServiceSpec]) -> None:
    owners = await made.looker.autoscalers()
    for spec in specs:
        aim = made.targets[spec.name]
        if made.config.mode is Mode.SCALE:
            if why := refusal(aim, owners):
                raise ValueError(f"infrastructure.options.workloads.{spec.name}: {why}")
            continue
        try:
            if made.config.mode is Mode.KEDA:
                await _published(made, spec, published_target(spec.name, aim, owners))
                continue
            floor = floor_target(aim, owners)
        except ValueError as error:
            raise ValueError(f"infrastructure.options.workloads.{spec.name}: {error}") from None
        record = read(await made.api.get(floor.path), floor)
        least = record.count if record.own_floor is None else record.own_floor
        if spec.min_instances < least:
            raise ValueError(
                f"platform.services.{spec.name}.min_instances: {spec.min_instances} is below "
                f"{least}, the floor of {floor.title} before the engine came"
            )
        if record.most is not None and spec.max_instances > record.most:
            raise ValueError(
                f"platform.services.{spec.name}.max_instances: {spec.max_instances} is above "
                f"{record.most}, the most that {floor.title} may set"
            )


async def _published(made: KubernetesInfrastructure, spec: ServiceSpec, there: KubeObject) -> None:
    """Raise ValueError where a ScaledObject does not let all counts of the service be."""
    body = await made.api.get(there.path)
    for key, own, pointer, usual in (
        ("min_instances", spec.min_instances, "/spec/minReplicaCount", 0),
        ("max_instances", spec.max_instances, "/spec/maxReplicaCount", MOST_OF_KEDA),
    ):
        given = at(body, pointer)
        limit = given if isinstance(given, int) else usual
        if (limit > own) if key == "min_instances" else (limit < own):
            raise ValueError(
                f"{there.title} has {pointer[6:]} {limit}, and "
                f"platform.services.{spec.name}.{key} is {own}; "
                "python -m engine kubernetes scaledobjects prints it"
            )
