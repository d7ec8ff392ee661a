"""A real KEDA on a control plane of the tests: its operator, its metrics adapter, its own kinds.

`make kube-tools` builds it.  It is reached as in any cluster: the API server hands questions for
external metrics on to the adapter, and the adapter asks the operator, which asks the scalers.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.control_plane import ControlPlane, until
from twin.staging.ports import free_ports

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
METRICS = "v1beta1.external.metrics.k8s.io"
PLACE = "keda"


@contextmanager
def keda(programs: Path, cluster: ControlPlane) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """KEDA, ready to be asked by HPAs; its processes by name."""
    for path in sorted((programs / "crds").glob("*.yaml")):
        cluster.ask("POST", CRDS, yaml.safe_load(path.read_text(encoding="utf-8")))
    cluster.namespace(PLACE)
    ports = dict(
        zip(("asked", "served", "operator", "health", "adapter"), free_ports(5), strict=True)
    )
    certificates = _certificates(cluster)
    _served_by(cluster, ports["served"])
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, flags in _flags(cluster, certificates, ports).items():
            with (cluster.folder / f"{name}.log").open("ab") as log:
                processes[name] = subprocess.Popen(
                    [str(programs / name), *(f"--{flag}={value}" for flag, value in flags.items())],
                    stdout=log, stderr=log, cwd=cluster.folder, env=_environment(cluster),
                )  # fmt: skip
        until(lambda: _is_available(cluster, processes), "KEDA's metrics")
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _certificates(cluster: ControlPlane) -> Path:
    """The certificate with which both parts know each other, and the adapter the API server."""
    folder = cluster.folder / "keda"
    folder.mkdir()
    own = cluster.authority.issue_cert("localhost", f"keda-metrics-apiserver.{PLACE}.svc")
    (folder / "ca.crt").write_bytes(cluster.authority.cert_pem.bytes())
    (folder / "tls.key").write_bytes(own.private_key_pem.bytes())
    (folder / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in own.cert_chain_pems))
    return folder


def _flags(
    cluster: ControlPlane, certificates: Path, ports: dict[str, int]
) -> dict[str, dict[str, object]]:
    config = cluster.folder / "kubeconfig"
    return {
        "keda-operator": {
            "kubeconfig": config, "cert-dir": certificates,
            "metrics-service-bind-address": f"127.0.0.1:{ports['asked']}",
            "metrics-bind-address": f"127.0.0.1:{ports['operator']}",
            "health-probe-bind-address": f"127.0.0.1:{ports['health']}",
            "enable-webhook-patching": "false", "enable-apiservice-patching": "false",
            "zap-encoder": "console",
        },
        "keda-adapter": {
            "kubeconfig": config, "lister-kubeconfig": config,
            "authentication-kubeconfig": config, "authorization-kubeconfig": config,
            "secure-port": ports["served"], "bind-address": "127.0.0.1", "port": ports["adapter"],
            "metrics-service-address": f"localhost:{ports['asked']}", "cert-dir": certificates,
            "tls-cert-file": certificates / "tls.crt",
            "tls-private-key-file": certificates / "tls.key",
            "client-ca-file": certificates / "ca.crt",
        },
    }  # fmt: skip


def _environment(cluster: ControlPlane) -> dict[str, str]:
    return {
        **os.environ, "KUBECONFIG": str(cluster.folder / "kubeconfig"), "POD_NAMESPACE": PLACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": PLACE, "POD_NAME": "keda-operator-0",
        "WATCH_NAMESPACE": "",
    }  # fmt: skip


def _served_by(cluster: ControlPlane, port: int) -> None:
    """Tell the API server who answers for external metrics."""
    services = f"/api/v1/namespaces/{PLACE}/services"
    cluster.ask("POST", services, {
        "metadata": {"name": "keda-metrics-apiserver"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    })  # fmt: skip
    cluster.ask("POST", SERVICES, {
        "metadata": {"name": METRICS},
        "spec": {
            "group": "external.metrics.k8s.io", "version": "v1beta1",
            "insecureSkipTLSVerify": True, "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "keda-metrics-apiserver", "namespace": PLACE, "port": port},
        },
    })  # fmt: skip


def _is_available(cluster: ControlPlane, processes: dict[str, subprocess.Popen[bytes]]) -> bool:
    for name, process in processes.items():
        assert process.poll() is None, (cluster.folder / f"{name}.log").read_text()[-2000:]
    status = cluster.ask("GET", f"{SERVICES}/{METRICS}").get("status", {})
    return any(
        (one["type"], one["status"]) == ("Available", "True")
        for one in status.get("conditions", ())
    )
