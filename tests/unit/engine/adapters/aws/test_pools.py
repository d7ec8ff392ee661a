"""What a warm pool comes to, where there can be none, and who may size it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.adapters.aws.client import AwsError, Obstacle
from engine.adapters.aws.groups import AutoScalingGroups, state_of
from engine.adapters.aws.policy import document
from engine.adapters.aws.settings import AwsConfig
from engine.adapters.aws.target import AwsTarget, SeenPool, SeenTarget, TargetKind

GROUP = AwsTarget(TargetKind.GROUP, "web")


class Account:
    """AWS with one group, as far as a look asks for it."""

    def __init__(self, pool: object, **group: Any) -> None:
        self._group = {
            "AutoScalingGroupName": "web", "DesiredCapacity": 2, "MinSize": 0, "MaxSize": 10,
            "WarmPoolConfiguration": pool, **group,
        }  # fmt: skip
        self.refuses: AwsError | None = None

    async def listed(self, _: str, operation: str, *__: object, **___: object) -> list[Any]:
        if operation == "describe_auto_scaling_groups":
            return [self._group]
        if self.refuses:
            raise self.refuses
        states = ("Pending", "Pending:Wait", "Stopped", "Running", "Hibernated", "Terminating")
        return [{"LifecycleState": f"Warmed:{state}"} for state in states]


def seen(account: Any, *holding: str) -> SeenTarget:
    return asyncio.run(AutoScalingGroups(account, holding).look({"web": GROUP}))["web"]


def pool_seen(account: Account) -> SeenPool:
    pool = seen(account, "web").pool
    assert pool is not None
    return pool


@pytest.mark.parametrize(
    ("pool", "desired"),
    [
        (None, 0),
        ({"MinSize": 3, "MaxGroupPreparedCapacity": 3}, 3),
        ({"MinSize": 0, "MaxGroupPreparedCapacity": 0}, 0),
        ({"MinSize": 0, "MaxGroupPreparedCapacity": 6}, 4),
        ({"MinSize": 1, "MaxGroupPreparedCapacity": 2}, 1),
        ({"MinSize": 0, "MaxGroupPreparedCapacity": 1}, 0),
        ({"MinSize": 3}, 8),
        ({"MinSize": 9, "MaxGroupPreparedCapacity": -1}, 9),
        ({"PoolState": "Stopped"}, 8),
    ],
)
def test_a_pool_is_read_as_what_its_size_comes_to_now(pool: object, desired: int) -> None:
    assert pool_seen(Account(pool)).desired == desired


def test_what_a_pool_prepares_or_ends_is_neither_warm_nor_on_its_way() -> None:
    one = seen(Account({"MinSize": 3}), "web")
    assert (one.warm, one.booting, one.draining) == (3, 0, 0)
    assert {state_of({"LifecycleState": f"Warmed:{s}"}) for s in ("Pending", "Stopped")} == {"warm"}


def test_a_pool_that_is_being_deleted_holds_none_and_is_told_of() -> None:
    pool = pool_seen(Account({"MinSize": 3, "Status": "PendingDelete"}))
    assert (pool.desired, pool.words) == (0, ("its warm pool is being deleted",))


@pytest.mark.parametrize(
    ("mixed", "words"),
    [
        ({"InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 40}}, "60 % beyond"),
        ({"LaunchTemplate": {"Overrides": [{"WeightedCapacity": "2"}]}}, "have weights"),
        ({"InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 100}}, ""),
        ({"InstancesDistribution": {}}, ""),
        (None, ""),
    ],
)
def test_a_group_that_can_have_no_pool_says_why(mixed: object, words: str) -> None:
    refusal = pool_seen(Account(None, MixedInstancesPolicy=mixed)).refusal
    assert words in refusal
    assert bool(words) == bool(refusal)


def test_a_pool_that_is_only_shown_is_no_reason_to_see_nothing() -> None:
    account = Account({"MinSize": 3})
    account.refuses = AwsError("later", Obstacle.THROTTLED)
    shown = seen(account)
    assert (shown.pool, shown.warm) == (None, 0)
    with pytest.raises(AwsError):
        seen(account, "web")


def test_only_the_pools_of_groups_that_hold_warm_may_be_sized() -> None:
    targets = {name: AwsTarget(TargetKind.GROUP, name) for name in ("web", "api")}

    def by_sid(*, acts: bool, holding: tuple[str, ...]) -> dict[str, Any]:
        policy = document(
            AwsConfig.of({}), targets, "eu-central-1", "*", acts=acts, holding=holding
        )
        return {one["Sid"]: one for one in policy["Statement"]}

    some = by_sid(acts=True, holding=("web",))
    (group,) = some["SizeWarmPools"]["Resource"]
    assert group.endswith("autoScalingGroupName/web")
    assert some["TagWarmPools"]["Resource"] == [group]
    assert len(some["TagGroups"]["Resource"]) == 2
    keys = [
        set(some[sid]["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"])
        for sid in ("TagGroups", "TagWarmPools")
    ]
    assert keys[0] & keys[1] == {"wedtwin:fence"}
    assert set(some) - set(by_sid(acts=True, holding=())) == {"SizeWarmPools", "TagWarmPools"}
    assert set(by_sid(acts=False, holding=("web",))) == {"SeeGroups"}
