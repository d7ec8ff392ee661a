"""The ScaledObject that a service needs, so that KEDA sets just what the engine wants.

The metric is the wanted count and its target 1, so the autoscaler's own sum comes out at that
count.  What would keep it from going there is switched off: the tolerance of 10 % (21 instead of 20
is within it), the 300 s of waiting before it goes down, and its limits to single steps: the engine
has rules of its own for all three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.owners import SCALED_OBJECTS, asked_about
from engine.adapters.kubernetes.settings import KedaConfig
from engine.adapters.kubernetes.workloads import SET, KubeObject
from engine.model import ServiceSpec

POLLS_S = 15
"""How often KEDA asks whether there is anything to do, besides what it is pushed."""
FAILURES = 3
"""The fallback is taken after more failures in a row than these, one with each sync of the HPA."""


def scaled_object(spec: ServiceSpec, target: KubeObject, config: KedaConfig) -> dict[str, Any]:
    """The ScaledObject of one service, to be applied by whoever may."""
    steps = {
        "tolerance": "0",
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": spec.max_instances, "periodSeconds": 1}],
    }
    trigger: dict[str, Any] = {
        "type": "external-push",
        "metricType": "AverageValue",
        "metadata": {"scalerAddress": config.asked_at, "service": spec.name},
    }
    if config.tls is not None:
        trigger["metadata"]["enableTLS"] = "true"
    if config.authentication is not None:
        trigger["authenticationRef"] = {"name": config.authentication}
    return {
        "apiVersion": SCALED_OBJECTS[0],
        "kind": SCALED_OBJECTS[2],
        "metadata": {"name": target.name, "namespace": target.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": target.api, "kind": target.kind, "name": target.name},
            "pollingInterval": POLLS_S,
            # A count of 0 is decided by the engine; there is nothing to wait for then.
            "cooldownPeriod": 0,
            "minReplicaCount": spec.min_instances,
            "maxReplicaCount": spec.max_instances,
            "fallback": {
                "failureThreshold": FAILURES,
                # With 0 KEDA would take a refusal for a wish to have none.
                "replicas": max(1, spec.min_instances, config.fallback.get(spec.name, 0)),
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {"scaleUp": steps, "scaleDown": dict(steps)}
                }
            },
            "triggers": [trigger],
        },
    }


def written_on(target: KubeObject) -> KubeObject:
    """The ScaledObject of a workload, as it is made here: it has the workload's name."""
    api, plural, kind = SCALED_OBJECTS
    return KubeObject(kind, api, target.namespace, plural, target.name, published=True)


@dataclass(frozen=True, slots=True)
class PublishedCount:
    """What a ScaledObject says: what it scales, for which service, and how many are wanted."""

    namespace: str
    name: str
    kind: str
    workload: str
    services: tuple[str, ...]
    wanted: int | None
    """None: the engine has said nothing yet."""


def published(body: Mapping[str, Any]) -> PublishedCount:
    """A ScaledObject as a scaler sees it."""
    meta, spec = body.get("metadata") or {}, body.get("spec") or {}
    aim = spec.get("scaleTargetRef") or {}
    text = str((meta.get("annotations") or {}).get(SET, ""))
    return PublishedCount(
        str(meta.get("namespace", "")),
        str(meta.get("name", "")),
        str(aim.get("kind") or "Deployment"),
        str(aim.get("name", "")),
        asked_about(spec),
        int(text) if text.isdecimal() and text.isascii() else None,
    )
