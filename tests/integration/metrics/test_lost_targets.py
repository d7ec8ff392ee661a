"""A real Prometheus, and a real VictoriaMetrics, that lose one of a service's two targets."""

from __future__ import annotations

import asyncio
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.adapters import prometheus_answers
from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.ports.metrics import Reading
from tests.integration.metrics.conftest import Exporter, Prometheus, VictoriaMetrics, make_spec

QUERIES = {
    "sampled": "max by (service) (timestamp(t_cpu))",
    "scraped": "avg by (service) (max_over_time(up[3s]))",
    "cpu": "avg by (service) (t_cpu)",
    "request_rate": "sum by (service) (t_rate)",
    "memory": "avg by (service) (t_memory_as_it_was_called_before)",
}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("prometheus")]


@pytest.fixture
def exporters() -> Iterator[tuple[Exporter, Exporter]]:
    pair = (Exporter("t_cpu 0.5\nt_rate 100\n"), Exporter("t_cpu 0.5\nt_rate 100\n"))
    servers = [exporter.start() for exporter in pair]
    yield pair
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(params=["prometheus", "victoria-metrics"])
def server(
    request: pytest.FixtureRequest, exporters: tuple[Exporter, Exporter], tmp_path: Path
) -> Iterator[Prometheus]:
    program = str(request.param)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: sudo apt-get install {program}")
    targets = ", ".join(f"'127.0.0.1:{exporter.port}'" for exporter in exporters)
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: test\n"
        f"    static_configs: [{{targets: [{targets}], labels: {{service: api}}}}]\n"
    )
    running = {"prometheus": Prometheus, "victoria-metrics": VictoriaMetrics}[program](tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def test_half_of_a_rate_is_told_and_not_taken_for_the_rate(
    server: Prometheus, exporters: tuple[Exporter, Exporter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_answers, "PATIENCE_S", 2.0)
    parameters = {"nocache": "1"} if isinstance(server, VictoriaMetrics) else {}
    config = PrometheusConfig.model_validate(
        {"url": server.url, "queries": QUERIES, "timeout_s": 30.0, "parameters": parameters}
    )

    async def until(source: PrometheusSource, there: Callable[[Reading], bool]) -> Reading:
        end_s = time.monotonic() + 300.0
        while True:
            reading = await source.read(time.time())
            if there(reading):
                return reading
            assert time.monotonic() < end_s, (reading.troubles, reading.windows["api"][-3:])
            await asyncio.sleep(0.5)

    async def run() -> tuple[Reading, Reading, Reading]:
        source = PrometheusSource([make_spec("api")], 1.0, config)
        whole = await until(source, lambda r: _newest_rate(r) == 200.0)
        exporters[1].text = None
        half = await until(source, _is_half)
        exporters[1].text = exporters[0].text
        again = await until(source, lambda r: all(t.startswith("memory") for t in r.troubles))
        await source.close()
        return whole, half, again

    whole, half, again = asyncio.run(run())
    (lost,) = (text for text in half.troubles if "not scraped" in text)
    assert lost == (
        f"scraped of api: some targets are not scraped by {QUERIES['scraped']}; "
        "request_rate and queue_depth are not used"
    )
    rates = half.windows["api"]["request_rate"]
    assert math.isnan(rates[-1])
    assert half.windows["api"]["cpu"][-1] == 0.5
    # Between the last scrape of a target and the moment when that shows there may be a half.
    assert set(whole.windows["api"]["request_rate"].tolist()[-1:]) == {200.0}
    # The figure that has another name now is told beside it, and is still missing afterwards.
    assert any(text.startswith("memory of api: no series") for text in half.troubles)
    assert all(text.startswith("memory") for text in again.troubles)


def _is_half(reading: Reading) -> bool:
    """One target is lost, and told, and the other one was scraped since."""
    window = reading.windows["api"]
    lost, renamed = (
        any(words in text for text in reading.troubles) for words in ("not scraped", "memory of")
    )
    return bool(
        lost and renamed and len(window) and math.isnan(window["request_rate"][-1])
        and window["cpu"][-1] == 0.5
    )  # fmt: skip


def _newest_rate(reading: Reading) -> float:
    window = reading.windows["api"]
    return float(window["request_rate"][-1]) if len(window) else math.nan
