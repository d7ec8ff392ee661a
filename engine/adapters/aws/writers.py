"""Who else sets a count, and what somebody has suspended: AWS says so itself.

Two writers of one number pull it to and fro.  So a group or service that a scaling policy or a
scheduled action moves is not scaled by the engine, and the policy is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ACTING = ("TargetTrackingScaling", "StepScaling", "SimpleScaling", "PredictiveScaling")
RUNNING = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")
"""States of an instance refresh that has not ended."""

LOSING = ("Launch", "Terminate")
"""Processes without which a group does not come to the count that is asked for."""


def of_group(
    policies: Iterable[Mapping[str, Any]], scheduled: Iterable[Mapping[str, Any]]
) -> list[str]:
    """What moves the count of an Auto Scaling group."""
    movers = []
    for policy in policies:
        forecasts_only = (policy.get("PredictiveScalingConfiguration") or {}).get(
            "Mode", "ForecastOnly"
        ) == "ForecastOnly"
        kind = str(policy.get("PolicyType") or "SimpleScaling")
        if not policy.get("Enabled", True) or (kind == "PredictiveScaling" and forecasts_only):
            continue
        movers.append(f"the {kind} policy {policy.get('PolicyName')}")
    movers += [
        f"the scheduled action {action.get('ScheduledActionName')}"
        for action in scheduled
        if action.get("DesiredCapacity") is not None
    ]
    return movers


def of_ecs(
    scalable: Mapping[str, Any] | None,
    policies: Iterable[Mapping[str, Any]],
    scheduled: Iterable[Mapping[str, Any]],
) -> list[str]:
    """What moves the count of an ECS service, by Application Auto Scaling."""
    if scalable is None:
        return []
    suspended = scalable.get("SuspendedState") or {}
    movers = []
    if not (
        suspended.get("DynamicScalingInSuspended") and suspended.get("DynamicScalingOutSuspended")
    ):
        movers += [f"the {p.get('PolicyType')} policy {p.get('PolicyName')}" for p in policies]
    if not suspended.get("ScheduledScalingSuspended"):
        movers += [f"the scheduled action {a.get('ScheduledActionName')}" for a in scheduled]
    return movers


def refusal(title: str, movers: Iterable[str]) -> str:
    """Why the engine must not set this count, "" if it may."""
    names = " and ".join(movers)
    if not names:
        return ""
    return (
        f"{title} is scaled by {names}; two writers of one count pull it to and fro: "
        "delete, disable or suspend that, or leave this service to it"
    )


def suspended(processes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Which processes of a group somebody has suspended, and what that means."""
    names = sorted(str(process.get("ProcessName")) for process in processes)
    if not names:
        return ()
    stops = [name for name in LOSING if name in names]
    meaning = {
        (): "", ("Launch",): ": nothing boots", ("Terminate",): ": nothing leaves",
        LOSING: ": nothing boots and nothing leaves",
    }[tuple(stops)]  # fmt: skip
    return (f"suspended is {', '.join(names)}{meaning}",)


def refreshing(refreshes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The instance refresh that replaces the instances of a group now, if one does."""
    return tuple(
        f"instance refresh {one.get('InstanceRefreshId')} is {one.get('Status')}"
        f" ({one.get('PercentageComplete') or 0} %)"
        for one in refreshes
        if one.get("Status") in RUNNING
    )
