"""Services of ECS: tasks are instances; who else scales them, Application Auto Scaling knows."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.adapters.aws import writers
from engine.adapters.aws.client import AwsClients, AwsError, Obstacle
from engine.adapters.aws.settings import AwsConfig
from engine.adapters.aws.tags import read
from engine.adapters.aws.target import AwsEvent, AwsTarget, OtherHands, SeenTarget

SERVICE, SCALING = "ecs", "application-autoscaling"
A_PAGE, A_PAGE_OF_TASKS = 10, 100
MOST = 5000
"""Tasks that a service may have at all."""
DIMENSION = "ecs:service:DesiredCount"
EVENTS = 20
NOTHING_WARM = "has no tasks that are held warm"

FAILURES = (
    "unable to place", "unable to consistently start", "failed to launch", "unable to assume",
    "failed to register targets", "deployment failed",
)  # fmt: skip
"""What the message of an event says when tasks do not come."""


@dataclass(frozen=True, slots=True)
class _Tasks:
    ill: int = 0
    draining: int = 0
    zones: Mapping[str, int] = field(default_factory=dict)


class EcsServices:
    """`engine.adapters.aws.target.AwsTargets` for services of ECS."""

    def __init__(self, clients: AwsClients, config: AwsConfig) -> None:
        self._clients = clients
        self._config = config
        self._bodies: dict[AwsTarget, Mapping[str, Any]] = {}

    async def look(self, targets: Mapping[str, AwsTarget]) -> dict[str, SeenTarget]:
        """Those that are there; a service that is being deleted is not."""
        by_cluster: dict[str, list[str]] = defaultdict(list)
        for target in dict.fromkeys(targets.values()):
            by_cluster[target.cluster].append(target.name)
        pages = [
            (cluster, names[at : at + A_PAGE])
            for cluster, names in by_cluster.items()
            for at in range(0, len(names), A_PAGE)
        ]
        asked_s = time.monotonic()
        bodies: dict[tuple[str, str], Mapping[str, Any]] = {}
        for (cluster, _), part in zip(
            pages, await asyncio.gather(*(self._described(*page) for page in pages)), strict=True
        ):
            bodies |= {(cluster, str(one["serviceName"])): one for one in part}
        there = {k: t for k, t in targets.items() if (t.cluster, t.name) in bodies}
        tasks = await asyncio.gather(*map(self._tasks, there.values()))
        seen = {}
        for (key, target), of_it in zip(there.items(), tasks, strict=True):
            body = self._bodies[target] = bodies[target.cluster, target.name]
            seen[key] = _seen(body, of_it, asked_s)
        return seen

    async def hands(self, target: AwsTarget) -> OtherHands:
        """What Application Auto Scaling does with it."""
        of = {"ServiceNamespace": "ecs", "ScalableDimension": DIMENSION}
        path = f"service/{target.cluster}/{target.name}"
        scalable = await self._clients.listed(
            SCALING, "describe_scalable_targets", {**of, "ResourceIds": [path]},
            "ScalableTargets", token="NextToken",
        )  # fmt: skip
        if not scalable:
            return OtherHands()
        policies, scheduled = await asyncio.gather(
            self._clients.listed(
                SCALING, "describe_scaling_policies", {**of, "ResourceId": path},
                "ScalingPolicies", token="NextToken",
            ),
            self._clients.listed(
                SCALING, "describe_scheduled_actions", {**of, "ResourceId": path},
                "ScheduledActions", token="NextToken",
            ),
        )  # fmt: skip
        return OtherHands(
            writers.refusal(target.title, writers.of_ecs(scalable[0], policies, scheduled)),
            least=scalable[0].get("MinCapacity"),
            most=scalable[0].get("MaxCapacity"),
        )

    async def events(self, target: AwsTarget) -> list[AwsEvent]:
        """What the service says of itself, as the last look had it."""
        events = self._bodies.get(target, {}).get("events") or ()
        return [_event(one) for one in events[:EVENTS]]

    async def set(self, target: AwsTarget, count: int) -> None:
        """Nothing but the count: no deployment begins."""
        asked = {"cluster": target.cluster, "service": target.name, "desiredCount": count}
        await self._clients.ask(SERVICE, "update_service", asked, writes=True)

    async def hold(self, target: AwsTarget, count: int) -> None:  # noqa: ARG002 (the protocol's)
        """Refused: ECS starts each task anew."""
        raise AwsError(f"{target.title} {NOTHING_WARM}", Obstacle.REFUSED)

    async def tag(self, target: AwsTarget, tags: Mapping[str, str]) -> None:
        """On the service alone, not on its tasks."""
        arn = self._bodies.get(target, {}).get("serviceArn", "")
        written = [{"key": key, "value": value} for key, value in tags.items()]
        await self._clients.ask(
            SERVICE, "tag_resource", {"resourceArn": arn, "tags": written}, writes=True
        )

    async def names(self, target: AwsTarget) -> list[str]:
        """The first of the cluster's services."""
        answer = await self._clients.ask(
            SERVICE, "list_services", {"cluster": target.cluster, "maxResults": 20}
        )
        return [str(arn).rsplit("/", 1)[-1] for arn in answer.get("serviceArns") or ()]

    async def _described(self, cluster: str, names: list[str]) -> list[dict[str, Any]]:
        asked = {"cluster": cluster, "services": names, "include": ["TAGS"]}
        try:
            answer = await self._clients.ask(SERVICE, "describe_services", asked)
        except AwsError as error:
            if error.code == "ClusterNotFoundException":
                return []
            raise
        return [one for one in answer.get("services") or () if one.get("status") == "ACTIVE"]

    async def _tasks(self, target: AwsTarget) -> _Tasks:
        """Which are ill or leave, and in which zones those are that serve."""
        if not self._config.zones:
            return _Tasks()
        of = {"cluster": target.cluster, "serviceName": target.name}
        # Those that are to stop are listed apart, for an hour after their end as well.
        arns = [
            str(arn)
            for part in await asyncio.gather(
                *(
                    self._clients.listed(
                        SERVICE, "list_tasks", {**of, "desiredStatus": status}, "taskArns",
                        token="nextToken",
                    )
                    for status in ("RUNNING", "STOPPED")
                )
            )
            for arn in part
        ]  # fmt: skip
        asked = [arns[at : at + A_PAGE_OF_TASKS] for at in range(0, len(arns), A_PAGE_OF_TASKS)]
        answers = await asyncio.gather(
            *(
                self._clients.ask(
                    SERVICE, "describe_tasks", {"cluster": target.cluster, "tasks": part}
                )
                for part in asked
            )
        )
        ill = draining = 0
        zones: Counter[str] = Counter()
        for task in (one for answer in answers for one in answer.get("tasks") or ()):
            last = task.get("lastStatus")
            if task.get("desiredStatus") == "STOPPED":
                draining += last != "STOPPED"
            elif last == "RUNNING":
                if task.get("healthStatus") == "UNHEALTHY":
                    ill += 1
                else:
                    zones[str(task.get("availabilityZone", ""))] += 1
        return _Tasks(ill, draining, dict(zones))


