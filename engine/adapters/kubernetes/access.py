"""Where the API server is and who asks it: a kubeconfig, or the account of the pod that this is.

A token is read anew when its file has changed, as Kubernetes renews that of a pod each hour.  The
server's certificate is always checked.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.config.secrets import learn
from engine.security.addresses import complaint
from engine.security.foreign_yaml import ForeignYamlError, parsed_yaml

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own account."""


class AccessError(ValueError):
    """There is no way to the API server; the message names the file and what it lacks."""


@dataclass(frozen=True, slots=True)
class Access:
    """One way to one API server; `token_file` has precedence over `token`."""

    url: str
    context: ssl.SSLContext
    namespace: str
    said_by: str
    """The file that says so, for people."""
    token: str = ""
    token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        """What says who asks, as of now; raises AccessError when the token cannot be read."""
        token = self.token
        if self.token_file is not None:
            try:
                token = self.token_file.read_text(encoding="utf-8").strip()
            except (OSError, ValueError) as error:
                raise AccessError(f"the token {self.token_file} cannot be read: {error}") from None
            if not token:
                raise AccessError(f"the token {self.token_file} is empty")
        if not token:
            return {}
        if not (token.isascii() and token.isprintable()):
            raise AccessError(f"what {self.said_by} gives as a token is none")
        learn(SecretStr(token))
        return {"Authorization": f"Bearer {token}"}


def access_of(config: KubernetesConfig, account: Path = ACCOUNT) -> Access:
    """The access that is meant; raises AccessError."""
    if config.kubeconfig is None and (account / "token").exists():
        return _of_pod(config, account)
    path = config.kubeconfig or Path(
        os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config"
    )
    return _of_file(path, config)


def _of_pod(config: KubernetesConfig, account: Path) -> Access:
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise AccessError(f"{account} is there, and KUBERNETES_SERVICE_HOST is not set")
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    namespace = config.namespace
    if namespace is None:
        try:
            namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AccessError(f"{account}/namespace cannot be read: {error.strerror}") from None
    return Access(
        _checked(url, str(account)),
        _trusting(str(account), file=account / "ca.crt"),
        namespace,
        str(account),
        token_file=account / "token",
    )


def _of_file(path: Path, config: KubernetesConfig) -> Access:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise AccessError(f"kubeconfig: {path} cannot be read: {why}") from None
    try:
        tree = parsed_yaml(text)
    except ForeignYamlError as error:
        raise AccessError(f"kubeconfig: {path} is {error}") from None
    if not isinstance(tree, Mapping):
        raise AccessError(f"kubeconfig: {path} holds no kubeconfig")
    where = f"kubeconfig: {path}"
    name = config.context or str(tree.get("current-context") or "")
    if not name:
        raise AccessError(f"{where} has no current-context; say which context is meant")
    context = _entry(tree, "contexts", "context", name, where=where)
    cluster_name, user_name = str(context.get("cluster", "")), str(context.get("user", ""))
    cluster = _entry(tree, "clusters", "cluster", cluster_name, where=where)
    user = _entry(tree, "users", "user", user_name, where=where)
    at = f'{where}: the cluster "{cluster_name}"'
    if cluster.get("insecure-skip-tls-verify"):
        raise AccessError(
            f"{at} has insecure-skip-tls-verify: whoever answers would get the token; "
            "give certificate-authority instead"
        )
    who = f'{where}: the user "{user_name}"'
    for way in ("exec", "auth-provider", "username"):
        if user.get(way):
            raise AccessError(
                f"{who} has {way}, which is not supported "
                "(token, tokenFile, client-certificate with client-key)"
            )
    authority = _inline(cluster, "certificate-authority", at)
    verify = _trusting(
        at, data=authority, file=_path(cluster, "certificate-authority", path.parent)
    )
    _show(verify, user, who, path.parent)
    token_file = _path(user, "tokenFile", path.parent)
    return Access(
        _checked(str(cluster.get("server", "")), at),
        verify,
        config.namespace or str(context.get("namespace") or "default"),
        str(path),
        str(user.get("token") or ""),
        token_file,
    )


def _entry(
    tree: Mapping[str, Any], group: str, key: str, name: str, *, where: str
) -> dict[str, Any]:
    entries = tree.get(group) or []
    names = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and entry.get("name") == name:
            found_there = entry.get(key)
            return dict(found_there) if isinstance(found_there, Mapping) else {}
        names.append(str(entry.get("name")) if isinstance(entry, Mapping) else "")
    raise AccessError(f'{where} has no {key} "{name}" (there are: {", ".join(names) or "none"})')


def _checked(url: str, at: str) -> str:
    if not url.startswith("https://"):
        raise AccessError(f'{at}: the server "{url}" is not allowed (https://…)')
    if why := complaint(url):
        raise AccessError(f"{at}: server: {why}")
    return url.rstrip("/")


def _path(entry: Mapping[str, Any], key: str, folder: Path) -> Path | None:
    """A file that is named relative to the kubeconfig's folder."""
    value = entry.get(key)
    return folder / str(value) if value else None


def _inline(entry: Mapping[str, Any], key: str, at: str) -> str:
    """What stands in the file itself, as base64."""
    value = entry.get(f"{key}-data")
    if not value:
        return ""
    try:
        return base64.b64decode(str(value), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise AccessError(f"{at}: {key}-data is no base64 of a PEM") from None


def _trusting(at: str, *, data: str = "", file: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if data:
            context.load_verify_locations(cadata=data)
        elif file is not None:
            context.load_verify_locations(cafile=file)
        else:
            context.load_default_certs()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise AccessError(f"{at}: its certificate-authority cannot be used: {why}") from None
    return context


def _show(context: ssl.SSLContext, user: Mapping[str, Any], who: str, folder: Path) -> None:
    """Show a certificate, if the user has one."""
    certificate, key = (
        (_inline(user, name, who), _path(user, name, folder))
        for name in ("client-certificate", "client-key")
    )
    if not any((*certificate, *key)):
        return
    if not any(certificate) or not any(key):
        raise AccessError(f"{who} has one of client-certificate and client-key only")
    # OpenSSL reads a chain from a file only; this one is ours alone and gone at once.
    with tempfile.TemporaryDirectory() as ours:
        files = []
        for n, (text, path) in enumerate((certificate, key)):
            if text:
                path = Path(ours) / str(n)
                path.touch(mode=0o600)
                path.write_text(text, encoding="ascii")
            assert path is not None
            files.append(path)
        try:
            context.load_cert_chain(files[0], files[1], password=lambda: "")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise AccessError(f"{who}: its client-certificate cannot be used: {why}") from None
