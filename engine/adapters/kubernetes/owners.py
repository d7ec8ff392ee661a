"""Who else sets a workload's count: autoscalers say so themselves.

Two writers of one number pull it to and fro, so a workload that a HorizontalPodAutoscaler or a
ScaledObject of KEDA targets is not scaled by the engine.  With `mode: floor` it is the other way
round: that one scales, and the engine sets the least that it may go to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.workloads import KubeObject

HPAS = ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = ("keda.sh/v1alpha1", "scaledobjects", "ScaledObject")
"""API, name in paths, kind."""
EXTERNAL = ("external", "external-push")
"""Types of triggers with which KEDA asks somebody else's scaler."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An autoscaler and what it scales; `made_by` is the ScaledObject that an HPA belongs to."""

    kind: str
    namespace: str
    name: str
    of: tuple[str, str]
    """Kind and name of the workload."""
    made_by: str = ""
    asks: tuple[str, ...] = ()
    """Services that it asks an external scaler about."""

    @property
    def title(self) -> str:
        """The autoscaler, for people."""
        return f"{self.kind} {self.namespace}/{self.name}"

    def owns(self, workload: KubeObject) -> bool:
        """Whether it scales this workload."""
        return self.namespace == workload.namespace and self.of == (workload.kind, workload.name)


def autoscalers(objects: Iterable[Mapping[str, Any]], kind: str) -> list[Owner]:
    """What a list of HPAs or ScaledObjects says."""
    owners = []
    for one in objects:
        meta, spec = one.get("metadata") or {}, one.get("spec") or {}
        aim = spec.get("scaleTargetRef") or {}
        makers = [
            str(owner.get("name"))
            for owner in meta.get("ownerReferences") or ()
            if owner.get("kind") == SCALED_OBJECTS[2]
        ]
        owners.append(
            Owner(
                kind,
                str(meta.get("namespace", "")),
                str(meta.get("name", "")),
                # KEDA takes a Deployment where no kind is given.
                (str(aim.get("kind") or "Deployment"), str(aim.get("name", ""))),
                makers[0] if makers else "",
                asked_about(spec),
            )
        )
    return owners


def asked_about(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The services about which the triggers of a ScaledObject ask an external scaler."""
    return tuple(
        str((trigger.get("metadata") or {}).get("service", ""))
        for trigger in spec.get("triggers") or ()
        if trigger.get("type") in EXTERNAL
    )


def refusal(workload: KubeObject, owners: Iterable[Owner]) -> str:
    """Why the engine must not set this workload's count, "" if it may."""
    others = [owner.title for owner in owners if not owner.made_by and owner.owns(workload)]
    if not others:
        return ""
    return (
        f"{workload.title} is scaled by {' and '.join(others)}; two writers of one count pull it "
        "to and fro: remove that, or choose infrastructure.options.mode=floor"
    )


def published_target(service: str, workload: KubeObject, owners: Iterable[Owner]) -> KubeObject:
    """The ScaledObject on which the wanted count stands; raises ValueError if it is not one."""
    mine = [owner for owner in owners if not owner.made_by and owner.owns(workload)]
    if len(mine) != 1 or mine[0].kind != SCALED_OBJECTS[2]:
        others = " and ".join(owner.title for owner in mine) or "none"
        raise ValueError(
            f"{workload.title} needs one ScaledObject that asks the engine's scaler, and has "
            f"{others}; python -m engine kubernetes scaledobjects prints it"
        )
    owner = mine[0]
    if owner.asks != (service,):
        others = ", ".join(f'"{name}"' for name in owner.asks) or "none"
        raise ValueError(
            f'{owner.title} needs one external trigger, with service: "{service}", and has '
            f"{others}; python -m engine kubernetes scaledobjects prints it"
        )
    api, plural, kind = SCALED_OBJECTS
    return KubeObject(
        kind, api, owner.namespace, plural, owner.name, most="/spec/maxReplicaCount",
        published=True,
    )  # fmt: skip


def floor_target(workload: KubeObject, owners: Iterable[Owner]) -> KubeObject:
    """The object whose least count is the workload's floor; raises ValueError if it is not one."""
    mine = [owner for owner in owners if not owner.made_by and owner.owns(workload)]
    if len(mine) != 1:
        others = " and ".join(owner.title for owner in mine) or "none"
        raise ValueError(
            f"{workload.title} needs one HorizontalPodAutoscaler or ScaledObject whose floor the "
            f"engine sets, and has {others}"
        )
    owner = mine[0]
    if owner.kind == HPAS[2]:
        api, plural, kind = HPAS
        return KubeObject(
            kind, api, owner.namespace, plural, owner.name, "/spec/minReplicas", 1,
            "/spec/maxReplicas", floor=True,
        )  # fmt: skip
    api, plural, kind = SCALED_OBJECTS
    return KubeObject(
        kind, api, owner.namespace, plural, owner.name, "/spec/minReplicaCount", 0,
        "/spec/maxReplicaCount", floor=True,
    )  # fmt: skip
