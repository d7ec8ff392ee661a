"""The rights that the engine needs and no more, as an IAM policy.

What only describes cannot be limited to one group by IAM, so it is allowed for all of them; what
changes something is allowed by name, and of tags only the engine's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from engine.adapters.aws.settings import AwsConfig
from engine.adapters.aws.tags import INSTANCES, WARM, TagKeys
from engine.adapters.aws.target import AwsTarget, TargetKind

VERSION = "2012-10-17"
"""Of the policy language; there has been no newer one."""

_Statement = dict[str, Any]


def document(
    config: AwsConfig, targets: Mapping[str, AwsTarget], region: str, account: str, *, acts: bool,
    holding: Collection[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """The policy for these targets; without `acts` nothing may be changed.

    `holding` names the groups whose warm pools are sized.
    """
    groups = sorted({t.name for t in targets.values() if t.kind is TargetKind.GROUP})
    clusters: dict[str, set[str]] = defaultdict(set)
    for target in targets.values():
        if target.kind is TargetKind.ECS:
            clusters[target.cluster].add(target.name)
    part = _partition(region)
    root = f"arn:{part}:autoscaling:{region}:{account}"
    statements = _of_groups(groups, root, sorted(holding), acts=acts)
    statements += _of_services(config, clusters, f"arn:{part}:ecs:{region}:{account}", acts=acts)
    return {"Version": VERSION, "Statement": statements}


def _of_groups(groups: list[str], root: str, holding: list[str], *, acts: bool) -> list[_Statement]:
    if not groups:
        return []
    statements = [
        _allowed(
            "SeeGroups",
            [
                "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeInstanceRefreshes",
                "autoscaling:DescribePolicies", "autoscaling:DescribeScalingActivities",
                "autoscaling:DescribeScheduledActions", "autoscaling:DescribeWarmPool",
            ],
            ["*"],
        )
    ]  # fmt: skip
    if acts:
        arns, pools = (
            [f"{root}:autoScalingGroup:*:autoScalingGroupName/{name}" for name in names]
            for names in (groups, holding)
        )
        statements += [
            _allowed("ScaleGroups", ["autoscaling:SetDesiredCapacity"], arns),
            _tagging("TagGroups", "autoscaling:CreateOrUpdateTags", arns, INSTANCES),
        ]
        if pools:
            statements += [
                _allowed("SizeWarmPools", ["autoscaling:PutWarmPool"], pools),
                _tagging("TagWarmPools", "autoscaling:CreateOrUpdateTags", pools, WARM),
            ]
    return statements


def _of_services(
    config: AwsConfig, clusters: Mapping[str, set[str]], root: str, *, acts: bool
) -> list[_Statement]:
    if not clusters:
        return []
    named = sorted((cluster, name) for cluster, names in clusters.items() for name in names)
    arns = [f"{root}:service/{cluster}/{name}" for cluster, name in named]
    statements = [
        _allowed("SeeServices", ["ecs:DescribeServices"], arns),
        _allowed(
            "SeeWhoScalesThem",
            [
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:DescribeScalingPolicies",
                "application-autoscaling:DescribeScheduledActions",
            ],
            ["*"],
        ),
    ]
    if config.zones:
        own = {
            "ArnEquals": {"ecs:cluster": [f"{root}:cluster/{name}" for name in sorted(clusters)]}
        }
        statements += [
            {**_allowed("ListTasks", ["ecs:ListTasks"], ["*"]), "Condition": own},
            _allowed(
                "SeeTasks", ["ecs:DescribeTasks"], [f"{root}:task/{c}/*" for c in sorted(clusters)]
            ),
        ]
    if acts:
        statements += [
            _allowed("ScaleServices", ["ecs:UpdateService"], arns),
            _tagging("TagServices", "ecs:TagResource", arns, INSTANCES),
        ]
    return statements


def _allowed(sid: str, actions: list[str], resources: list[str]) -> _Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}


def _tagging(sid: str, action: str, resources: list[str], keys: TagKeys) -> _Statement:
    """Tags of the engine's, and at least one: "all of none" would be true of any request."""
    only = {
        "ForAllValues:StringEquals": {"aws:TagKeys": list(keys.all)},
        "Null": {"aws:TagKeys": "false"},
    }
    return {**_allowed(sid, [action], resources), "Condition": only}


def _partition(region: str) -> str:
    """The part of AWS that a region is of, as ARNs name it."""
    for prefix, part in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        if region.startswith(prefix):
            return part
    return "aws"
