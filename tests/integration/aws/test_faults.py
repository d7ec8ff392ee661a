"""AWS asks for fewer requests, does not answer, is gone; a command is cut off at each point."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.adapters.aws.tags import SET
from engine.adapters.aws.target import KEYS
from engine.model import ActionResult, Quantity, Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts, Unreachable
from engine.ports.lease import Fence
from tests.aws_world import AwsWorld
from tests.integration.aws.conftest import Connect, all_ready, seen


async def unreachable(adapter: Any) -> str:
    with pytest.raises(Unreachable) as caught:
        await adapter.observe()
    return str(caught.value)


@pytest.mark.parametrize("operation", ["set_desired_capacity", "create_or_update_tags"])
def test_a_command_that_is_throttled_is_tried_again_and_after_a_while_no_more(
    world: AwsWorld, connect: Connect, operation: str
) -> None:
    async def story() -> None:
        adapter = connect("api")
        world.fail(operation, "Throttling", 2)
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED
        assert world.desired("api") == 3
        before = world.calls[operation]
        world.fail(operation, "Throttling", 99)
        (result,) = await adapter.apply([action("api", 3, 4, "d2")], Fence(1))
        assert (result.status, world.desired("api")) == (Status.FAILED, 3)
        assert "AWS asks for fewer requests (Throttling)" in result.detail
        assert world.calls[operation] - before == 4
        # Another engine may not think that it was somebody else.
        world.faults.clear()
        assert not (await adapter.observe()).notices
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


def test_a_look_that_is_throttled_is_asked_again_and_then_told(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api")
        world.fail("describe_auto_scaling_groups", "Throttling", 2)
        assert (await adapter.observe()).services["api"].ready == 2
        world.fail("describe_auto_scaling_groups", "Throttling", 3)
        said = await unreachable(adapter)
        assert "AWS asks for fewer requests (Throttling)" in said
        assert "last seen" in said
        assert (await adapter.observe()).services["api"].ready == 2
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


def test_an_answer_that_is_slow_is_given_up_and_counts_are_not_guessed(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> None:
        adapter = connect("api", look_s=0.5)
        for _ in range(3):
            world.slow("describe_auto_scaling_groups", before_s=2.0)
        assert "AWS does not answer in 0.5 s (last seen never)" in await unreachable(adapter)
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())


@pytest.mark.parametrize("workload", ["asg/api", "ecs/shop/api"])
def test_a_command_that_was_carried_out_without_an_answer_counts_once(
    world: AwsWorld, connect: Connect, workload: str
) -> None:
    async def story() -> None:
        adapter = connect("api", workloads={"api": workload}, timeout_s=0.4)
        while True:  # the first request has to be answered in time as well
            try:
                await adapter.observe()
                break
            except Unreachable:
                continue
        world.slow(operation, after_s=2.0)
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        while result.status is Status.FAILED:  # a busy machine answers late as well
            (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert (result.status, world.desired(name)) == (Status.ACCEPTED, 3)
        assert world.tags(name)[SET] == "3"
        assert world.calls[operation] == 1
        await adapter.close()

    if workload.startswith("asg"):
        world.group("api", 2)
        name, operation = "api", "set_desired_capacity"
    else:
        world.service("shop", "api", 2)
        name, operation = "shop/api", "update_service"
    asyncio.run(story())


@pytest.mark.parametrize("quantity", list(Quantity))
@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_an_engine_that_dies_between_two_writes_leaves_what_the_next_one_understands(
    world: AwsWorld,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    *,
    writes: int,
    quantity: Quantity,
) -> None:
    class Died(Exception):
        pass

    async def story() -> None:
        adapter = connect("api", warm=9)
        left, ask = writes, adapter.clients.ask

        async def mortal(*given: Any, **more: Any) -> Any:
            nonlocal left
            if more.get("writes"):
                if left == 0:
                    raise Died
                left -= 1
            return await ask(*given, **more)

        monkeypatch.setattr(adapter.clients, "ask", mortal)
        if writes < 3:
            with pytest.raises(Died):
                await adapter.apply([decided], Fence(1))
        else:
            await adapter.apply([decided], Fence(1))
        following = connect("api", warm=9)
        sighting = await following.observe()
        assert not sighting.notices
        assert there(sighting.services["api"]) == (2 if writes < 2 else 5)
        sets = world.calls[operation]
        (result,) = await following.apply([decided], Fence(2))
        assert result.status is Status.ACCEPTED
        assert there((await following.observe()).services["api"]) == 5
        assert world.calls[operation] - sets == (1 if writes < 2 else 0)
        assert world.tags("api")[keys.decision] == "d1 2 5"
        assert len(world.tags("api")[keys.decisions].split()) == 1
        # Whoever sends it once more, after all, moves nothing.
        back()
        await following.apply([decided], Fence(2))
        sighting = await following.observe()
        assert there(sighting.services["api"]) == 2
        assert len(sighting.notices) == 1
        await adapter.close()
        await following.close()

    def there(counts: Counts) -> int:
        return counts.warm_desired if warm else counts.desired

    def back() -> None:
        """Somebody sets what there was before."""
        if warm:
            world.pool("api", 2)
        else:
            world.client("autoscaling").set_desired_capacity(
                AutoScalingGroupName="api", DesiredCapacity=2
            )

    warm, keys = quantity is Quantity.WARM, KEYS[quantity]
    operation = "put_warm_pool" if warm else "set_desired_capacity"
    decided = action("api", 2, 5, "d1", quantity=quantity)
    world.group("api", 2)
    world.pool("api", 2)
    asyncio.run(story())


def test_an_engine_that_wakes_up_between_its_intent_and_its_write_finds_the_newer_one(
    world: AwsWorld, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        sleeper, newer = connect("api"), connect("api")
        ask, results = sleeper.clients.ask, []

        async def asleep(*given: Any, **more: Any) -> Any:
            answer = await ask(*given, **more)
            if given[1] == "create_or_update_tags" and not results:
                results.extend(await newer.apply([action("api", 2, 3, "d2")], Fence(2)))
            return answer

        monkeypatch.setattr(sleeper.clients, "ask", asleep)
        (late,) = await sleeper.apply([action("api", 2, 7, "d1")], Fence(1))
        assert results[0].status is Status.ACCEPTED
        assert (late.status, late.sent) == (Status.FAILED, False)
        assert "fence 1 is over, 2 leads" in late.detail
        assert world.desired("api") == 3
        await sleeper.close()
        await newer.close()

    world.group("api", 2)
    asyncio.run(story())


def test_of_engines_that_decide_on_the_same_count_one_after_the_other_has_its_way(
    world: AwsWorld, connect: Connect
) -> None:
    async def story() -> list[ActionResult]:
        adapters = [connect("api") for _ in range(3)]
        results = []
        for k, adapter in enumerate(adapters):
            results += await adapter.apply([action("api", 2, 3 + k, f"d{k}")], Fence(1))
            await adapter.close()
        return results

    world.group("api", 2)
    results = asyncio.run(story())
    assert [r.status for r in results] == [Status.ACCEPTED, Status.FAILED, Status.FAILED]
    assert world.desired("api") == 3


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "the credentials have expired (ExpiredToken)"),
        ("InvalidClientTokenId", "the credentials are not accepted (InvalidClientTokenId)"),
        ("AccessDenied", "(AccessDenied)"),
    ],
)
def test_credentials_that_are_over_while_it_runs_are_a_trouble_and_pass(
    world: AwsWorld, connect: Connect, code: str, words: str
) -> None:
    async def story() -> None:
        adapter = connect("api")
        await seen(adapter, all_ready("api", 2))
        world.fail("describe_auto_scaling_groups", code)
        assert words in await unreachable(adapter)
        world.fail("set_desired_capacity", code)
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert result.status is Status.FAILED
        assert words in result.detail
        (result,) = await adapter.apply([action("api", 2, 3, "d1")], Fence(1))
        assert result.status is Status.ACCEPTED
        await adapter.close()

    world.group("api", 2)
    asyncio.run(story())
