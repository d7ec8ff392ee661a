"""The guide's commands as they are printed, and the manifests, on a real control plane."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.control_plane import ControlPlane, tools, until

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.M | re.S)


@pytest.fixture
def at_a_desk(cluster: ControlPlane, tmp_path: Path, repository: Path) -> dict[str, str]:
    """The environment of somebody who has kubectl and a kubeconfig, in the folder of the test."""
    (tmp_path / "bin").mkdir()
    kubectl = tmp_path / "bin" / "kubectl"
    kubectl.write_text(f'#!/bin/sh\nexec {tools()}/kube kubectl "$@"\n')
    kubectl.chmod(0o755)
    (tmp_path / "deploy").symlink_to(repository / "deploy")
    config = cluster.kubeconfig(tmp_path / "kubeconfig")
    return {
        **os.environ, "KUBECONFIG": str(config), "PYTHONPATH": str(repository),
        "PATH": f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip


def typed(block: str, folder: Path, environment: dict[str, str]) -> str:
    """What a block of commands prints; each of them has to succeed."""
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{block}\n{ended.stdout}\n{ended.stderr}"
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stdout


def test_each_command_of_the_guide_does_what_it_says(
    cluster: ControlPlane, tmp_path: Path, repository: Path, at_a_desk: dict[str, str]
) -> None:
    cluster.namespace("shop")
    api = cluster.workload("shop", "api", 1)
    cluster.workload("shop", "postgres", 1, kind="StatefulSet")
    blocks = BLOCK.findall((repository / "docs" / "kubernetes.md").read_text(encoding="utf-8"))
    said = [typed(block, tmp_path, at_a_desk) for block in blocks]
    assert len(said) >= 10

    def of(words: str) -> str:
        (output,) = (out for out, block in zip(said, blocks, strict=True) if words in block)
        return output

    shown = of("kubernetes show")
    assert "api: Deployment shop/api\ndatabase: StatefulSet shop/postgres\n" in shown
    assert "api (Deployment shop/api): 1 desired; 1 ready; 1 in " in shown
    assert "WouldScale" in of("reason=WouldScale")  # 1 is below the 2 that the service has at least
    assert "wedtwin/decisions" in of("jsonpath")
    assert cluster.ask("GET", api)["spec"]["replicas"] >= 2
    assert "serviceaccount/wedtwin" in of("apply -k deploy/kubernetes\n")
    for path in ("deployments/engine", "deployments/engine/scale"):
        assert cluster.is_there(f"/apis/apps/v1/namespaces/wedtwin/{path}")
    # The pod passes what the namespace demands of its pods.
    engine = "/apis/apps/v1/namespaces/wedtwin/deployments/engine"
    until(
        lambda: (
            cluster.ask("GET", engine)["status"].get("unavailableReplicas")
            or cluster.ask("GET", engine)["status"].get("readyReplicas")
        ),
        "the engine's pod",
    )
    pods = cluster.ask("GET", "/api/v1/namespaces/wedtwin/pods")["items"]
    assert pods


def test_the_example_arguments_are_a_configuration(repository: Path) -> None:
    from engine.config.composition import composed
    from engine.config.live import parse

    folder = repository / "deploy" / "kubernetes"
    arguments = (folder / "arguments").read_text().split()
    patch = yaml.safe_load((folder / "reachable" / "tls.yaml").read_text())
    (more,) = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    config = parse(composed([*arguments, *more["value"].split()], root="live"))
    assert config.engine.mode == "recommend_only"
    assert config.infrastructure.options["namespace"] == "shop"
    assert config.api.address == "0.0.0.0"
    assert config.api.tls is not None
