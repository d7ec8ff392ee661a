"""`metrics.k8s.io` as a test wants it, behind the API server: what an HPA measures."""

from __future__ import annotations

import http.server
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.control_plane import ControlPlane

GROUP = "metrics.k8s.io"
RESOURCES = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1beta1",
    "resources": [
        {"name": "pods", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]}
    ],
}

Asked = Callable[[str, str], list[dict[str, object]]]
"""Namespace and selector to the items of a PodMetricsList."""


@contextmanager
def metrics_api(cluster: ControlPlane, asked: Asked) -> Iterator[None]:
    """Serve it; each question of the HPA controller is handed to `asked`."""

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            steps = parts.path.strip("/").split("/")
            body: dict[str, object] = RESOURCES
            if steps[3:4] == ["namespaces"] and steps[5:] == ["pods"]:
                selector = parse_qs(parts.query).get("labelSelector", [""])[0]
                body = {
                    "kind": "PodMetricsList", "apiVersion": f"{GROUP}/v1beta1", "metadata": {},
                    "items": asked(steps[4], selector),
                }  # fmt: skip
            content = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    certificate = cluster.authority.issue_cert("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "metrics.pem"
        file.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
        context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    service = "/api/v1/namespaces/default/services"
    registered = "/apis/apiregistration.k8s.io/v1/apiservices"
    try:
        cluster.ask("POST", service, {
            "metadata": {"name": "metrics"},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        })  # fmt: skip
        cluster.ask("POST", registered, {
            "metadata": {"name": f"v1beta1.{GROUP}"},
            "spec": {
                "group": GROUP, "version": "v1beta1", "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": {
                    "name": "metrics", "namespace": "default", "port": server.server_port,
                },
            },
        })  # fmt: skip
        yield
    finally:
        cluster.ask("DELETE", f"{registered}/v1beta1.{GROUP}")
        cluster.ask("DELETE", f"{service}/metrics")
        server.shutdown()
        server.server_close()
