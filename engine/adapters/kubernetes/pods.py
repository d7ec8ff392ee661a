"""What a pod counts as, seen from outside: each is in one state, and only those that last count."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

FAILING = (
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
)  # fmt: skip
"""Why a container waits that will not run by waiting alone."""


class PodState(StrEnum):
    """Where a pod is in its life."""

    READY = "ready"
    BOOTING = "booting"
    UNREADY = "unready"
    """It was ready, and is not any more: requests are kept from it."""
    UNSCHEDULABLE = "unschedulable"
    """No node takes it: it will not boot before there is place."""
    CRASHING = "crash-looping"
    """Its containers do not stay up, or cannot be started at all."""
    TERMINATING = "terminating"


@dataclass(frozen=True, slots=True)
class SeenPod:
    """One pod: what matters of it. `words` say why, where its state is trouble."""

    state: PodState
    labels: Mapping[str, str]
    node: str = ""
    words: str = ""


def seen(pod: Mapping[str, Any]) -> SeenPod | None:
    """What a pod counts as; None for one that has ended and only its object is left."""
    meta, status = pod.get("metadata") or {}, pod.get("status") or {}
    state, words = _state(meta, status)
    if state is None:
        return None
    spec = pod.get("spec") or {}
    return SeenPod(state, dict(meta.get("labels") or {}), str(spec.get("nodeName") or ""), words)


def _state(meta: Mapping[str, Any], status: Mapping[str, Any]) -> tuple[PodState | None, str]:
    if status.get("phase") in ("Succeeded", "Failed"):
        return None, ""
    if meta.get("deletionTimestamp"):
        return PodState.TERMINATING, ""
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if ready.get("status") == "True":
        return PodState.READY, ""
    placed = conditions.get("PodScheduled") or {}
    if placed.get("status") == "False" and placed.get("reason") == "Unschedulable":
        return PodState.UNSCHEDULABLE, str(placed.get("message") or "no node takes it")
    containers = [
        *(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())
    ]  # fmt: skip
    for container in containers:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in FAILING:
            said = f": {waiting['message']}" if waiting.get("message") else ""
            return PodState.CRASHING, f"{waiting['reason']}{said}"
    if _was_ready(ready, status.get("containerStatuses") or ()):
        return PodState.UNREADY, str(ready.get("message") or ready.get("reason") or "")
    return PodState.BOOTING, ""


def _was_ready(ready: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the condition changed after all containers had started: then it was true before."""
    changed = _time(ready.get("lastTransitionTime"))
    started = [
        _time(((c.get("state") or {}).get("running") or {}).get("startedAt")) for c in containers
    ]
    if changed is None or not started:
        return False
    times = [time for time in started if time is not None]
    return len(times) == len(started) and changed > max(times) + dt.timedelta(seconds=1)


def _time(text: object) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(str(text))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class PodCounts:
    """The pods of one service by state, and the ready ones by zone ("": not known)."""

    states: Mapping[PodState, int]
    zones: Mapping[str, int]
    words: Mapping[PodState, str]
    """Of each state that is trouble, what one of its pods says."""

    def __getitem__(self, state: PodState) -> int:
        return self.states.get(state, 0)


def counted(pods: Iterable[SeenPod], zones: Mapping[str, str]) -> PodCounts:
    """All pods of one service; `zones` are the nodes' by name."""
    pods = list(pods)
    ready = (p for p in pods if p.state is PodState.READY)
    words: dict[PodState, str] = {}
    for pod in pods:
        if pod.words:
            words.setdefault(pod.state, pod.words)
    return PodCounts(
        Counter(p.state for p in pods), Counter(zones.get(p.node, "") for p in ready), words
    )


ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


def zone(node: Mapping[str, Any]) -> str:
    """In which zone a node is, "" if its labels do not say."""
    labels = (node.get("metadata") or {}).get("labels") or {}
    return next((str(labels[name]) for name in ZONE_LABELS if labels.get(name)), "")


@dataclass(frozen=True, slots=True)
class Selector:
    """Which pods are a workload's."""

    equal: Mapping[str, str]
    expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Key, operator and values of what `equal` cannot say."""

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether a pod with these labels is one of them."""
        return all(labels.get(k) == v for k, v in self.equal.items()) and all(
            _holds(labels, *expression) for expression in self.expressions
        )


def _holds(labels: Mapping[str, str], key: str, operator: str, values: tuple[str, ...]) -> bool:
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def selector(raw: Mapping[str, Any]) -> Selector:
    """That of an object's `spec.selector`."""
    return Selector(
        {str(k): str(v) for k, v in (raw.get("matchLabels") or {}).items()},
        tuple(
            (str(e.get("key")), str(e.get("operator")), tuple(map(str, e.get("values") or ())))
            for e in raw.get("matchExpressions") or ()
        ),
    )


def selector_of_text(text: str) -> Selector:
    """That of a scale's `status.selector`, such as `app=api,tier in (a,b)`."""
    equal: dict[str, str] = {}
    expressions = []
    for part in re.split(r",(?![^(]*\))", text):
        part = part.strip()
        among = re.fullmatch(r"(\S+)\s+(in|notin)\s+\((.*)\)", part)
        if among:
            key, word, values = among.groups()
            operator = "In" if word == "in" else "NotIn"
            expressions.append((key, operator, tuple(v.strip() for v in values.split(","))))
        elif "!=" in part:
            key, _, value = part.partition("!=")
            expressions.append((key.strip(), "NotIn", (value.strip(),)))
        elif "=" in part:
            key, _, value = part.partition("=")
            equal[key.strip()] = value.lstrip("=").strip()
        elif part:
            name = part.lstrip("!")
            expressions.append((name, "DoesNotExist" if part.startswith("!") else "Exists", ()))
    return Selector(equal, tuple(expressions))
