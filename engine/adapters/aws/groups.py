"""Auto Scaling groups of EC2: instances by what they do, warm pools, activities.

A warm pool has an absolute size only where its least size and the group's prepared capacity are the
same number; any other size moves with the group's desired capacity (AWS, API reference,
`PutWarmPool`).  So a size is set as both, and what somebody set otherwise is read as what it comes
to now.  A pool is never deleted: at 0 it stays, with the state and the reuse that it was given.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from engine.adapters.aws import writers
from engine.adapters.aws.client import AwsClients, AwsError
from engine.adapters.aws.tags import WARM, read
from engine.adapters.aws.target import AwsEvent, AwsTarget, OtherHands, SeenPool, SeenTarget
from engine.model import Quantity

SERVICE = "autoscaling"
A_PAGE = 50
EVENTS = 20

WARMED = ("Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated")
"""States of what a warm pool has ready."""
INTO_THE_POOL = "into warm pool"
"""Part of the description of an activity that fills a warm pool up."""
KEPT = ("PoolState", "InstanceReusePolicy")
"""Parts of a warm pool that are somebody's choice, which AWS may reset where they are left out."""

_CAUSE = re.compile(r"At \S+ (.*? changing the desired capacity from \d+ to (\d+))", re.S)


class AutoScalingGroups:
    """`engine.adapters.aws.target.AwsTargets` for groups; `holding` names those that hold warm."""

    def __init__(self, clients: AwsClients, holding: Collection[str] = ()) -> None:
        self._clients = clients
        self._holding = frozenset(holding)
        self._pools: dict[str, Mapping[str, Any]] = {}

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
        self._pools |= {name: groups[name].get("WarmPoolConfiguration") or {} for name in groups}
        seen = {}
        for key, target in targets.items():
            if (group := groups.get(target.name)) is not None:
                pool = _pool(group) if target.name in self._holding else None
                seen[key] = _seen(group, warm.get(target.name, 0), pool, asked_s)
        return seen

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

    async def hold(self, target: AwsTarget, count: int) -> None:
        """As an absolute size, and the rest of the pool as the last look had it."""
        pool = self._pools.get(target.name, {})
        asked = {"AutoScalingGroupName": target.name, "MinSize": count,
                 "MaxGroupPreparedCapacity": count,
                 **{part: pool[part] for part in KEPT if pool.get(part)}}  # fmt: skip
        await self._clients.ask(SERVICE, "put_warm_pool", asked, writes=True)

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
            if error.may_pass and name not in self._holding:
                return 0  # it is only shown
            raise
        return sum(one.get("LifecycleState") in WARMED for one in pool)


def _pool(group: Mapping[str, Any]) -> SeenPool:
    """The group's warm pool, as what it is to hold by the rules of `PutWarmPool`."""
    record = read(_tags(group), WARM)
    pool = group.get("WarmPoolConfiguration")
    refusal = _no_pool(group.get("MixedInstancesPolicy") or {})
    if not pool:
        return SeenPool(0, record, refusal=refusal)
    if pool.get("Status"):  # "PendingDelete" is the only one that there is
        return SeenPool(0, record, ("its warm pool is being deleted",), refusal)
    least, prepared = int(pool.get("MinSize") or 0), pool.get("MaxGroupPreparedCapacity")
    if prepared is None or prepared < 0:
        prepared = int(group["MaxSize"])
    elif prepared == least:
        return SeenPool(least, record, refusal=refusal)
    return SeenPool(max(least, prepared - int(group["DesiredCapacity"])), record, refusal=refusal)


def _no_pool(mixed: Mapping[str, Any]) -> str:
    """Why AWS would let a group of this mixed instances policy have no warm pool, "" if it would.

    AWS, EC2 Auto Scaling user guide, "Limitations" of warm pools.
    """
    share = (mixed.get("InstancesDistribution") or {}).get("OnDemandPercentageAboveBaseCapacity")
    if share is not None and share < 100:
        return f"it can have no warm pool, as {100 - share} % beyond its base are Spot Instances"
    overrides = (mixed.get("LaunchTemplate") or {}).get("Overrides") or ()
    if any(one.get("WeightedCapacity") for one in overrides):
        return "it can have no warm pool, as its instances have weights"
    return ""


def _tags(group: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag.get("Value", "") for tag in group.get("Tags") or ()}


def _seen(group: Mapping[str, Any], warm: int, pool: SeenPool | None, asked_s: float) -> SeenTarget:
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
        record=read(_tags(group)),
        least=int(group["MinSize"]),
        most=int(group["MaxSize"]),
        seen_s=asked_s,
        warm=warm,
        pool=pool,
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
    fills = INTO_THE_POOL in str(activity.get("Description", ""))
    return AwsEvent(
        time_s=activity["StartTime"].timestamp(),
        mark=str(activity["ActivityId"]),
        failed=activity.get("StatusCode") == "Failed",
        words=" ".join(message.split())[:300],
        by=cause[1] if cause else "",
        of=Quantity.WARM if fills else Quantity.INSTANCES,
    )
