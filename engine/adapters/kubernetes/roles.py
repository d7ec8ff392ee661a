"""The least that the engine has to be allowed, as Kubernetes' own objects.

Rights to read one object and to change it are for the workloads by name.  What has no name that is
known before (pods, autoscalers) may be listed in the workloads' namespaces.  Nodes are the
cluster's, and only their labels are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from engine.adapters.kubernetes.keda import pulse
from engine.adapters.kubernetes.looking import ONE_BY_ONE
from engine.adapters.kubernetes.owners import HPAS, SCALED_OBJECTS
from engine.adapters.kubernetes.settings import PLURALS, KubernetesConfig, Mode
from engine.adapters.kubernetes.workloads import KubeObject

RBAC = "rbac.authorization.k8s.io"
NAME = "wedtwin"

_Rule = dict[str, Any]


def objects(
    config: KubernetesConfig,
    targets: Mapping[str, KubeObject],
    floors: Iterable[KubeObject],
    account: tuple[str, str],
    *,
    acts: bool,
    lease_in: str = "",
) -> list[dict[str, Any]]:
    """Roles and their bindings for the service account `account` (namespace, name).

    `floors` are the autoscalers on which the engine writes; without `acts` nothing may be changed.
    `lease_in` is where the engine says that it is there, "" where it does not.
    """
    by_namespace: dict[str, list[KubeObject]] = defaultdict(list)
    for target in targets.values():
        by_namespace[target.namespace].append(target)
    floors = list(floors)
    made: list[dict[str, Any]] = []
    for namespace in sorted({*by_namespace, *([lease_in] if lease_in else ())}):
        rules: list[_Rule] = []
        if workloads := by_namespace.get(namespace):
            rules = _of_namespace(
                config, workloads, [f for f in floors if f.namespace == namespace], acts=acts
            )
        if namespace == lease_in and acts:
            rules.append(_rule(_group(pulse.API), "leases", ["create"]))
            verbs = ["get", "patch"]
            rules.append(_rule(_group(pulse.API), "leases", verbs, [config.keda.lease]))
        if rules:
            made += _granted("Role", rules, account, namespace)
    if config.zones:
        made += _granted("ClusterRole", [_rule("", "nodes", ["list", "watch"])], account)
    return made


def lease_objects(account: tuple[str, str], namespace: str, name: str) -> list[dict[str, Any]]:
    """The role for leading by the Lease `name`, which the engine makes if it is not there."""
    group = _group(pulse.API)
    rules = [
        _rule(group, "leases", ["create"]),
        _rule(group, "leases", ["get", "patch"], [name]),
    ]
    return _granted("Role", rules, account, namespace, name=f"{NAME}-lead")


def scaler_objects(
    config: KubernetesConfig,
    targets: Mapping[str, KubeObject],
    account: tuple[str, str],
    lease_in: str,
) -> list[dict[str, Any]]:
    """The same for the account of the scaler, which only reads."""
    made: list[dict[str, Any]] = []
    places = {target.namespace for target in targets.values()}
    for namespace in sorted({*places, lease_in}):
        rules = []
        if namespace in places:
            api, plural, _ = SCALED_OBJECTS
            rules.append(_rule(_group(api), plural, ["list", "watch"]))
        if namespace == lease_in:
            rules.append(_rule(_group(pulse.API), "leases", ["get"], [config.keda.lease]))
        made += _granted("Role", rules, account, namespace, name=f"{NAME}-scaler")
    return made


def _of_namespace(
    config: KubernetesConfig, workloads: list[KubeObject], floors: list[KubeObject], *, acts: bool
) -> list[_Rule]:
    rules = [_rule("", "pods", ["list", "watch"])]
    by_kind: dict[tuple[str, str], list[KubeObject]] = defaultdict(list)
    for target in workloads:
        by_kind[(_group(target.api), target.plural)].append(target)
    built_in = {(_group(api), plural) for api, plural, _ in PLURALS.values()}
    sets = acts and config.mode is Mode.SCALE
    for (group, plural), those in sorted(by_kind.items()):
        names = sorted(target.name for target in those)
        rules.append(_rule(group, plural, ["get", *(["patch"] if sets else [])], names))
        if len(names) > ONE_BY_ONE:
            rules.append(_rule(group, plural, ["list"]))
        if (group, plural) not in built_in:
            rules.append(_rule(group, f"{plural}/scale", ["get"], names))
    for api, plural, kind in (HPAS, SCALED_OBJECTS):
        rules.append(_rule(_group(api), plural, ["list"]))
        names = sorted(floor.name for floor in floors if floor.kind == kind)
        if names:
            verbs = ["get", *(["patch"] if acts else [])]
            rules.append(_rule(_group(api), plural, verbs, names))
    if config.events:
        rules.append(_rule("", "events", ["create"]))
    return rules


def _rule(group: str, resource: str, verbs: list[str], names: list[str] | None = None) -> _Rule:
    rule: _Rule = {"apiGroups": [group], "resources": [resource]}
    if names is not None:
        rule["resourceNames"] = names
    return {**rule, "verbs": verbs}


def _group(api: str) -> str:
    return api.partition("/")[0] if "/" in api else ""


def _granted(
    kind: str,
    rules: list[_Rule],
    account: tuple[str, str],
    namespace: str = "",
    *,
    name: str = NAME,
) -> list[dict[str, Any]]:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    who = {"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
            "subjects": [who],
        },
    ]
