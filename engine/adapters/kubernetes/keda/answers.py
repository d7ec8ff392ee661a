"""What a scaler answers to a call: a count, or a refusal that names what is wrong.

What KEDA gives can be wrong for good (INVALID_ARGUMENT, with the field's name), or there is nothing
to say now (UNAVAILABLE): then KEDA counts a failure, and takes the fallback of the ScaledObject
after some.  The name and the target of the metric depend on nothing that may be away, because KEDA
never takes the fallback where it cannot even ask for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.adapters.kubernetes.keda.scaled_objects import PublishedCount
from engine.adapters.kubernetes.workloads import KubeObject

TARGET = 1
"""Of the metric, for each instance: as many are wanted as the metric says."""


class RefusalCode(StrEnum):
    """Whose fault it is; the names are those of gRPC."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAVAILABLE = "UNAVAILABLE"


class ScalerRefusal(Exception):
    """There is no answer; the message says why."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class ScalerCaller:
    """By which ScaledObject, and with which metadata of its trigger, a scaler is asked."""

    name: str
    namespace: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class WantedNow:
    """What a scaler has to go by."""

    objects: Mapping[tuple[str, str], PublishedCount]
    """By namespace and name."""
    trouble: str
    """Why nothing can be said now, "" if it can."""


def metric_name(service: str) -> str:
    """What the metric of a service is called."""
    return f"wedtwin-{service}"


def service_of(asked: ScalerCaller, targets: Mapping[str, KubeObject]) -> str:
    """The service that is asked about; raises ScalerRefusal."""
    service = asked.metadata.get("service", "")
    target = targets.get(service)
    if target is None:
        raise _wrong(
            f'scalerMetadata.service: "{service:.80}" is not allowed ({", ".join(targets)})'
        )
    if asked.namespace != target.namespace:
        raise _wrong(
            f'namespace: "{asked.namespace:.80}" is not allowed ({target.namespace}): {service} is '
            f"{target.title}"
        )
    return service


def wanted(
    asked: ScalerCaller,
    targets: Mapping[str, KubeObject],
    standing: WantedNow,
    metric: str | None = None,
) -> int:
    """How many instances are wanted; raises ScalerRefusal.

    `metric` is the metric that is asked for, None where none is.
    """
    service = service_of(asked, targets)
    if metric is not None and metric != metric_name(service):
        raise _wrong(f'metricName: "{metric:.80}" is not allowed ({metric_name(service)})')
    if standing.trouble:
        raise _not_now(standing.trouble)
    target = targets[service]
    there = standing.objects.get((asked.namespace, asked.name))
    if there is None:
        raise _not_now(f"there is no ScaledObject {asked.namespace}/{asked.name:.80}")
    if (there.kind, there.workload) != (target.kind, target.name):
        raise _wrong(
            f"name: ScaledObject {there.namespace}/{there.name} scales {there.kind} "
            f"{there.namespace}/{there.workload}, and {service} is {target.title}"
        )
    if there.wanted is None:
        raise _not_now(f"the engine has not said yet how many of {service} are wanted")
    return there.wanted


def _wrong(message: str) -> ScalerRefusal:
    return ScalerRefusal(RefusalCode.INVALID_ARGUMENT, message)


def _not_now(message: str) -> ScalerRefusal:
    return ScalerRefusal(RefusalCode.UNAVAILABLE, message)
