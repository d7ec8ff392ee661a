"""Real senders write to the API: Debian's Prometheus, vmagent, and the compliance suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.config.strict import validated
from engine.ingest.settings import ReceivedConfig
from engine.ingest.sources import ReceivedSource
from tests.integration.metrics.conftest import SCRAPE_S, Exporter, Prometheus
from twin.evidence.measures.ingest import receiving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prometheus")]

SUITE = "WEDTWIN_REMOTE_WRITE_SUITE"
MODULE = "github.com/prometheus/compliance/remotewrite/receiver"
VERSION = "v0.0.0-20260806071727-67b8327a2e93"
NAMED = "github.com/prometheus/complicance/remotewrite2"
"""What the suite's go.mod calls itself."""
BUILD = (
    "mkdir suite && cd suite && go mod init suite && "
    f"go mod edit -require={NAMED}@v0.0.0 -replace={NAMED}={MODULE}@{VERSION} && "
    f"GOFLAGS=-mod=mod go test -c -o receiver.test {NAMED} && "
    f"export {SUITE}=$PWD/receiver.test"
)
CONFIG = {
    "figures": {
        "cpu": {"metric": "t_cpu", "take": "average"},
        "request_rate": {"metric": "t_requests_total", "take": "rate"},
    },
    "keep": None,
}


@dataclass(frozen=True)
class Receiving:
    """The engine's API, and a file with a token of somebody who may send."""

    source: ReceivedSource
    url: str
    token_file: Path


@contextmanager
def engine_in(folder: Path) -> Iterator[Receiving]:
    with receiving(folder, validated(ReceivedConfig, CONFIG)) as loopback:
        token_file = folder / "token"
        token_file.write_text(loopback.token)
        yield Receiving(loopback.source, f"{loopback.url}/api/v1/write", token_file)


def keep_serving(exporter: Exporter, until: Callable[[], bool]) -> None:
    """Serve a counter of 10 requests/s until it is so."""
    began_s, end_s = time.time(), time.monotonic() + 300.0
    while not until():
        assert time.monotonic() < end_s, "nothing usable came"
        requests = 10.0 * (time.time() - began_s)
        exporter.text = (
            f't_cpu{{service="api"}} 0.5\nt_requests_total{{service="api"}} {requests}\n'
            f't_requests_total{{service="database"}} {2 * requests}\n'
        )
        time.sleep(0.1)


def has_arrived(source: ReceivedSource) -> bool:
    windows = source.round(time.time()).windows
    rates = [windows[name]["request_rate"][-1:] for name in ("api", "database")]
    return len(windows["api"]) >= 2 and all(
        len(rate) and 0.5 * k < rate[0] < 2.0 * k for rate, k in zip(rates, (10, 20), strict=True)
    )


def test_prometheus_writes_what_it_scrapes(exporter: Exporter, tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: sudo apt-get install prometheus")
    with engine_in(tmp_path) as engine:
        (tmp_path / "prometheus.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE_S}s, scrape_timeout: {SCRAPE_S}s}}\n"
            "scrape_configs:\n"
            f"  - {{job_name: t, static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]}}\n"
            "remote_write:\n"
            f"  - url: {engine.url}\n"
            f"    authorization: {{credentials_file: {engine.token_file}}}\n"
            "    queue_config: {batch_send_deadline: 1s}\n"
        )
        server = Prometheus(tmp_path)
        server.start()
        try:
            keep_serving(exporter, lambda: has_arrived(engine.source))
        finally:
            server.kill()
        assert engine.source.intake.refused == {}


def test_vmagent_writes_what_it_scrapes(exporter: Exporter, tmp_path: Path) -> None:
    if shutil.which("vmagent") is None:
        pytest.skip("vmagent is not installed: sudo apt-get install victoria-metrics")
    with engine_in(tmp_path) as engine:
        (tmp_path / "scrape.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE_S}s}}\n"
            "scrape_configs:\n"
            f"  - {{job_name: t, static_configs: [{{targets: ['127.0.0.1:{exporter.port}']}}]}}\n"
        )
        command = [
            "vmagent", f"-promscrape.config={tmp_path / 'scrape.yml'}",
            f"-remoteWrite.url={engine.url}", f"-remoteWrite.bearerTokenFile={engine.token_file}",
            "-remoteWrite.flushInterval=1s", f"-remoteWrite.tmpDataPath={tmp_path / 'queue'}",
            "-httpListenAddr=127.0.0.1:0",
        ]  # fmt: skip
        with (tmp_path / "vmagent.log").open("wb") as log:
            agent = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            keep_serving(exporter, lambda: has_arrived(engine.source))
        finally:
            agent.kill()
            agent.wait()
        assert engine.source.intake.refused == {}


def test_the_compliance_suite_of_the_prometheus_project_passes(tmp_path: Path) -> None:
    suite = os.environ.get(SUITE, "")
    if not suite:
        pytest.skip(f"the suite is not built, which takes ten minutes; type: {BUILD}")
    with engine_in(tmp_path) as engine:
        (tmp_path / "config.yml").write_text(
            f"remote_write: [{{name: wedtwin, url: {engine.url}, "
            f"authorization: {{credentials_file: {engine.token_file}}}}}]\n"
        )
        ended = subprocess.run(
            [suite, "-test.v"], capture_output=True, text=True, timeout=600, check=False,
            env={
                **os.environ,
                "PROMETHEUS_RW2_COMPLIANCE_CONFIG_FILE": str(tmp_path / "config.yml"),
            },
        )  # fmt: skip
    passed = [line for line in ended.stdout.splitlines() if line.startswith("--- PASS")]
    failed = [line for line in ended.stdout.splitlines() if line.startswith("--- FAIL")]
    assert (len(passed), failed) == (39, [])
