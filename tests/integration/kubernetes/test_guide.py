"""The guide's commands as they are printed, and the manifests, on a real control plane."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from engine.adapters.store.sqlite import local_desk
from tests import warm
from tests.control_plane import ControlPlane, tools, until

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.M | re.S)
BRIEF = "live.duration_s=600 engine.sample_s=1 engine.cycle_s=1"
"""A run that is asked to end once it has made as many decisions as in the printed 20 s, or more:
a few seconds of wall time may pass before it has made one."""
ENOUGH = 5
PATIENCE_S = 600.0


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
        **os.environ, "KUBECONFIG": str(config), **warm.write_python(tmp_path / "bin"),
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
    }  # fmt: skip


def typed(block: str, folder: Path, environment: dict[str, str]) -> str:
    """What a block of commands prints; each of them has to succeed."""
    asked: set[int] = set()
    end_s = time.monotonic() + PATIENCE_S
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                out, error = running.communicate(timeout=0.2)
                break
            _end_what_has_decided(folder, asked)
            if time.monotonic() > end_s:
                running.kill()
                pytest.fail(f"it hangs: {block}")
    assert running.returncode == 0, f"{block}\n{out}\n{error}"
    assert "Traceback" not in error, error
    return out


def _end_what_has_decided(folder: Path, asked: set[int]) -> None:
    """Ask an engine that runs in a block to end, once, when it has made steps enough."""
    for leader in (folder / "state").rglob("leader"):
        try:
            pid = json.loads(leader.read_text())["pid"]
            with closing(local_desk(leader.parent)) as desk:
                status = json.loads(desk.status() or "{}")
        except (OSError, ValueError):  # it is only just beginning
            continue
        # What is left of an engine of an earlier block is no process any more.
        is_there = Path(f"/proc/{pid}").exists()
        if is_there and pid not in asked and status.get("pid") == pid and status["steps"] >= ENOUGH:
            asked.add(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def test_each_command_of_the_guide_does_what_it_says(
    cluster: ControlPlane, tmp_path: Path, repository: Path, at_a_desk: dict[str, str]
) -> None:
    cluster.namespace("shop")
    api = cluster.workload("shop", "api", 1)
    for name in ("file-storage", "real-time", "ai-services"):
        cluster.workload("shop", name, 1)
    cluster.workload("shop", "postgres", 1, kind="StatefulSet")
    blocks = BLOCK.findall(
        (repository / "docs" / "guides" / "kubernetes.md").read_text(encoding="utf-8")
    )
    brief = [block.replace("live.duration_s=20", BRIEF) for block in blocks]
    assert sum(block.count(BRIEF) for block in brief) == 4
    said = [typed(block, tmp_path, at_a_desk) for block in brief]
    assert len(said) >= 10

    def of(words: str) -> str:
        (output,) = (out for out, block in zip(said, blocks, strict=True) if words in block)
        return output

    shown = of("kubernetes show")
    assert "database: StatefulSet shop/postgres\n" in shown
    assert "api (Deployment shop/api): 1 desired; 1 ready; 1 in " in shown
    assert "WouldScale" in of("reason=WouldScale")  # 1 is below the 2 that the service has at least
    assert "wedtwin/decisions" in of("jsonpath")
    assert cluster.ask("GET", api)["spec"]["replicas"] >= 2
    assert "wedtwin-lead" in of("get lease wedtwin-lead")
    lead = cluster.ask("GET", "/apis/coordination.k8s.io/v1/namespaces/wedtwin/leases/wedtwin-lead")
    assert lead["spec"]["leaseTransitions"] >= 1
    assert "holderIdentity" not in lead["spec"]  # the engine gave it back
    hpas = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    assert re.search(r" 2 +8 ", of("get hpa api"))  # the floor is the service's least
    released = cluster.ask("GET", f"{hpas}/api")
    assert released["spec"]["minReplicas"] == 1
    assert not any(
        key.startswith("wedtwin/") for key in released["metadata"].get("annotations", {})
    )
    assert "serviceaccount/wedtwin" in of("apply -k deploy/kubernetes/engine\n")


def test_the_manifests_make_a_pod_that_passes_what_its_namespace_demands(
    cluster: ControlPlane, tmp_path: Path, at_a_desk: dict[str, str]
) -> None:
    for folder in ("engine", "reachable"):
        typed(f"kubectl apply -k deploy/kubernetes/{folder}", tmp_path, at_a_desk)
    inside = "/api/v1/namespaces/wedtwin"
    labels = cluster.ask("GET", inside)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    until(lambda: cluster.ask("GET", f"{inside}/pods")["items"], "the engine's pod")
    (port,) = cluster.ask("GET", f"{inside}/services/engine")["spec"]["ports"]
    assert port["port"] == 8700
    engine = cluster.ask("GET", "/apis/apps/v1/namespaces/wedtwin/deployments/engine")["spec"]
    (container,) = engine["template"]["spec"]["containers"]
    assert {"/state", "/etc/wedtwin", "/tmp", "/tls"} == {
        mount["mountPath"] for mount in container["volumeMounts"]
    }


def test_several_engines_have_a_volume_each(
    cluster: ControlPlane, tmp_path: Path, repository: Path, at_a_desk: dict[str, str]
) -> None:
    guide = (repository / "docs" / "guides" / "many-engines.md").read_text(encoding="utf-8")
    (block,) = BLOCK.findall(guide)
    typed(block, tmp_path, at_a_desk)
    inside = "/api/v1/namespaces/wedtwin"
    claims = {f"state-engine-{n}" for n in range(3)}
    until(
        lambda: (
            claims
            <= {
                claim["metadata"]["name"]
                for claim in cluster.ask("GET", f"{inside}/persistentvolumeclaims")["items"]
            }
        ),
        "a claim for each of the engines",
    )
    pods = {
        pod["metadata"]["name"]: pod["spec"]
        for pod in cluster.ask("GET", f"{inside}/pods")["items"]
    }
    for n in range(3):
        volumes = {volume["name"]: volume for volume in pods[f"engine-{n}"]["volumes"]}
        assert volumes["state"]["persistentVolumeClaim"]["claimName"] == f"state-engine-{n}"
        (container,) = pods[f"engine-{n}"]["containers"]
        (store,) = container["env"]
        assert store["valueFrom"]["secretKeyRef"]["name"] == "engines-store"
    made = yaml.safe_load_all(
        typed("kubectl kustomize deploy/kubernetes/engines", tmp_path, at_a_desk)
    )
    kinds = [one["kind"] for one in made]
    assert "StatefulSet" in kinds and "PodDisruptionBudget" in kinds
    assert not {"Deployment", "PersistentVolumeClaim"} & set(kinds)


def test_the_example_arguments_of_several_engines_are_a_configuration(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.config.composition import composed
    from engine.config.live import parse
    from engine.config.secrets import revealed

    monkeypatch.setenv("WEDTWIN_STORE", "postgresql://wedtwin@db/wedtwin")
    arguments = repository / "deploy" / "kubernetes" / "engines" / "arguments"
    config = parse(composed(arguments.read_text().split(), root="live"))
    assert config.live.lease == "shards"
    assert revealed({"store": config.live.store})["store"] == "postgresql://wedtwin@db/wedtwin"


def test_the_example_arguments_are_a_configuration(repository: Path) -> None:
    from engine.config.composition import composed
    from engine.config.live import parse

    folder = repository / "deploy" / "kubernetes"
    arguments = (folder / "engine" / "arguments").read_text().split()
    patch = yaml.safe_load((folder / "reachable" / "tls.yaml").read_text())
    (more,) = patch["spec"]["template"]["spec"]["containers"][0]["env"]
    config = parse(composed([*arguments, *more["value"].split()], root="live"))
    assert config.engine.mode == "recommend_only"
    assert config.infrastructure.options["namespace"] == "shop"
    assert config.api.address == "0.0.0.0"
    assert config.api.tls is not None
