"""What a pod counts as."""

from __future__ import annotations

from typing import Any

import pytest

from engine.adapters.kubernetes.pods import (
    PodState,
    Selector,
    counted,
    seen,
    selector,
    selector_of_text,
    zone,
)

LATER, BEFORE = "2027-06-05T18:00:09Z", "2027-06-05T18:00:00Z"


def pod(
    *conditions: dict[str, str], phase: str = "Running", started: str = "", waits: str = "",
    **meta: Any,
) -> dict[str, Any]:  # fmt: skip
    state: dict[str, Any] = {}
    if started:
        state = {"running": {"startedAt": started}}
    if waits:
        state = {"waiting": {"reason": waits, "message": "once more"}}
    return {
        "metadata": {"uid": "1", "labels": {"app": "api"}, **meta},
        "spec": {"nodeName": "n1"},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": [{"name": "app", "state": state}] if state else [],
        },
    }


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


READY = condition("Ready", "True")
FULL = condition("PodScheduled", "False", reason="Unschedulable", message="0/3 nodes: no place")


@pytest.mark.parametrize(
    ("body", "state", "words"),
    [
        (pod(READY), PodState.READY, ""),
        (pod(READY, deletionTimestamp=LATER), PodState.TERMINATING, ""),
        (pod(phase="Pending"), PodState.BOOTING, ""),
        (pod(condition("Ready", "False", lastTransitionTime=BEFORE), started=LATER),
         PodState.BOOTING, ""),
        (pod(condition("Ready", "False", lastTransitionTime=LATER, message="no"), started=BEFORE),
         PodState.UNREADY, "no"),
        (pod(FULL, phase="Pending"), PodState.UNSCHEDULABLE, "0/3 nodes: no place"),
        (pod(condition("PodScheduled", "False", reason="SchedulingGated"), phase="Pending"),
         PodState.BOOTING, ""),
        (pod(waits="CrashLoopBackOff"), PodState.CRASHING, "CrashLoopBackOff: once more"),
        (pod(waits="ImagePullBackOff", phase="Pending"), PodState.CRASHING,
         "ImagePullBackOff: once more"),
        (pod(waits="ContainerCreating", phase="Pending"), PodState.BOOTING, ""),
    ],
)  # fmt: skip
def test_a_pod_is_in_one_state(body: dict[str, Any], state: PodState, words: str) -> None:
    one = seen(body)
    assert one is not None
    assert (one.state, one.words) == (state, words)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_counts_as_nothing(phase: str) -> None:
    assert seen(pod(READY, phase=phase)) is None


def test_an_object_that_lacks_everything_boots() -> None:
    one = seen({})
    assert one is not None
    assert one.state is PodState.BOOTING


def test_ready_pods_are_counted_by_the_zone_of_their_node() -> None:
    pods = [seen(pod(READY)), seen(pod(READY)), seen(pod(FULL, phase="Pending"))]
    there = counted([one for one in pods if one is not None], {"n1": "a"})
    assert there.zones == {"a": 2}
    assert there[PodState.UNSCHEDULABLE] == 1
    assert there[PodState.BOOTING] == 0


@pytest.mark.parametrize(
    ("labels", "there"),
    [
        ({"topology.kubernetes.io/zone": "a"}, "a"),
        ({"failure-domain.beta.kubernetes.io/zone": "b"}, "b"),
        ({}, ""),
        (None, ""),
    ],
)
def test_a_zone_is_that_of_the_nodes_labels(labels: dict[str, str] | None, there: str) -> None:
    assert zone({"metadata": {"labels": labels}}) == there


EXPRESSIONS = [
    {"key": "tier", "operator": "In", "values": ["a", "b"]},
    {"key": "canary", "operator": "DoesNotExist"},
    {"key": "app", "operator": "Exists"},
    {"key": "track", "operator": "NotIn", "values": ["old"]},
]


@pytest.mark.parametrize(
    "chosen",
    [
        selector({"matchLabels": {"app": "api"}, "matchExpressions": EXPRESSIONS}),
        selector_of_text("app=api,tier in (a,b),!canary,app,track notin (old)"),
        selector_of_text("app==api, tier in (b, a), !canary, track!=old"),
    ],
)
@pytest.mark.parametrize(
    ("labels", "taken"),
    [
        ({"app": "api", "tier": "a"}, True),
        ({"app": "api", "tier": "c"}, False),
        ({"app": "api"}, False),
        ({"app": "web", "tier": "a"}, False),
        ({"app": "api", "tier": "b", "canary": "1"}, False),
        ({"app": "api", "tier": "b", "track": "old"}, False),
        ({"app": "api", "tier": "b", "track": "new"}, True),
    ],
)
def test_a_selector_takes_what_kubernetes_takes(
    chosen: Selector, labels: dict[str, str], taken: bool
) -> None:
    assert chosen.takes(labels) is taken
