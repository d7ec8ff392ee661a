"""Auto Scaling groups of EC2: instances by what they do, warm pools, activities."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from engine.adapters.aws import writers
from engine.adapters.aws.client import AwsClients, AwsError
from engine.adapters.aws.tags import read
from engine.adapters.aws.target import AwsEvent, AwsTarget, OtherHands, SeenTarget

SERVICE = "autoscaling"
A_PAGE = 50
EVENTS = 20

_CAUSE = re.compile(r"At \S+ (.*? changing the desired capacity from \d+ to (\d+))", re.S)


class AutoScalingGroups:
    """`engine.adapters.aws.target.AwsTargets` for groups."""

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients

    async def look(self, targets: Mapping[str, AwsTarget]) -> dict[str, SeenTarget]:
        """Those that are there; a group that is being deleted is not."""
        names = sorted({target.name for target in targets.values()})
        pages = [names[at : at + A_PAGE] for at in range(0, len(names), A_PAGE)]
        asked_s = time.monotonic()
        groups = {
            str(group["AutoScalingGroupName"]): group
            for part in await asyncio.gather(*map(self._described, pages))
            for group in part
            if not group.get("Status")  # "Delete in progress" is the only one that there is
        }
        pooled = [name for name, group in groups.items() if group.get("WarmPoolConfiguration")]
        warm = dict(zip(pooled, await asyncio.gather(*map(self._warm, pooled)), strict=True))
        return {
            key: _seen(groups[target.name], warm.get(target.name, 0), asked_s)
            for key, target in targets.items()
            if target.name in groups
        }

    async def hands(self, target: AwsTarget) -> OtherHands:
        """Policies, scheduled actions, and an instance refresh."""
        of = {"AutoScalingGroupName": target.name}
        policies, scheduled, refreshes = await asyncio.gather(
            self._clients.listed(
                SERVICE, "describe_policies", of, "ScalingPolicies", token="NextToken"
            ),
            self._clients.listed(
                SERVICE, "describe_scheduled_actions", of, "ScheduledUpdateGroupActions",
                token="NextToken",
            ),
            self._clients.ask(SERVICE, "describe_instance_refreshes", {**of, "MaxRecords": 5}),
        )  # fmt: skip
        return OtherHands(
            writers.refusal(target.title, writers.of_group(policies, scheduled)),
            writers.refreshing(refreshes.get("InstanceRefreshes") or ()),
        )

    async def events(self, target: AwsTarget) -> list[AwsEvent]:
        """Scaling activities."""
        asked = {"AutoScalingGroupName": target.name, "MaxRecords": EVENTS}
        answer = await self._clients.ask(SERVICE, "describe_scaling_activities", asked)
        return [_event(one) for one in answer.get("Activities") or ()]

    async def set(self, target: AwsTarget, count: int) -> None:
        """Without the group's cooldown: the engine has its own rests."""
        asked = {"AutoScalingGroupName": target.name, "DesiredCapacity": count,
                 "HonorCooldown": False}  # fmt: skip
        await self._clients.ask(SERVICE, "set_desired_capacity", asked, writes=True)

    async def tag(self, target: AwsTarget, tags: Mapping[str, str]) -> None:
        """On the group alone, not on its instances."""
        written = [
            {"ResourceId": target.name, "ResourceType": "auto-scaling-group", "Key": key,
             "Value": value, "PropagateAtLaunch": False}
            for key, value in tags.items()
        ]  # fmt: skip
        await self._clients.ask(SERVICE, "create_or_update_tags", {"Tags": written}, writes=True)

    async def names(self, target: AwsTarget) -> list[str]:  # noqa: ARG002 (the protocol's)
        """The first of all groups."""
        answer = await self._clients.ask(SERVICE, "describe_auto_scaling_groups", {})
        return [str(group["AutoScalingGroupName"]) for group in answer["AutoScalingGroups"]][:20]

    async def _described(self, names: list[str]) -> list[dict[str, Any]]:
        return await self._clients.listed(
            SERVICE, "describe_auto_scaling_groups",
            {"AutoScalingGroupNames": names, "MaxRecords": A_PAGE}, "AutoScalingGroups",
            token="NextToken",
        )  # fmt: skip

    async def _warm(self, name: str) -> int:
        """How many stand ready in the group's warm pool."""
        try:
            pool = await self._clients.listed(
                SERVICE, "describe_warm_pool", {"AutoScalingGroupName": name}, "Instances",
                token="NextToken",
            )  # fmt: skip
        except AwsError as error:
            if error.may_pass:
                return 0  # it is only shown
            raise
        return sum(
            one.get("LifecycleState") in ("Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated")
            for one in pool
        )


def _seen(group: Mapping[str, Any], warm: int, asked_s: float) -> SeenTarget:
    states: Counter[str] = Counter()
    zones: Counter[str] = Counter()
    for instance in group.get("Instances") or ():
        state = state_of(instance)
        states[state] += 1
        if state == "ready":
            zones[str(instance.get("AvailabilityZone", ""))] += 1
    weighted = any(one.get("WeightedCapacity") for one in group.get("Instances") or ())
    unit = str(group.get("DesiredCapacityType") or "units")
    refusal = ""
    if weighted or unit != "units":
        refusal = (
            f"its capacity is counted in {'weights' if weighted else unit} and not in instances"
        )
    return SeenTarget(
        desired=int(group["DesiredCapacity"]),
        ready=states["ready"],
        booting=states["booting"],
        draining=states["draining"] + states["set aside"],
        record=read({t["Key"]: t.get("Value", "") for t in group.get("Tags") or ()}),
        least=int(group["MinSize"]),
        most=int(group["MaxSize"]),
        seen_s=asked_s,
        warm=warm,
        ill=states["ill"],
        set_aside=states["set aside"],
        zones=dict(zones),
        spans=len(group.get("AvailabilityZones") or ()),
        words=writers.suspended(group.get("SuspendedProcesses") or ()),
        refusal=refusal,
    )


def state_of(instance: Mapping[str, Any]) -> str:
    """ready, booting, draining, set aside, ill, or warm."""
    lifecycle = str(instance.get("LifecycleState", ""))
    if lifecycle.startswith("Warmed:"):
        return "warm"
    if lifecycle.startswith("Pending"):
        return "booting"
    if lifecycle in ("Standby", "EnteringStandby"):
        return "set aside"
    if lifecycle == "InService":
        return "ready" if instance.get("HealthStatus", "Healthy") == "Healthy" else "ill"
    return "draining"


def _event(activity: Mapping[str, Any]) -> AwsEvent:
    message = str(activity.get("StatusMessage") or activity.get("Description") or "")
    cause = _CAUSE.search(str(activity.get("Cause", "")))
    return AwsEvent(
        time_s=activity["StartTime"].timestamp(),
        mark=str(activity["ActivityId"]),
        failed=activity.get("StatusCode") == "Failed",
        words=" ".join(message.split())[:300],
        by=cause[1] if cause else "",
    )
