"""A real Prometheus that scrapes a small exporter of the test, and a server that misbehaves."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.model import BootTime, ServiceSpec
from twin.staging.ports import free_ports

SCRAPE_S = 1


def make_spec(name: str) -> ServiceSpec:
    """A service of which only the name and the SLO matter here."""
    return ServiceSpec(name, 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)


@dataclass
class Exporter:
    """What is scraped: the test sets the text, or what gives it; None: the scrape fails."""

    text: str | Callable[[], str] | None = ""
    port: int = 0
    scrapes: int = 0
    arrivals_s: list[float] = field(default_factory=list)
    """When each of them came (epoch seconds)."""

    def start(self) -> http.server.ThreadingHTTPServer:
        exporter = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.arrivals_s.append(time.time())
                exporter.scrapes += 1
                text = exporter.text
                if text is None:
                    self.send_error(500)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write((text() if callable(text) else text).encode())

            def log_message(self, *_: object) -> None:
                return

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@dataclass
class Prometheus:
    """The Debian package's server in a folder of its own."""

    folder: Path
    port: int = field(default_factory=lambda: free_ports(1)[0])
    process: subprocess.Popen[bytes] | None = None
    ready = "/api/v1/query?query=1"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "prometheus.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        self.wait_until(self._ready, "the server is not ready")

    def command(self) -> list[str]:
        return [
            "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def wait_until(self, true: Callable[[], bool], otherwise: str, seconds: float = 300.0) -> None:
        until_s = time.monotonic() + seconds
        while not true():
            if time.monotonic() > until_s:
                log = (self.folder / "prometheus.log").read_text()[-500:]
                pytest.fail(f"{otherwise}: {log}")
            time.sleep(0.1)

    def has_scraped_since(self, time_s: float) -> bool:
        """Whether it has what came of a scrape that it began later."""
        query = urllib.parse.urlencode({"query": f"max(timestamp(up)) > {time_s!r}", "nocache": 1})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{query}", timeout=300.0) as answer:
            return bool(json.load(answer)["data"]["result"])

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{self.ready}", timeout=1.0) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


class VictoriaMetrics(Prometheus):
    """The same questions to another server; it is asked to show what it has at once."""

    def command(self) -> list[str]:
        return [
            "victoria-metrics",
            f"-promscrape.config={self.folder / 'prometheus.yml'}",
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-search.latencyOffset=1s",
        ]


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    """The page that Prometheus scrapes."""
    page = Exporter()
    server = page.start()
    yield page
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def prometheus(
    exporter: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A running Prometheus that scrapes the exporter each second."""
    yield from _running(Prometheus, "prometheus", exporter, tmp_path_factory.mktemp("prometheus"))


@pytest.fixture(scope="module")
def victoria(exporter: Exporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The same with VictoriaMetrics."""
    folder = tmp_path_factory.mktemp("victoria")
    yield from _running(VictoriaMetrics, "victoria-metrics", exporter, folder)


def _running(
    kind: type[Prometheus], program: str, exporter: Exporter, folder: Path
) -> Iterator[Prometheus]:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: sudo apt-get install {program}")
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {SCRAPE_S}s, scrape_timeout: {SCRAPE_S}s}}\n"
        "scrape_configs:\n"
        "  - job_name: test\n"
        "    honor_labels: true\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]\n"
    )
    server = kind(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
