"""A real Kubernetes on free ports of the loopback interface: from etcd to the scheduler.

KWOK plays the nodes and the pods on them: a pod is scheduled for real, is ready after its boot time
(annotation `boot`, such as 500ms) and leaves in half a second.  Everything else is what runs in any
cluster.  `make kube-tools` builds it.
"""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from twin.staging.ports import free_ports

ROOT = Path(__file__).resolve().parent.parent
ADMIN = "administrator-of-the-tests"
PROXY = "proxy-of-the-api-server"
CONTROLLERS = (
    "deployment-controller", "replicaset-controller", "statefulset-controller",
    "horizontal-pod-autoscaler-controller", "garbage-collector-controller",
    "namespace-controller", "node-lifecycle-controller", "serviceaccount-controller",
)  # fmt: skip
PATIENCE_S = 300.0

STAGES = """
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: node-is-there}
spec:
  resourceRef: {apiGroup: v1, kind: Node}
  selector:
    matchExpressions:
    - {key: '.status.conditions.[] | select( .type == "Ready" ) | .status', operator: NotIn, values: ["True"]}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {type: Ready, status: "True", reason: KubeletReady, message: played,
         lastHeartbeatTime: {{ $now | Quote }}, lastTransitionTime: {{ $now | Quote }}}
      phase: Running
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-boots}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.podIP', operator: DoesNotExist}
    - {key: '.metadata.annotations["fails"]', operator: DoesNotExist}
  delay:
    durationMilliseconds: 100
    durationFrom: {expressionFrom: '.metadata.annotations["boot"]'}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {type: Initialized, status: "True", lastTransitionTime: {{ $now | Quote }}}
      - {type: ContainersReady, status: "True", lastTransitionTime: {{ $now | Quote }}}
      - {type: Ready, status: "True", lastTransitionTime: {{ $now | Quote }}}
      containerStatuses:
      {{ range .spec.containers }}
      - {name: {{ .name | Quote }}, image: {{ .image | Quote }}, ready: true, restartCount: 0,
         state: {running: {startedAt: {{ $now | Quote }}}}}
      {{ end }}
      phase: Running
      startTime: {{ $now | Quote }}
      hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
      podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-fails}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: DoesNotExist}
    - {key: '.status.podIP', operator: DoesNotExist}
    - {key: '.metadata.annotations["fails"]', operator: Exists}
  next:
    statusTemplate: |
      {{ $now := Now }}
      conditions:
      - {type: Ready, status: "False", reason: ContainersNotReady, lastTransitionTime: {{ $now | Quote }}}
      containerStatuses:
      {{ range .spec.containers }}
      - {name: {{ .name | Quote }}, image: {{ .image | Quote }}, ready: false, restartCount: 7,
         state: {waiting: {reason: CrashLoopBackOff, message: back-off 5m0s restarting failed container}}}
      {{ end }}
      phase: Running
      startTime: {{ $now | Quote }}
      hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
      podIP: {{ PodIPWith .spec.nodeName ( or .spec.hostNetwork false ) ( or .metadata.uid "" ) ( or .metadata.name "" ) ( or .metadata.namespace "" ) | Quote }}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata: {name: pod-leaves}
spec:
  resourceRef: {apiGroup: v1, kind: Pod}
  selector:
    matchExpressions:
    - {key: '.metadata.deletionTimestamp', operator: Exists}
  delay: {durationMilliseconds: 500}
  next: {finalizers: {empty: true}, delete: true}
"""  # noqa: E501


