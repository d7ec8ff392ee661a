"""What cannot be right is refused before a run begins, with the key that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws_world import AwsWorld, aws_world
from tests.integration.aws.test_account import aws

AT = "infrastructure.options.workloads.api"
WORKLOAD = "+infrastructure.options.workloads.api={}"
WARM = "+platform.services.api.warm={price_share: 0.15, boot_share: 0.1, max: 3}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([WORKLOAD.format("asg/web")], f"{AT}: there is no Auto Scaling group web (there are: api"),
        ([WORKLOAD.format("ecs/shop/web")], f"{AT}: there is no ECS service shop/web"),
        ([WORKLOAD.format("ecs/none/web")], f"{AT}: there is no ECS service none/web"),
        ([WORKLOAD.format("ecs/web")], f'{AT}: "ecs/web" is not allowed (asg/NAME or'),
        ([WORKLOAD.format("asg/narrow")], "platform.services.api.max_instances: 9 is above 5"),
        ([WORKLOAD.format("asg/high")], "platform.services.api.min_instances: 1 is below 3"),
        ([WORKLOAD.format("asg/tracked")], "the TargetTrackingScaling policy cpu-60"),
        ([WORKLOAD.format("ecs/shop/daemon")], "it is a daemon"),
        (
            [WORKLOAD.format("ecs/shop/plain"), WARM],
            "platform.services.api.warm: is not allowed (leave it out), as ECS service shop/plain "
            "has no tasks that are held warm",
        ),
        (
            [WORKLOAD.format("asg/mixed"), WARM],
            "platform.services.api.warm: Auto Scaling group mixed: it can have no warm pool, as "
            "50 % beyond its base are Spot Instances",
        ),
        (["+infrastructure.options.workloads.apo=asg/api"], 'apo" is not allowed (api)'),
        (["infrastructure.options.region=moon"], "infrastructure.options.region"),
        (
            ["infrastructure.options.profile=none"],
            "infrastructure.options.profile: The config profile (none) could not be found",
        ),
        (
            ["infrastructure.options.endpoint=http://aws.example:1"],
            "infrastructure.options.endpoint: \"http://aws.example:1\" is not allowed (https://…",
        ),
        (
            ["infrastructure.options.endpoint=http://169.254.169.254"],
            "no server of anybody's can be at 169.254.169.254",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_key(
    crowd: AwsWorld, tmp_path: Path, given: list[str], words: str
) -> None:
    ended = aws("check", crowd, tmp_path, *given)
    assert ended.returncode == 2, ended
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def crowd() -> Iterator[AwsWorld]:
    """An account with several things to choose wrongly from."""
    with aws_world() as world:
        world.group("api", 2)
        world.group("narrow", 2, most=5)
        world.group("high", 3, least=3)
        world.group("tracked", 2)
        world.client("autoscaling").put_scaling_policy(
            AutoScalingGroupName="tracked", PolicyName="cpu-60",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={
                "TargetValue": 60.0,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "ASGAverageCPUUtilization"
                },
            },
        )  # fmt: skip
        world.service("shop", "daemon", 1, schedulingStrategy="DAEMON")
        world.service("shop", "plain", 1)
        world.mixed_group("mixed", 2, on_demand=50)
        yield world
