"""The guide's commands as they are printed, in an account of moto's."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.aws_world import KEYS, AwsWorld
from tests.integration.kubernetes.test_guide import BLOCK, BRIEF, typed

pytestmark = pytest.mark.slow

PROGRAM = '''#!{python}
"""`aws SERVICE OPERATION --name value …`: the part of AWS's own command line that the guide uses.

Names of operations and parameters, and the sorts of values, are those of AWS's description.
"""
import json
import sys

import boto3
from botocore import xform_name

service, operation, *rest = sys.argv[1:]
client = boto3.client(service)
names = {{xform_name(name, "-"): name for name in client.meta.service_model.operation_names}}
members = client.meta.service_model.operation_model(names[operation]).input_shape.members
shapes = {{"--" + xform_name(name, "-"): (name, shape) for name, shape in members.items()}}
given, key = {{}}, ""
for word in rest:
    if word.startswith("--"):
        key = word
        shapes[key]
        given[key] = []
    else:
        given[key].append(word)
parameters = {{}}
for key, words in given.items():
    name, shape = shapes[key]
    text = words[0]
    if text.startswith("file://"):
        text = open(text[7:]).read()
    if shape.type_name == "string":
        parameters[name] = text
    else:
        parameters[name] = json.loads(text) if text[0] in "[{{" else words
answer = getattr(client, operation.replace("-", "_"))(**parameters)
answer.pop("ResponseMetadata")
print(json.dumps(answer, default=str, indent=2))
'''


def test_each_command_of_the_guide_does_what_it_says(
    world: AwsWorld, tmp_path: Path, repository: Path
) -> None:
    for name in ("shop-api", "shop-realtime", "shop-db"):
        world.group(name, 1)
    for name in ("files", "ai"):
        world.service("shop", name, 1)
    world.client("iam").create_role(RoleName="wedtwin", AssumeRolePolicyDocument="{}")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "aws"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    environment = {
        **os.environ, **KEYS, **warm.write_python(tmp_path / "bin"),
        "AWS_ENDPOINT_URL": world.url, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }  # fmt: skip
    blocks = BLOCK.findall((repository / "docs" / "guides" / "aws.md").read_text(encoding="utf-8"))
    brief = [block.replace("live.duration_s=10", BRIEF) for block in blocks]
    assert sum(block.count(BRIEF) for block in brief) == 2
    said = [typed(block, tmp_path, environment) for block in brief]

    def of(words: str) -> str:
        (output,) = (out for out, block in zip(said, blocks, strict=True) if words in block)
        return output

    assert "writers_s: 60.0" in of("--cfg job")
    checked = of("aws check")
    assert "as arn:aws:" in checked
    assert "file-storage: ECS service shop/files, 0 … 5000\n" in checked
    assert "database (Auto Scaling group shop-db): 1 desired; 1 ready, 0 booting" in checked
    assert world.desired("shop-api") >= 2  # the least that the service may have
    assert re.search(r'"Key": "wedtwin:decision",\s+"Value": "api-\w+ 1 \d+"', of("describe-tags"))
    (policy,) = world.client("iam").list_attached_role_policies(RoleName="wedtwin")[
        "AttachedPolicies"
    ]
    assert policy["PolicyName"] == "wedtwin"