def tools(what: str = "kubernetes", title: str = "Kubernetes") -> Path:
    """The folder of the programs; skips the test, loudly, where they are not built."""
    where = subprocess.run(
        [sys.executable, str(ROOT / "tools/kube/build.py"), what, "--where"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = Path(where.stdout.strip())
    if not folder.exists():
        pytest.skip(f"no {title} on this machine ({folder}); build it: make kube-tools")
    return folder


class ControlPlane:
    """One cluster; each part can be killed and started again."""

    def __init__(self, programs: Path, folder: Path, *, hpa_sync: str = "1s") -> None:
        self.folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        names = ("etcd", "peer", "api")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.port = ports["api"]
        self.url = f"https://127.0.0.1:{self.port}"
        self.authority = trustme.CA()
        self._write_files()
        etcd, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "peer"))
        kube, config = str(programs / "kube"), str(folder / "kubeconfig")
        part_of_it = {
            "bind-address": "127.0.0.1", "kubeconfig": config, "leader-elect": "false",
            "authentication-kubeconfig": config, "authorization-kubeconfig": config,
            "cert-dir": folder / "certs",
        }  # fmt: skip
        flags: dict[str, dict[str, object]] = {
            "etcd": {
                "data-dir": folder / "etcd", "listen-client-urls": etcd,
                "advertise-client-urls": etcd, "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer, "initial-cluster": f"default={peer}",
                "unsafe-no-fsync": "true", "log-level": "error",
            },
            "apiserver": {
                "etcd-servers": etcd, "secure-port": self.port, "bind-address": "127.0.0.1",
                "advertise-address": "127.0.0.1", "endpoint-reconciler-type": "none",
                "cert-dir": folder / "certs", "tls-cert-file": folder / "server.pem",
                "tls-private-key-file": folder / "server.pem",
                "client-ca-file": folder / "ca.pem", "token-auth-file": folder / "tokens.csv",
                "service-cluster-ip-range": "10.0.0.0/24",
                "service-account-issuer": "https://kubernetes.default.svc",
                "service-account-key-file": folder / "accounts.pub",
                "service-account-signing-key-file": folder / "accounts.key",
                "authorization-mode": "RBAC", "disable-admission-plugins": "ServiceAccount",
                "profiling": "false", "shutdown-delay-duration": "0s",
                "service-account-extend-token-expiration": "false",
                # For servers of further APIs behind it: who asks, as the API server says.
                "requestheader-client-ca-file": folder / "ca.pem",
                "requestheader-allowed-names": PROXY,
                "requestheader-username-headers": "X-Remote-User",
                "requestheader-group-headers": "X-Remote-Group",
                "requestheader-extra-headers-prefix": "X-Remote-Extra-",
                "proxy-client-cert-file": folder / "proxy.pem",
                "proxy-client-key-file": folder / "proxy.pem",
            },
            "controller-manager": {
                **part_of_it, "secure-port": 0,
                "controllers": ",".join(CONTROLLERS), "kube-api-qps": 200, "kube-api-burst": 400,
                "horizontal-pod-autoscaler-sync-period": hpa_sync,
                "node-monitor-grace-period": "1000s",
            },
            "scheduler": {
                **part_of_it, "secure-port": 0, "kube-api-qps": 400,
                "kube-api-burst": 800,
            },
            "kwok": {
                "kubeconfig": config, "manage-all-nodes": "true", "node-ip": "127.0.0.1",
                "config": folder / "stages.yaml",
            },
        }  # fmt: skip
        self._commands = {
            part: [
                *([str(programs / "kwok")] if part == "kwok" else [kube, part]),
                *(f"--{name}={value}" for name, value in given.items()),
            ]
            for part, given in flags.items()
        }
        self._client = httpx.Client(
            base_url=self.url,
            verify=self._context(),
            headers={"Authorization": f"Bearer {ADMIN}"},
            timeout=PATIENCE_S,
            trust_env=False,
        )

    # --- its life

    def up(self) -> None:
        """Start all parts; returns when the API server and its default namespace are there."""
        self.start("etcd")
        self.start("apiserver")
        self.ready()
        for part in ("controller-manager", "scheduler", "kwok"):
            self.start(part)
        until(lambda: self.is_there("/api/v1/namespaces/default"), "the namespace default")

    def start(self, part: str, *more: str) -> None:
        """Start a part, again if it was killed; flags given here come after its own."""
        with (self.folder / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [*self._commands[part], *more], stdout=log, stderr=log, cwd=self.folder
            )

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a part at once; SIGSTOP only stops it."""
        process = self._processes[part]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()
            del self._processes[part]

    def runs(self) -> None:
        """Fails, with the end of its log, for a part that has ended by itself."""
        for part, process in self._processes.items():
            if process.poll() is not None:
                log_end = (self.folder / f"{part}.log").read_text()[-2000:]
                raise AssertionError(f"{part} ended with {process.returncode}: {log_end}")

    def ready(self) -> None:
        """Wait for the API server."""

        def answers() -> bool:
            self.runs()
            try:
                return self._client.get("/readyz", timeout=5.0).text == "ok"
            except httpx.HTTPError:
                return False

        until(answers, "the API server")

    def down(self) -> None:
        """End all parts."""
        for process in reversed(self._processes.values()):
            process.kill()
            process.wait()
        self._client.close()

    # --- what is in it

    def ask(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """One request of its administrator; fails for what is refused."""
        content = None if body is None else json.dumps(body)
        answer = self._client.request(
            method, path, content=content, headers={"Content-Type": kind} if content else {}
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:600]}"
        answered = answer.json()
        assert isinstance(answered, dict)
        return answered

    def is_there(self, path: str) -> bool:
        """Whether there is such an object."""
        return self._client.get(path).status_code == 200

    def merge(self, path: str, change: Mapping[str, object]) -> dict[str, Any]:
        """Change a part of an object, as `kubectl patch` does."""
        return self.ask(
            "PATCH", f"{path}?fieldManager=kubectl", change, "application/merge-patch+json"
        )

    def nodes(self, count: int, pods: int = 110, zones: tuple[str, ...] = ("a", "b", "c")) -> None:
        """More nodes, spread over zones."""
        room = {"cpu": "32", "memory": "256Gi", "pods": str(pods)}
        for n in range(count):
            self.ask("POST", "/api/v1/nodes", {
                "metadata": {
                    "name": f"node-{n}",
                    "labels": {"topology.kubernetes.io/zone": zones[n % len(zones)]},
                    "annotations": {"kwok.x-k8s.io/node": "fake"},
                },
                "status": {"capacity": room, "allocatable": room},
            })  # fmt: skip

        def take_pods() -> bool:
            self.runs()
            given = self.ask("GET", "/api/v1/nodes")["items"]
            return not any(one["spec"].get("taints") for one in given)

        until(take_pods, "nodes that take pods")

    def namespace(self, name: str) -> str:
        """A new namespace."""
        self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def workload(
        self, namespace: str, name: str, count: int, *, kind: str = "Deployment",
        boot: str = "100ms", cpu: str = "10m", **annotations: str,
    ) -> str:  # fmt: skip
        """A Deployment or StatefulSet; returns its path."""
        path = f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s"
        container = {"name": "app", "image": "app", "resources": {"requests": {"cpu": cpu}}}
        meta = {"labels": {"app": name}, "annotations": {"boot": boot, **annotations}}
        own = {"serviceName": name, "podManagementPolicy": "Parallel"}
        self.ask("POST", path, {
            "metadata": {"name": name},
            "spec": {
                "replicas": count,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": meta,
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
                },
                **(own if kind == "StatefulSet" else {}),
            },
        })  # fmt: skip
        return f"{path}/{name}"

    def kubeconfig(self, path: Path, token: str = ADMIN, namespace: str = "default") -> Path:
        """A kubeconfig for whoever has the token."""
        path.write_text(
            json.dumps(_kubeconfig(self.url, self.authority.cert_pem.bytes(), token, namespace)),
            encoding="utf-8",
        )
        return path

    # --- what it needs

    def _context(self) -> Any:
        import ssl

        return ssl.create_default_context(cadata=self.authority.cert_pem.bytes().decode())

    def _write_files(self) -> None:
        folder, server = self.folder, self.authority.issue_cert("127.0.0.1", "localhost")
        (folder / "server.pem").write_bytes(server.private_key_and_cert_chain_pem.bytes())
        (folder / "ca.pem").write_bytes(self.authority.cert_pem.bytes())
        # Without a name it would have an empty list of them, marked critical, which Go refuses.
        proxy = self.authority.issue_cert(f"{PROXY}.example", common_name=PROXY)
        (folder / "proxy.pem").write_bytes(proxy.private_key_and_cert_chain_pem.bytes())
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (folder / "accounts.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        (folder / "accounts.pub").write_bytes(
            key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        (folder / "tokens.csv").write_text(f'{ADMIN},administrator,1,"system:masters"\n')
        (folder / "stages.yaml").write_text(STAGES)
        self.kubeconfig(folder / "kubeconfig")


def _kubeconfig(url: str, authority: bytes, token: str, namespace: str) -> dict[str, object]:
    data = base64.b64encode(authority).decode()
    cluster = {"server": url, "certificate-authority-data": data}
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [
            {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}
        ],
    }  # fmt: skip


@contextmanager
def control_plane(
    programs: Path, *, nodes: int = 3, hpa_sync: str = "1s"
) -> Iterator[ControlPlane]:
    """A cluster that is up, with nodes in three zones; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="wt-kube-", dir="/tmp"))
    made = ControlPlane(programs, folder, hpa_sync=hpa_sync)
    try:
        made.up()
        made.nodes(nodes)
        yield made
    finally:
        made.down()
        shutil.rmtree(folder, ignore_errors=True)


def until(there: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until it is so; fails when it never is."""
    end = time.monotonic() + patience_s
    while not there():
        assert time.monotonic() < end, f"{what} did not come about in {patience_s:g} s"
        time.sleep(0.05)
