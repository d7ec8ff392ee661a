"""A HorizontalPodAutoscaler or ScaledObject as what the twin's `own_hpas` plays for a service.

Only processor time can be played, as the twin has no other figure of a pod that an autoscaler
looks at; what else stands in it is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.owners import HPAS, SCALED_OBJECTS, autoscalers
from engine.adapters.kubernetes.survey import ClusterSurvey
from engine.importing.quantities import quantity

LONGEST_S, LONGEST_PERIOD_S = 3600, 1800


@dataclass(frozen=True, slots=True)
class ImportedAutoscaler:
    """What scales a workload: its limits, the share of a pod's cores it aims at, and how fast.

    `target` is a share of `cores`; None where it does not look at processor time.
    """

    title: str
    least: int
    most: int
    target: float | None
    behavior: Mapping[str, Any] | None
    not_played: tuple[str, ...]


def autoscaler_of(
    workload: str, survey: ClusterSurvey, request: float, cores: float
) -> ImportedAutoscaler | None:
    """That of a workload (`deployment/api`), None without one; raises ValueError for nonsense."""
    hpas = _targeting(workload, survey.hpas, HPAS[2])
    scaled = _targeting(workload, survey.scaled_objects, SCALED_OBJECTS[2])
    if not hpas and not scaled:
        return None
    spec = hpas[0]["spec"] if hpas else {}
    most, least = int(spec.get("maxReplicas", 1)), int(spec.get("minReplicas") or 1)
    title = f"HorizontalPodAutoscaler {hpas[0]['metadata']['name']}" if hpas else ""
    notes: list[str] = []
    if scaled:
        own = scaled[0]["spec"]
        title = f"ScaledObject {scaled[0]['metadata']['name']}"
        least = int(own.get("minReplicaCount") or 0)
        most = int(own.get("maxReplicaCount") or 100)
        if not hpas:
            notes.append(f"{title} has no HPA of its own yet, so nothing of it but its limits")
    if len(hpas) > 1 or len(scaled) > 1:
        notes.append(f"more than one autoscaler aims at it; {title} is taken")
    target = None
    for metric in spec.get("metrics") or ():
        share, said = _share(metric, request, cores)
        if share is None:
            notes.append(f"{title}: {said} is not played by the twin")
        elif target is None or share < target:  # the one that asks for more pods
            target = share
    return ImportedAutoscaler(title, least, most, target, _behavior(spec), tuple(notes))


def _targeting(
    workload: str, objects: Iterable[Mapping[str, Any]], kind: str
) -> list[Mapping[str, Any]]:
    return [
        one
        for one in objects
        for owner in autoscalers([one], kind)
        if f"{owner.of[0].lower()}/{owner.of[1]}" == workload
    ]


def _share(metric: Mapping[str, Any], request: float, cores: float) -> tuple[float | None, str]:
    """What share of a pod's cores a metric aims at; None, and what it is, for any other."""
    kind = str(metric.get("type", ""))
    if kind not in ("Resource", "ContainerResource"):
        own = metric.get(kind[:1].lower() + kind[1:]) or {}
        named = own.get("metric") or {}
        return None, f"the metric {named.get('name', kind)} ({kind})"
    own = metric.get("resource") or metric.get("containerResource") or {}
    aim = own.get("target") or {}
    if own.get("name") != "cpu":
        return None, f"the metric {own.get('name')}"
    if aim.get("averageUtilization") is not None:
        return float(aim["averageUtilization"]) / 100.0 * request / cores, ""
    if aim.get("averageValue") is not None:
        return quantity(aim["averageValue"]) / cores, ""
    return None, "a target of cpu that is neither averageUtilization nor averageValue"


def _behavior(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """`behavior` as far as `controller.options` knows it, None for the defaults of Kubernetes."""
    given: dict[str, Any] = {}
    for way in ("scaleUp", "scaleDown"):
        own = (spec.get("behavior") or {}).get(way) or {}
        kept: dict[str, Any] = {
            key: own[key]
            for key in ("stabilizationWindowSeconds", "selectPolicy", "policies")
            if own.get(key) is not None
        }
        if own.get("tolerance") is not None:
            kept["tolerance"] = quantity(own["tolerance"])
        if kept:
            given[way] = kept
    return given or None
