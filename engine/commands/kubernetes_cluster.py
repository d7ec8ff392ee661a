"""What `python -m engine kubernetes` does, once it is known what is asked for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from engine.adapters.kubernetes import infrastructure as adapter
from engine.adapters.kubernetes import roles
from engine.adapters.kubernetes.access import AccessError, access_of
from engine.adapters.kubernetes.keda import scaled_objects
from engine.adapters.kubernetes.preflight import floors_of
from engine.adapters.kubernetes.settings import KubernetesConfig, Mode
from engine.adapters.kubernetes.workloads import KubeObject
from engine.commands.of_infrastructure import parsed_with
from engine.config.live import ClusterLeaseConfig
from engine.config.strict import ConfigError
from engine.model import ServiceSpec
from engine.ports.infrastructure import Unreachable


def done(
    command: str,
    settings: Mapping[str, Any],
    account: tuple[str, str],
    *,
    recommends: bool,
    scaler: bool,
) -> int:
    """Do what `command` says; returns the exit code, and raises ValueError for bad input."""
    config = parsed_with("kubernetes", settings, adapter)
    specs, options = config.platform.specs(), config.infrastructure.options
    if command == "rbac":
        lead = config.live.cluster_lease if config.live.lease == "kubernetes" else None
        return _print_roles(specs, options, account, acts=not recommends, scaler=scaler, lead=lead)
    if command in ("scaledobjects", "scaler"):
        from engine.commands import kubernetes_scaler

        given = KubernetesConfig.of(options)
        if given.mode is not Mode.KEDA:
            raise ConfigError(
                f"infrastructure.options.mode: {command} is for keda, and this is {given.mode}"
            )
        if command == "scaledobjects":
            return kubernetes_scaler.print_objects(specs, given)
        return kubernetes_scaler.serve(specs, given)
    made = adapter.connect(specs, **options)
    if command == "check":
        for name, target in made.targets.items():
            print(f"{name}: {target.title}")
        asyncio.run(made.close())
        return 0
    return asyncio.run(_show(made))


def _print_roles(
    specs: Sequence[ServiceSpec],
    options: Mapping[str, Any],
    account: tuple[str, str],
    *,
    acts: bool,
    scaler: bool,
    lead: ClusterLeaseConfig | None,
) -> int:
    config = KubernetesConfig.of(options)
    if scaler and config.mode is not Mode.KEDA:
        raise ConfigError("infrastructure.options.mode: --scaler is for keda")
    floors: list[KubeObject] = []
    namespace = config.namespace
    if namespace is None or config.mode is Mode.FLOOR:
        # Which namespace and which autoscalers are meant only the cluster's own words say.
        try:
            access = access_of(config)
        except AccessError as error:
            raise ConfigError(f"infrastructure.options.kubeconfig: {error}") from None
        namespace = access.namespace
        if config.mode is Mode.FLOOR:
            floors = asyncio.run(floors_of(specs, config, access))
    targets = adapter.targets_of([spec.name for spec in specs], config, namespace)
    if scaler:
        its = (account[0], f"{account[1]}-scaler")
        made = roles.scaler_objects(config, targets, its, namespace)
    else:
        if config.mode is Mode.KEDA:
            floors = [scaled_objects.written_on(target) for target in targets.values()]
        lease_in = namespace if config.mode is Mode.KEDA else ""
        made = roles.objects(config, targets, floors, account, acts=acts, lease_in=lease_in)
        if lead is not None:
            made += roles.lease_objects(account, _namespace_of(lead), lead.name)
    yaml.safe_dump_all(made, sys.stdout, sort_keys=False, explicit_start=True)
    return 0


def _namespace_of(lead: ClusterLeaseConfig) -> str:
    if lead.namespace is not None:
        return lead.namespace
    try:
        return access_of(KubernetesConfig.of(lead.options())).namespace
    except AccessError as error:
        raise ConfigError(f"live.cluster_lease: {error}") from None


async def _show(made: adapter.KubernetesInfrastructure) -> int:
    try:
        sighting = await made.observe()
    except Unreachable as error:
        print(f"it cannot be seen: {error}", file=sys.stderr)
        return 1
    finally:
        await made.close()
    for name, counts in sighting.services.items():
        seen = made.seen[name]
        states = ", ".join(f"{n} {state}" for state, n in sorted(seen.pods.states.items()) if n)
        spread = sorted(seen.pods.zones.items())
        zones = ", ".join(f"{n} in {zone or 'no zone'}" for zone, n in spread)
        print(
            f"{name} ({made.targets[name].title}): {counts.desired} desired; "
            f"{states or 'no pods'}; {zones or 'none ready'}; {seen.age_s:.1f} s old"
        )
    for notice in sighting.notices:
        print(f"trouble: {notice}")
    return 0
