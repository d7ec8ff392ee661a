"""From what stands in a namespace to services: what can be read there, and what is assumed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.adapters.kubernetes.pods import selector, zone
from engine.adapters.kubernetes.survey import ClusterSurvey
from engine.config.complaints import close
from engine.config.strict import ConfigError
from engine.importing import prices
from engine.importing.autoscalers import ImportedAutoscaler, autoscaler_of
from engine.importing.figures import ImportedService, SourcedFigure
from engine.importing.quantities import quantity

SLO = "wedtwin/slo-p95-s"
"""Annotation of a workload: its SLO, in seconds."""
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
ENOUGH_BOOTS = 3
ROOM = 4
MOST_ZONES = 16
KUBERNETES_HPA_LIMIT = 100
PENDING = "until it is measured"
"""What an assumption says that `python -m engine import prometheus` can replace."""


def chosen(survey: ClusterSurvey, wanted: Mapping[str, str]) -> dict[str, str]:
    """Service to workload (`deployment/api`): those that are named, or all there are."""
    if wanted:
        for name, workload in wanted.items():
            if workload not in survey.workloads:
                there = list(survey.workloads)
                raise ConfigError(
                    f'workloads.{name}: there is no "{workload}" '
                    f"(there are: {', '.join(there)}){close(workload, there)}"
                )
        return dict(wanted)
    services: dict[str, str] = {}
    for workload in survey.workloads:
        kind, name = workload.replace(".", "-").split("/")  # a dot would part a key in two
        services[name if name not in services else f"{name}-{kind}"] = workload
    return services


def services_of(
    survey: ClusterSurvey,
    wanted: Mapping[str, str],
    price_table: Mapping[str, float],
    price_source: str,
) -> dict[str, ImportedService]:
    """The services; raises ConfigError for what cannot be one."""
    nodes = {str(node["metadata"]["name"]): node for node in survey.nodes}
    made = {}
    for name, workload in wanted.items():
        try:
            made[name] = _service(workload, survey, nodes, price_table, price_source=price_source)
        except ValueError as error:
            raise ConfigError(f"workloads.{name}: {workload}: {error}") from None
    return made


def zones_of(survey: ClusterSurvey) -> tuple[tuple[str, ...], str]:
    """The zones of the nodes that take pods, and where that is from."""
    working = [
        node
        for node in survey.nodes
        if CONTROL_PLANE not in ((node.get("metadata") or {}).get("labels") or {})
    ]
    names = sorted({zone(node) for node in working} - {""})
    if names and len(names) <= MOST_ZONES:
        return tuple(names), f"labels of {len(working)} nodes"
    why = survey.nodes_refused or "no node has the label topology.kubernetes.io/zone"
    return ("a",), f"ASSUMPTION: one zone; {why}"


def _service(
    workload: str,
    survey: ClusterSurvey,
    nodes: Mapping[str, Mapping[str, Any]],
    price_table: Mapping[str, float],
    *,
    price_source: str,
) -> ImportedService:
    body = survey.workloads[workload]
    spec = body.get("spec") or {}
    template = (spec.get("template") or {}).get("spec") or {}
    containers = template.get("containers") or ()
    request, memory = (_asked(containers, "requests", key) for key in ("cpu", "memory"))
    limits = [_of(one, "limits", "cpu") for one in containers]
    limit = sum(one for one in limits if one is not None) if None not in limits else None
    asked = request or 0.0
    cores = limit or asked or 1.0
    pods = _pods(spec, survey)
    standing = [nodes[at] for pod in pods if (at := pod["spec"].get("nodeName")) in nodes]
    scaler = autoscaler_of(workload, survey, asked or cores, cores)
    replicas = int(1 if spec.get("replicas") is None else spec["replicas"])
    figures = {
        **_work(cores, limit, request),
        **_boot(pods, containers),
        "price_per_hour": prices.price(
            asked or cores, memory or 0.0, standing, price_table, where=price_source
        ),
        "slo_p95_s": _slo(body),
        **_limits(scaler, replicas),
        "stateful": SourcedFigure(workload.startswith("statefulset/"), "the workload's kind"),
        "user_facing": SourcedFigure(
            not workload.startswith("statefulset/"),
            "a Deployment faces users, a StatefulSet does not",
            assumed=True,
        ),
    }
    played = _played(scaler)
    return ImportedService(
        workload=workload,
        namespace=str(body["metadata"]["namespace"]),
        replicas=replicas,
        request=asked,
        cores=cores,
        figures=figures,
        autoscaler=played,
        autoscaler_source=scaler.title if scaler else "no autoscaler aims at it: its count stays",
        aim_cores=None if scaler is None or scaler.target is None else scaler.target * cores,
        not_played=scaler.not_played if scaler else (),
    )


def _played(scaler: ImportedAutoscaler | None) -> dict[str, Any] | None:
    """The options of the autoscaler in the twin; None: the count stays."""
    if scaler is None or scaler.target is None:
        return None
    target = min(max(round(100.0 * scaler.target), 1), KUBERNETES_HPA_LIMIT)
    return {"target_cpu": target, **({"behavior": scaler.behavior} if scaler.behavior else {})}


def _work(cores: float, limit: float | None, request: float | None) -> dict[str, SourcedFigure]:
    said = (
        f"its cpu limit, {limit:g} cores" if limit
        else f"its cpu request, {request:g} cores" if request else "one core, as it requests none"
    )  # fmt: skip
    return {
        "slots": SourcedFigure(
            max(round(8 * cores), 1), f"8 requests at once for each core of {said}; {PENDING}", True
        ),
        "service_s": SourcedFigure(0.05, f"plausible: 0.005 … 1; {PENDING}", True),
        "service_scv": SourcedFigure(1.0, f"plausible: 0.5 … 4; {PENDING}", True),
    }


def _slo(body: Mapping[str, Any]) -> SourcedFigure:
    noted = ((body.get("metadata") or {}).get("annotations") or {}).get(SLO)
    if noted is None:
        return SourcedFigure(
            0.5, f"yours to say: annotation {SLO}, or services.NAME.slo_p95_s=…", assumed=True
        )
    try:
        value = float(noted)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 3600.0:
        raise ValueError(f"annotation {SLO}: {noted} is no time in seconds")
    return SourcedFigure(value, f"annotation {SLO} of the workload")


def _limits(scaler: ImportedAutoscaler | None, replicas: int) -> dict[str, SourcedFigure]:
    if scaler is not None:
        return {
            "min_instances": SourcedFigure(scaler.least, scaler.title),
            "max_instances": SourcedFigure(max(scaler.most, scaler.least, 1), scaler.title),
        }
    return {
        "min_instances": SourcedFigure(
            replicas, "the replicas that it has, as no autoscaler aims at it", assumed=True
        ),
        "max_instances": SourcedFigure(
            max(ROOM * replicas, 1), f"{ROOM} times the replicas that it has", assumed=True
        ),
    }


def _pods(spec: Mapping[str, Any], survey: ClusterSurvey) -> list[Mapping[str, Any]]:
    chosen_by = selector(spec.get("selector") or {})
    if not chosen_by.equal and not chosen_by.expressions:
        return []
    return [pod for pod in survey.pods if chosen_by.takes(pod["metadata"].get("labels") or {})]


def _boot(
    pods: Sequence[Mapping[str, Any]], containers: Sequence[Mapping[str, Any]]
) -> dict[str, SourcedFigure]:
    boots = sorted(boot for pod in pods if (boot := _boot_of(pod)) is not None)
    delays = [
        float((one.get(probe) or {}).get("initialDelaySeconds") or 0)
        for one in containers
        for probe in ("startupProbe", "readinessProbe")
    ]
    least = max(delays, default=0.0)
    if not boots:
        probe = f"; its probes wait {least:g} s" if least else ""
        median = max(60.0, least)
        return {
            "boot.median_s": SourcedFigure(median, f"plausible: 5 … 600{probe}; {PENDING}", True),
            "boot.p95_s": SourcedFigure(2.0 * median, f"twice the median; {PENDING}", True),
        }
    median = max(round(float(np.median(boots)), 1), 0.5)
    source = f"from creation to ready, {len(boots)} pods that stand"
    tail = max(round(float(np.quantile(boots, 0.95)), 1), median)
    if len(boots) < ENOUGH_BOOTS:
        worst = SourcedFigure(2.0 * median, f"twice the median, of {len(boots)} pods only", True)
    else:
        worst = SourcedFigure(tail, source)
    return {"boot.median_s": SourcedFigure(median, source), "boot.p95_s": worst}


def _boot_of(pod: Mapping[str, Any]) -> float | None:
    """From its creation until it was ready; None if it is not, or was started more than once."""
    status = pod.get("status") or {}
    if any(one.get("restartCount") for one in status.get("containerStatuses") or ()):
        return None
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    # That its containers are ready does not change when the node is lost for a while.
    ready = conditions.get("ContainersReady") or conditions.get("Ready") or {}
    times = (ready.get("lastTransitionTime"), pod["metadata"].get("creationTimestamp"))
    if ready.get("status") != "True" or not all(times):
        return None
    until, since = (dt.datetime.fromisoformat(str(one)) for one in times)
    return max((until - since).total_seconds(), 0.0)


def _asked(containers: Sequence[Mapping[str, Any]], what: str, key: str) -> float | None:
    given = [amount for one in containers if (amount := _of(one, what, key)) is not None]
    return sum(given) if given else None


def _of(container: Mapping[str, Any], what: str, key: str) -> float | None:
    amount = ((container.get("resources") or {}).get(what) or {}).get(key)
    return None if amount is None else quantity(amount)
