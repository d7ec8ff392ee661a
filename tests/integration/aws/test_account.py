"""`python -m engine aws`: what is wrong is named, and the rights that are printed are enough."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import os
import subprocess
from pathlib import Path

import pytest

from engine.model import Quantity, Status
from engine.ports.contract import action
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from tests import warm
from tests.aws_world import KEYS, REGION, AwsWorld
from tests.integration.aws.conftest import Connect, seen
from tests.integration.kubernetes.test_roles import ONE_SERVICE

WARM = "+platform.services.api.warm={price_share: 0.15, boot_share: 0.1, max: 3}"


def aws(
    command: str, world: AwsWorld | None, folder: Path, *more: str, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """The command on a platform of one service."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    env |= {k: v for k, v in {**KEYS, **environment}.items() if v is not None}
    env["HOME"] = str(folder)
    reached = [f"infrastructure.options.endpoint={world.url}"] if world else []
    return warm.run(
        "engine", "aws", command, *ONE_SERVICE, "infrastructure.options.timeout_s=20",
        "infrastructure.options.look_s=60", *reached, *more, cwd=folder, environment=env,
    )  # fmt: skip


def test_a_check_says_as_whom_and_what_is_what_and_a_look_shows_it(
    world: AwsWorld, tmp_path: Path
) -> None:
    world.group("api", 2, least=1, most=12)
    world.pool("api", 2)
    checked = aws("check", world, tmp_path)
    assert checked.returncode == 0, checked.stderr
    who, what = checked.stdout.splitlines()
    assert who.startswith("as arn:aws:")
    assert what == "api: Auto Scaling group api, 1 … 12"
    offered = aws("check", world, tmp_path, WARM)
    assert offered.stdout.splitlines()[1] == (
        "api: Auto Scaling group api, 1 … 12; 0 … 3 held warm"
    )
    world.client("autoscaling").suspend_processes(
        AutoScalingGroupName="api", ScalingProcesses=["Terminate"]
    )
    shown = aws("show", world, tmp_path)
    assert shown.returncode == 0, shown.stderr
    first, trouble = shown.stdout.splitlines()
    assert first.startswith(
        "api (Auto Scaling group api): 2 desired; 2 ready, 0 booting, 0 draining, 2 warm; "
        "1 in eu-central-1a, 1 in eu-central-1b; "
    )
    assert trouble == "trouble: api: suspended is Terminate: nothing leaves"
    held = aws("show", world, tmp_path, WARM)
    assert "0 draining, 2 of 2 warm; " in held.stdout, held.stderr
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in checked.stderr + shown.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "infrastructure.options.profile: the credentials have expired"),
        ("SignatureDoesNotMatch", "infrastructure.options.profile: the credentials are not acc"),
        ("AccessDenied", "python -m engine aws policy prints the rights that the engine needs"),
    ],
)
def test_credentials_that_are_not_good_enough_are_named(
    world: AwsWorld, tmp_path: Path, code: str, words: str
) -> None:
    world.group("api", 2)
    world.fail("describe_auto_scaling_groups", code)
    ended = aws("check", world, tmp_path)
    assert ended.returncode == 2, ended
    assert words in ended.stderr


def test_without_credentials_region_or_answer_that_is_said(world: AwsWorld, tmp_path: Path) -> None:
    world.group("api", 2)
    none = aws("check", world, tmp_path, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert none.returncode == 2
    assert "infrastructure.options.profile: there are no credentials" in none.stderr
    nowhere = aws("check", world, tmp_path, AWS_DEFAULT_REGION=None)
    assert nowhere.returncode == 2
    assert "infrastructure.options.region: You must specify a region" in nowhere.stderr
    nowhere = aws("policy", world, tmp_path, AWS_DEFAULT_REGION=None)
    assert "infrastructure.options.region: null is not allowed here" in nowhere.stderr
    assert aws("policy", world, tmp_path, "--account=12").returncode == 2
    world.stop()
    for command in ("check", "show"):
        silent = aws(command, world, tmp_path)
        assert silent.returncode == 1
        assert f"it cannot be seen: {world.url}" in silent.stderr


def test_the_policy_allows_what_a_run_asks_for_and_nothing_that_it_never_asks_for(
    world: AwsWorld, connect: Connect, tmp_path: Path
) -> None:
    async def story() -> set[str]:
        adapter = connect("web", "api", warm=3, workloads={"api": "ecs/shop/api"}, writers_s=1.0)
        hold = action("web", 1, 2, "d-warm", quantity=Quantity.WARM)
        (result,) = await adapter.apply([hold], Fence(1))
        assert result.status is Status.ACCEPTED
        await seen(adapter, lambda s: s.services["web"] == Counts(2, 2, 0, 0, 2, 2))
        world.room = 3
        for one in ("web", "api"):
            (result,) = await adapter.apply([action(one, 2, 4, f"d-{one}")], Fence(1))
            assert result.status is Status.ACCEPTED
        await seen(adapter, lambda s: sum(" are not there: " in n for n in s.notices) == 2)
        await adapter.close()
        return set(adapter.clients.calls)

    world.group("web", 2)
    world.pool("web", 1)
    world.service("shop", "api", 2)
    world.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="ecs", ResourceId="service/shop/api",
        ScalableDimension="ecs:service:DesiredCount", MinCapacity=0, MaxCapacity=40,
    )  # fmt: skip
    called = {name.lower() for name in asyncio.run(story())}
    two = [
        "+platform.services.web=${platform.services.api}",
        WARM,
        "+infrastructure.options.workloads.api=ecs/shop/api",
    ]
    printed = aws("policy", world, tmp_path, *two, "--account=123456789012")
    assert printed.returncode == 0, printed.stderr
    statements = json.loads(printed.stdout)["Statement"]
    allowed = {name.lower() for one in statements for name in one["Action"]}
    assert allowed == called
    by_sid = {one["Sid"]: one for one in statements}
    (group,) = by_sid["ScaleGroups"]["Resource"]
    arn = f"arn:aws:autoscaling:{REGION}:123456789012:autoScalingGroup:x:autoScalingGroupName"
    assert fnmatch.fnmatchcase(f"{arn}/web", group)
    assert not fnmatch.fnmatchcase(f"{arn}/web2", group)
    assert by_sid["SizeWarmPools"]["Resource"] == [group]
    assert by_sid["ScaleServices"]["Resource"] == [
        f"arn:aws:ecs:{REGION}:123456789012:service/shop/api"
    ]
    tags = by_sid["TagGroups"]["Condition"]["ForAllValues:StringEquals"]["aws:TagKeys"]
    assert all(key.startswith("wedtwin:") for key in tags)
    less = aws("policy", world, tmp_path, *two, "--recommend")
    names = [name for one in json.loads(less.stdout)["Statement"] for name in one["Action"]]
    assert names
    assert all(name.split(":")[1].startswith(("Describe", "List")) for name in names)
