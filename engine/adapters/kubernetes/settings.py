"""The options of `infrastructure=kubernetes`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from engine.config.api import TlsConfig
from engine.config.strict import Strict

NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME)]

PLURALS = {
    "deployment": ("apps/v1", "deployments", "Deployment"),
    "statefulset": ("apps/v1", "statefulsets", "StatefulSet"),
}
"""The kinds that go without saying more: their API, their name in paths, their name in objects."""


class Mode(StrEnum):
    """What the engine writes: a workload's count, the least that another may set, or a wish."""

    SCALE = "scale"
    FLOOR = "floor"
    KEDA = "keda"


def _address(given: str) -> str:
    """`host:port`."""
    host, colon, port = given.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 65_536) or "/" in given:
        raise ValueError(f'"{given}" is not allowed (HOST:PORT)')
    return given


class WorkloadConfig(Strict):
    """What a service is in the cluster; in short `deployment/api` or `shop/statefulset/db`."""

    kind: Annotated[str, Field(min_length=1)] = "deployment"
    """deployment, statefulset, or another kind with a scale subresource, with `api` and `plural`"""
    name: Name
    namespace: Name | None = None
    """Null: that of the options."""
    api: str = ""
    """Such as argoproj.io/v1alpha1; for kinds that are not built in."""
    plural: str = ""
    """Such as rollouts; as above."""
    replicas: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_-]+)+$")] = "/spec/replicas"
    """Where the count is in the object."""

    @model_validator(mode="after")
    def _named(self) -> WorkloadConfig:
        if self.kind.lower() in PLURALS:
            if self.api or self.plural:
                raise ValueError(f"api and plural of a {self.kind} are known, leave them out")
        elif not (self.api.count("/") == 1 and self.plural):
            raise ValueError(
                f"api (such as argoproj.io/v1alpha1) and plural (such as rollouts) are needed for "
                f'the kind "{self.kind}"; those of {", ".join(PLURALS)} are known'
            )
        return self


def _spelled_out(given: object) -> object:
    """`[namespace/]kind/name` as the mapping that is meant."""
    if not isinstance(given, str):
        return given
    match given.split("/"):
        case [kind, name]:
            return {"kind": kind, "name": name}
        case [namespace, kind, name]:
            return {"namespace": namespace, "kind": kind, "name": name}
    raise ValueError(f'"{given}" is not allowed (deployment/NAME or NAMESPACE/deployment/NAME)')


class KedaConfig(Strict):
    """The scaler that KEDA asks, and what it is told."""

    lease: Name = "wedtwin"
    """The Lease in which the engine says that it is there; one for each engine of a namespace."""
    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8701"
    """Where the scaler takes calls."""
    address: Annotated[str, AfterValidator(_address)] | None = None
    """What KEDA asks, such as scaler.wedtwin.svc:8701; null: `listen`."""
    tls: TlsConfig | None = None
    """The scaler's certificate; with `clients`, KEDA shows one of its own."""
    authentication: Name | None = None
    """The TriggerAuthentication with the authority and KEDA's certificate; null: none."""
    silent_s: Annotated[float, Field(ge=5.0, le=86_400.0)] = 60.0
    """After so long without a word of the engine the scaler refuses to say how many."""
    fallback: Mapping[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """By service, at least so many while the scaler refuses; others keep what they have."""

    @property
    def asked_at(self) -> str:
        """What KEDA asks."""
        return self.address or self.listen


class KubernetesConfig(Strict):
    """How the cluster is reached, and what is what in it."""

    kubeconfig: Annotated[Path | None, AfterValidator(lambda p: p and p.expanduser())] = None
    """Null: in a pod its own account, and elsewhere what $KUBECONFIG or ~/.kube/config says."""
    context: str | None = None
    """Of the kubeconfig; null: its current one."""
    namespace: Name | None = None
    """Null: that of the context or of the pod."""
    workloads: Mapping[str, Annotated[WorkloadConfig, BeforeValidator(_spelled_out)]] = Field(
        default_factory=dict
    )
    """By service; one that is not here is the deployment of its name."""
    mode: Mode = Mode.SCALE
    keda: KedaConfig = KedaConfig()
    """With `mode: keda`."""
    scales_to_zero: bool = False
    """Whether requests wait, and are counted, while no pod is there: then a service may have 0."""
    zones: bool = True
    """Whether the nodes are watched, to know in which zone each pod is."""
    events: bool = True
    """Whether what is done or recommended is told by an event of the workload."""
    timeout_s: Annotated[float, Field(gt=0.0, le=30.0)] = 2.0
    """For one request."""
    stale_s: Annotated[float, Field(ge=1.0, le=600.0)] = 15.0
    """Counts that nothing has confirmed for so long are counted anew."""
    watch_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 60.0
    """A watch is renewed after so long, and given up when it says nothing for 5 s more."""
    owners_s: Annotated[float, Field(ge=1.0, le=3600.0)] = 30.0
    """How often it is looked who else scales the workloads, besides before each command."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> KubernetesConfig:
        """The options, checked; raises ConfigError naming the key."""
        from engine.config.strict import validated

        return validated(cls, options, "infrastructure.options")
