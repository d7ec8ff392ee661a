"""How many a group holds warm: sized as decided, taken first, filled up again, refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.adapters.aws.tags import DECISION, FENCE, WARM
from engine.model import Action, Quantity, Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from tests.aws_world import AwsWorld
from tests.integration.aws.conftest import Connect, seen


def hold(before: int, after: int, decision: str) -> Action:
    return action("api", before, after, decision, quantity=Quantity.WARM)


def pool_of(world: AwsWorld, name: str = "api") -> dict[str, Any]:
    answer = world.client("autoscaling").describe_warm_pool(AutoScalingGroupName=name)
    return dict(answer["WarmPoolConfiguration"])


def test_a_pool_gets_the_size_that_is_decided_and_keeps_what_else_somebody_chose(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=5)
        assert (await adapter.observe()).services["api"] == Counts(2, 2, 0, 0, 2, 2)
        for before, after, decision in ((2, 4, "d1"), (4, 0, "d2")):
            (result,) = await adapter.apply([hold(before, after, decision)], Fence(1))
            assert (result.status, result.detail) == (Status.ACCEPTED, "")
            sighting = await seen(adapter, lambda s: s.results)
            assert sighting.services["api"] == Counts(2, 2, 0, 0, after, after)
            assert [(r.decision_id, r.status) for r in sighting.results] == [
                (decision, Status.COMPLETED)
            ]
            assert sighting.notices == ()
            pool = pool_of(world)
            assert (pool["MinSize"], pool["MaxGroupPreparedCapacity"]) == (after, after)
            assert pool["PoolState"] == "Running"
            assert pool["InstanceReusePolicy"] == {"ReuseOnScaleIn": True}
        tags = world.tags("api")
        assert (tags[WARM.set], tags[WARM.decision], tags[FENCE]) == ("0", "d2 4 0", "1")
        assert len(tags[WARM.decisions].split()) == 2
        assert DECISION not in tags
        await adapter.close()

    world.group("api", 2)
    world.pool("api", 2, PoolState="Running", InstanceReusePolicy={"ReuseOnScaleIn": True})
    asyncio.run(story())


def test_a_launch_takes_what_is_warm_first_and_the_pool_fills_up_and_never_counts_as_booting(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=5)
        await adapter.apply([hold(0, 3, "d1")], Fence(1))
        await seen(adapter, lambda s: s.services["api"] == Counts(2, 2, 0, 0, 3, 3))
        # From here on nothing boots that was not warm.
        world.boot_s = 3600.0
        await adapter.apply([action("api", 2, 4, "d2")], Fence(1))
        sighting = await seen(adapter, lambda s: s.services["api"].ready == 4)
        assert sighting.services["api"] == Counts(4, 4, 0, 0, 1, 3)
        world.boot_s = 0.0
        sighting = await seen(adapter, lambda s: s.services["api"].warm == 3)
        assert sighting.services["api"] == Counts(4, 4, 0, 0, 3, 3)
        assert sighting.notices == ()
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


def test_another_size_that_somebody_sets_is_told_and_the_next_decision_stands_on_it(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=9)
        await adapter.apply([hold(0, 3, "d1")], Fence(1))
        # Not an absolute one: what it comes to is 7 less the 2 that are desired.
        world.client("autoscaling").put_warm_pool(
            AutoScalingGroupName="api", MinSize=1, MaxGroupPreparedCapacity=7
        )
        sighting = await seen(adapter, lambda s: s.services["api"].warm_desired == 5)
        assert sighting.notices == (
            "api: somebody set 5 to be held warm on Auto Scaling group api, where the engine's "
            "last decision had set 3",
        )
        (late,) = await adapter.apply([hold(3, 4, "d2")], Fence(1))
        assert (late.status, late.sent) == (Status.FAILED, False)
        assert late.detail == "conflict: 5 are to be held warm, not 3"
        (result,) = await adapter.apply([hold(5, 4, "d3")], Fence(1))
        assert result.status is Status.ACCEPTED
        assert (await seen(adapter, lambda s: s.services["api"].warm == 4)).notices == ()
        (result,) = await adapter.apply([hold(4, 10, "d4")], Fence(1))
        assert result.detail == "10 held warm are not allowed (0 … 9)"
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


def test_a_lack_of_capacity_is_said_of_what_is_held_warm_and_not_of_what_serves(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=9)
        world.room = 4
        await adapter.apply([hold(0, 5, "d1")], Fence(1))
        sighting = await seen(
            adapter, lambda s: s.services["api"].warm == 2 and s.notices, results=1
        )
        (failed,) = sighting.results
        assert (failed.decision_id, failed.status) == ("d1", Status.FAILED)
        assert "InsufficientInstanceCapacity" in failed.detail
        (notice,) = sighting.notices
        assert notice.startswith("api: 3 of 5 are not held warm: ")
        world.room = None
        await seen(adapter, lambda s: s.services["api"] == Counts(2, 2, 0, 0, 5, 5))
        assert (await adapter.observe()).notices == ()
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


def test_what_aws_refuses_to_hold_warm_fails_in_its_words_and_elsewhere_nothing_is_asked(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=5)
        (result,) = await adapter.apply([hold(0, 2, "d1")], Fence(1))
        assert result.status is Status.FAILED
        assert "requests Spot Instances" in result.detail
        assert (await adapter.observe()).services["api"] == Counts(1, 1, 0, 0)
        # A service of ECS, and a group of which the platform offers none.
        for other in (connect("api", warm=5, workloads={"api": "ecs/shop/api"}), connect("api")):
            before = world.calls["put_warm_pool"]
            (result,) = await other.apply([hold(0, 2, "d1")], Fence(1))
            assert (result.status, result.sent) == (Status.FAILED, False)
            assert result.detail == "it holds no instances warm"
            assert world.calls["put_warm_pool"] == before
            await other.close()
        await adapter.close()

    world.group("api", 1, spot=True)
    world.service("shop", "api", 1)
    asyncio.run(story())


def test_a_pool_that_is_being_deleted_is_told_of_and_no_size_is_asked_for_until_it_is_gone(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=5)
        world.of_group("api").warm_pool.status = "PendingDelete"
        sighting = await adapter.observe()
        assert sighting.services["api"].warm_desired == 0
        assert sighting.notices == ("api: its warm pool is being deleted",)
        before = world.tags("api")
        (result,) = await adapter.apply([hold(0, 3, "d1")], Fence(1))
        assert (result.status, result.sent) == (Status.FAILED, False)
        assert result.detail == "Auto Scaling group api: its warm pool is being deleted"
        assert world.tags("api") == before
        world.of_group("api").warm_pool = None
        (result,) = await adapter.apply([hold(0, 3, "d2")], Fence(1))
        assert result.status is Status.ACCEPTED
        assert (await seen(adapter, lambda s: s.services["api"].warm == 3)).notices == ()
        await adapter.close()

    world.group("api", 2)
    world.pool("api", 1)
    asyncio.run(story())


@pytest.mark.parametrize("operation", ["put_warm_pool", "describe_warm_pool"])
def test_a_pool_that_is_throttled_is_tried_again_and_counts_once(
    world: AwsWorld, connect: Connect, operation: str
) -> None:
    async def story() -> None:
        adapter = connect("api", warm=5)
        world.fail(operation, "Throttling", 2)
        (result,) = await adapter.apply([hold(1, 3, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED
        assert pool_of(world)["MinSize"] == 3
        assert world.calls["put_warm_pool"] == (1 if operation != "put_warm_pool" else 3) + 1
        await adapter.close()

    world.group("api", 2)
    world.pool("api", 1)
    asyncio.run(story())
