"""Where the API server is and who asks it, from what people and clusters leave lying about."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from engine.adapters.kubernetes.access import AccessError, access_of
from engine.adapters.kubernetes.settings import KubernetesConfig

AUTHORITY = trustme.CA()
MACHINE = AUTHORITY.issue_cert("engine.test")


def encoded(blob: trustme.Blob) -> str:
    return base64.b64encode(blob.bytes()).decode()


def kubeconfig(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> Path:
    """One that is right, but for what `change` makes of it."""
    tree: dict[str, Any] = {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {
            "server": "https://10.1.2.3:6443/",
            "certificate-authority-data": encoded(AUTHORITY.cert_pem),
        }}],
        "users": [{"name": "u", "user": {"token": "secret-of-the-test"}}],
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}
        ],
    }  # fmt: skip
    change(tree)
    path = folder / "config"
    path.write_text(json.dumps(tree))
    return path


def cluster(tree: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = tree["clusters"][0]["cluster"]
    return entry


def user(tree: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = tree["users"][0]["user"]
    return entry


def config(path: Path, **more: Any) -> KubernetesConfig:
    return KubernetesConfig.of({"kubeconfig": str(path), **more})


def test_a_kubeconfig_says_where_who_and_in_which_namespace(tmp_path: Path) -> None:
    access = access_of(config(kubeconfig(tmp_path)))
    assert (access.url, access.namespace) == ("https://10.1.2.3:6443", "shop")
    assert access.headers() == {"Authorization": "Bearer secret-of-the-test"}
    assert access.context.check_hostname
    assert access_of(config(tmp_path / "config", namespace="else")).namespace == "else"


def test_a_file_beside_the_kubeconfig_is_named_relative_to_it(tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        del cluster(tree)["certificate-authority-data"]
        cluster(tree)["certificate-authority"] = "ca.pem"
        tree["users"][0]["user"] = {"tokenFile": "token"}

    (tmp_path / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    (tmp_path / "token").write_text("token-of-the-morning\n")
    access = access_of(config(kubeconfig(tmp_path, change)))
    assert access.headers() == {"Authorization": "Bearer token-of-the-morning"}
    (tmp_path / "token").write_text("token-of-the-evening\n")
    assert access.headers() == {"Authorization": "Bearer token-of-the-evening"}


def test_a_certificate_is_shown_where_there_is_one(tmp_path: Path) -> None:
    def change(tree: dict[str, Any]) -> None:
        tree["users"][0]["user"] = {
            "client-certificate-data": encoded(MACHINE.cert_chain_pems[0]),
            "client-key-data": encoded(MACHINE.private_key_pem),
        }

    assert access_of(config(kubeconfig(tmp_path, change))).headers() == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("current-context"), "no current-context"),
        (lambda t: t.update({"current-context": "x"}), 'no context "x" (there are: here)'),
        (lambda t: t.update(clusters=[]), 'no cluster "c" (there are: none)'),
        (lambda t: cluster(t).update(server="http://10.1.2.3"), "is not allowed (https://…)"),
        (lambda t: cluster(t).update(server="https://169.254.169.254"), "169.254.169.254"),
        (lambda t: cluster(t).update({"insecure-skip-tls-verify": True}), "certificate-authority"),
        (lambda t: cluster(t).update({"certificate-authority-data": "?"}), "no base64"),
        (lambda t: cluster(t).update({"certificate-authority-data": "aGVsbG8="}), "cannot be used"),
        (lambda t: user(t).update(exec={"command": "aws"}), "has exec, which is not supported"),
        (lambda t: user(t).update({"client-certificate": "x"}), "one of client-certificate and"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_named_with_its_file(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    path = kubeconfig(tmp_path, change)
    with pytest.raises(AccessError) as caught:
        access_of(config(path))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "secret-of-the-test" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"), [("[", "is no YAML"), ("- a", "holds no kubeconfig"), (None, "No such file")]
)
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "config").write_text(text)
    with pytest.raises(AccessError, match=said):
        access_of(config(tmp_path / "config"))


def account(folder: Path) -> Path:
    (folder / "token").write_text("of-the-pod")
    (folder / "namespace").write_text("wedtwin\n")
    (folder / "ca.crt").write_bytes(AUTHORITY.cert_pem.bytes())
    return folder


def test_in_a_pod_its_own_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    access = access_of(KubernetesConfig.of({}), account(tmp_path))
    assert (access.url, access.namespace) == ("https://[fd00::1]:443", "wedtwin")
    assert access.headers() == {"Authorization": "Bearer of-the-pod"}
    (tmp_path / "token").write_text("")
    with pytest.raises(AccessError, match="is empty"):
        access.headers()


def test_outside_of_a_pod_what_the_environment_names_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path)))
    assert access_of(KubernetesConfig.of({}), tmp_path / "nowhere").namespace == "shop"
