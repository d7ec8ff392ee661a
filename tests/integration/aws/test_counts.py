"""What is seen of groups and services: counts, what comes of a decision, who else is at work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.adapters.aws.tags import DECISIONS, FENCE, SET
from engine.model import Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import Fence
from tests.aws_world import AwsWorld
from tests.integration.aws.conftest import Connect, all_ready, seen

BOTH = pytest.mark.parametrize("kind", ["group", "service"])


def made(world: AwsWorld, kind: str, count: int, **more: Any) -> tuple[str, dict[str, str]]:
    """A target of the kind with so many ready: its name in the world, and the workloads."""
    if kind == "group":
        world.group("api", count, **more)
        return "api", {}
    world.service("shop", "api", count)
    return "shop/api", {"api": "ecs/shop/api"}


@BOTH
def test_instances_boot_serve_and_drain_and_each_decision_has_its_result(
    world: AwsWorld, connect: Connect, kind: str
) -> None:
    async def story() -> None:
        adapter = connect("api", workloads=workloads)
        await seen(adapter, all_ready("api", 2))
        world.boot_s = world.drain_s = 3600.0
        (result,) = await adapter.apply([action("api", 2, 5, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED
        sighting = await adapter.observe()
        assert sighting.services["api"] == Counts(5, 2, 3, 0)
        assert sighting.results == ()
        await adapter.apply([action("api", 5, 1, "d2")], Fence(1))
        # What still boots goes first.
        assert (await adapter.observe()).services["api"].ready == 1
        assert (await adapter.observe()).services["api"].draining >= 1
        world.boot_s = world.drain_s = 0.0
        sighting = await seen(adapter, lambda s: s.results)
        assert sighting.services["api"] == Counts(1, 1, 0, 0)
        # The first was overtaken before it came about, so nobody says that it was completed.
        assert [(r.decision_id, r.status) for r in sighting.results] == [("d2", Status.COMPLETED)]
        assert sum(adapter.seen["api"].zones.values()) == 1
        assert world.tags(name)[SET] == "1"
        assert world.tags(name)[FENCE] == "1"
        assert len(world.tags(name)[DECISIONS].split()) == 2
        await adapter.close()

    name, workloads = made(world, kind, 2)
    asyncio.run(story())


@BOTH
def test_a_lack_of_capacity_is_the_result_and_a_trouble_until_there_is_some(
    world: AwsWorld, connect: Connect, kind: str
) -> None:
    async def story() -> None:
        adapter = connect("api", workloads=workloads)
        world.room = 3
        await adapter.apply([action("api", 2, 6, "d1")], Fence(1))
        sighting = await seen(adapter, lambda s: s.services["api"].ready == 3 and s.notices)
        failed = [r for r in sighting.results if r.status is Status.FAILED]
        while not failed:
            failed = [r for r in (await adapter.observe()).results if r.status is Status.FAILED]
        assert [r.decision_id for r in failed] == ["d1"]
        assert words in failed[0].detail
        (notice,) = (await adapter.observe()).notices
        assert notice.startswith("api: 3 of 6 are not there: ")
        assert words in notice
        world.room = None
        (again,) = await adapter.apply([action("api", 6, 7, "d2")], Fence(1))
        assert again.status is Status.ACCEPTED
        sighting = await seen(adapter, all_ready("api", 7))
        assert not sighting.notices
        await adapter.close()

    _, workloads = made(world, kind, 2)
    words = "InsufficientInstanceCapacity" if kind == "group" else "Capacity is unavailable"
    asyncio.run(story())


@BOTH
def test_another_writer_is_told_of_and_the_next_decision_stands_on_its_count(
    world: AwsWorld, connect: Connect, kind: str
) -> None:
    async def story() -> None:
        adapter = connect("api", workloads=workloads)
        await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert not (await seen(adapter, all_ready("api", 3))).notices
        if kind == "group":
            world.client("autoscaling").set_desired_capacity(
                AutoScalingGroupName="api", DesiredCapacity=4
            )
        else:
            world.client("ecs").update_service(cluster="shop", service="api", desiredCount=4)
        (notice,) = (await adapter.observe()).notices
        assert "somebody set 4 on " in notice
        assert "where the engine's last decision had set 3" in notice
        if kind == "group":
            assert "a user request explicitly set group desired capacity" in notice
        (late,) = await adapter.apply([action("api", 3, 5, "d2")], Fence(1))
        assert (late.status, late.sent) == (Status.FAILED, False)
        assert "conflict: 4 are desired, not 3" in late.detail
        await adapter.apply([action("api", 4, 5, "d3")], Fence(1))
        assert not (await seen(adapter, all_ready("api", 5))).notices
        await adapter.close()

    _, workloads = made(world, kind, 2)
    asyncio.run(story())


def test_a_warm_pool_is_shown_and_used_first_and_never_taken_for_what_boots(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        sighting = await seen(adapter, all_ready("api", 2))
        assert adapter.seen["api"].warm == 3
        world.boot_s = 3600.0
        await adapter.apply([action("api", 2, 4, "d1")], Fence(1))
        sighting = await seen(adapter, all_ready("api", 4))
        assert adapter.seen["api"].warm == 1
        assert sighting.notices == ()
        assert [call for call in adapter.clients.calls if "Warm" in call] == [DESCRIBED]
        await adapter.close()

    world.group("api", 2)
    world.pool("api", 3)
    asyncio.run(story())


DESCRIBED = "autoscaling:DescribeWarmPool"


def test_a_groups_own_limits_are_never_moved_and_what_is_beyond_is_cut_and_told(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        (notice,) = (await seen(adapter, all_ready("api", 3))).notices
        assert notice == (
            "api: Auto Scaling group api may have 2 … 5, the service 0 … 40: what is beyond is cut"
        )
        (result,) = await adapter.apply([action("api", 3, 9, "d1")], Fence(1))
        assert (result.status, result.detail) == (Status.ACCEPTED, "cut from 9 to 5")
        sighting = await seen(adapter, all_ready("api", 5))
        assert not [notice for notice in sighting.notices if "somebody" in notice]
        (result,) = await adapter.apply([action("api", 5, 9, "d2")], Fence(1))
        assert (result.status, result.sent) == (Status.FAILED, False)
        assert result.detail == "9 is beyond what Auto Scaling group api may have"
        (result,) = await adapter.apply([action("api", 5, 0, "d3")], Fence(1))
        assert (result.status, result.detail) == (Status.ACCEPTED, "cut from 0 to 2")
        (group,) = world.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        assert [group[key] for key in ("MinSize", "DesiredCapacity", "MaxSize")] == [2, 2, 5]
        await adapter.close()

    world.group("api", 3, least=2, most=5)
    asyncio.run(story())


def test_a_policy_that_comes_later_is_named_and_its_group_left_alone(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", writers_s=1.0)
        await seen(adapter, all_ready("api", 2))
        world.client("autoscaling").put_scaling_policy(
            AutoScalingGroupName="api", PolicyName="cpu-60", PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={
                "TargetValue": 60.0,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "ASGAverageCPUUtilization"
                },
            },
        )  # fmt: skip
        (result,) = await adapter.apply([action("api", 2, 4, "d1")], Fence(1))
        assert (result.status, result.sent) == (Status.FAILED, False)
        assert "the TargetTrackingScaling policy cpu-60" in result.detail
        await seen(adapter, told_of("two writers of one count"))
        assert (await adapter.observe()).services["api"].desired == 2
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


def test_what_application_auto_scaling_scales_is_named_and_its_limits_hold(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", workloads={"api": "ecs/shop/api"}, writers_s=1.0)
        scaling = world.client("application-autoscaling")
        scaling.register_scalable_target(**of, MinCapacity=1, MaxCapacity=4)
        (result,) = await adapter.apply([action("api", 2, 9, "d1")], Fence(1))
        assert (result.status, result.detail) == (Status.ACCEPTED, "cut from 9 to 4")
        scaling.put_scaling_policy(
            **of, PolicyName="cpu-60", PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={"TargetValue": 60.0},
        )  # fmt: skip
        (result,) = await adapter.apply([action("api", 4, 3, "d2")], Fence(1))
        assert "ECS service shop/api is scaled by the TargetTrackingScaling policy" in result.detail
        await seen(adapter, told_of("cpu-60"))
        await adapter.close()

    of = {
        "ServiceNamespace": "ecs", "ResourceId": "service/shop/api",
        "ScalableDimension": "ecs:service:DesiredCount",
    }  # fmt: skip
    world.service("shop", "api", 2)
    asyncio.run(story())


def test_what_is_suspended_refreshed_set_aside_or_ill_is_told(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", writers_s=1.0)
        await seen(adapter, all_ready("api", 3))
        groups = world.client("autoscaling")
        groups.suspend_processes(AutoScalingGroupName="api", ScalingProcesses=["Launch"])
        world.refreshes["api"] = [
            {"InstanceRefreshId": "r-1", "Status": "InProgress", "PercentageComplete": 40},
            {"InstanceRefreshId": "r-0", "Status": "Successful"},
        ]
        first, second, _ = world.of_group("api").instance_states
        first.health_status, second.lifecycle_state = "Unhealthy", "Standby"
        sighting = await seen(adapter, told_of("r-1"))
        assert sighting.services["api"] == Counts(3, 1, 0, 1)
        assert set(sighting.notices) == {
            "api: suspended is Launch: nothing boots",
            "api: instance refresh r-1 is InProgress (40 %)",
            "api: 1 run and are not healthy",
            "api: 1 are on stand-by",
        }
        await adapter.close()

    world.group("api", 3)
    asyncio.run(story())


def test_a_zone_that_has_all_that_serve_is_told_where_there_could_be_several(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", "one")
        sighting = await seen(adapter, all_ready("api", 4))
        assert adapter.seen["api"].zones == {
            "eu-central-1a": 2, "eu-central-1b": 1, "eu-central-1c": 1
        }  # fmt: skip
        assert sighting.notices == ()
        for one in world.of_group("api").instance_states:
            one.availability_zone = "eu-central-1b"
        (notice,) = (await adapter.observe()).notices
        assert notice == "api: all 4 ready are in zone eu-central-1b"
        await adapter.close()

    world.group("api", 4)
    world.group("one", 2, zones=1)
    asyncio.run(story())


def test_a_group_that_is_deleted_meanwhile_has_no_instances_and_is_named(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", "other", workloads={"other": "ecs/shop/other"})
        await seen(adapter, all_ready("api", 2))
        world.client("autoscaling").delete_auto_scaling_group(
            AutoScalingGroupName="api", ForceDelete=True
        )
        sighting = await adapter.observe()
        assert sighting.services == {"api": Counts(0, 0, 0, 0), "other": Counts(1, 1, 0, 0)}
        assert sighting.notices == ("api: there is no Auto Scaling group api",)
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert (result.status, result.sent) == (Status.FAILED, False)
        await adapter.close()

    world.group("api", 2)
    world.service("shop", "other", 1)
    asyncio.run(story())


def told_of(words: str) -> Any:
    def there(sighting: Sighting) -> bool:
        return any(words in notice for notice in sighting.notices)

    return there