def _seen(body: Mapping[str, Any], tasks: _Tasks, asked_s: float) -> SeenTarget:
    refusal = ""
    controller = (body.get("deploymentController") or {}).get("type", "ECS")
    if body.get("schedulingStrategy") == "DAEMON":
        refusal = "it is a daemon, which has one task on each instance and no count"
    elif controller == "EXTERNAL":
        refusal = "its deployments are somebody else's (EXTERNAL), who sets the scale of task sets"
    return SeenTarget(
        desired=int(body["desiredCount"]),
        ready=max(0, int(body["runningCount"]) - tasks.ill),
        booting=int(body["pendingCount"]),
        draining=tasks.draining,
        record=read({tag["key"]: tag.get("value", "") for tag in body.get("tags") or ()}),
        least=0,
        most=MOST,
        seen_s=asked_s,
        ill=tasks.ill,
        zones=tasks.zones,
        spans=1,
        words=_deploying(body.get("deployments") or ()),
        refusal=refusal,
    )


def _deploying(deployments: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A deployment that is under way or has failed; a service that only grows has one, too."""
    words = [
        f"deployment {one.get('id')} has failed: {one.get('rolloutStateReason') or ''}"[:200]
        for one in deployments
        if one.get("rolloutState") == "FAILED"
    ]
    if len(deployments) > 1:
        words.append(f"{len(deployments)} deployments are under way: tasks are being replaced")
    return tuple(words)


def _event(event: Mapping[str, Any]) -> AwsEvent:
    message = " ".join(str(event.get("message", "")).split())
    return AwsEvent(
        time_s=event["createdAt"].timestamp(),
        mark=str(event.get("id", "")),
        failed=any(words in message for words in FAILURES),
        words=message[:300],
    )
