"""Samples from a real Prometheus: what is scraped is seen, and nothing else."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import numpy as np
import pytest

from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from tests.integration.metrics.conftest import SCRAPE_S, Exporter, Prometheus, make_spec

SPECS = (make_spec("api"), make_spec("database"))
QUERIES = {
    "sampled": "max by (service) (timestamp(t_cpu))",
    "cpu": "max by (service) (t_cpu)",
    "request_rate": "sum by (service) (rate(t_requests_total[4s]))",
    "p95_s": "max by (service) (t_p95)",
    "queue_depth": 't_queue{service="{service}"}',
}

pytestmark = pytest.mark.xdist_group("prometheus")


def source(url: str, **changes: Any) -> PrometheusSource:
    options = {"url": url, "queries": QUERIES, "timeout_s": 60.0, **changes}
    return PrometheusSource(SPECS, float(SCRAPE_S), PrometheusConfig(**options))


def page(cpu: float, requests: float, p95: str = "0.2", services: str = "api database") -> str:
    lines = []
    for k, name in enumerate(services.split()):
        label = f'{{service="{name}"}}'
        lines += [
            f"t_cpu{label} {cpu + 0.1 * k}",
            f"t_requests_total{label} {requests * (k + 1)}",
            f"t_p95{label} {p95}",
            f"t_queue{label} {7 + k}",
        ]
    return "\n".join([*lines, 't_cpu{service="somebody-else"} 0.9', ""])


def wait_for_scrapes(prometheus: Prometheus, exporter: Exporter, count: int = 2) -> None:
    """Until it has what came of so many scrapes."""
    now_s, before = time.time(), exporter.scrapes
    prometheus.wait_until(lambda: exporter.scrapes >= before + count, "nothing is scraped")
    last_but_one_s = now_s if count == 1 else exporter.arrivals_s[before + count - 2]
    prometheus.wait_until(lambda: prometheus.has_scraped_since(last_but_one_s), "nothing is kept")


@pytest.mark.slow
def test_each_scrape_becomes_one_sample_at_the_time_of_the_scrape(
    prometheus: Prometheus, exporter: Exporter
) -> None:
    wait_for_scrapes(prometheus, exporter)

    async def run() -> list[Any]:
        asked = source(prometheus.url)
        readings = []
        began_s = time.time()
        enough = exporter.scrapes + 8
        exporter.text = lambda: page(0.5, 10.0 * (time.time() - began_s))
        while exporter.scrapes < enough:
            readings.append((time.time(), await asked.read(time.time())))
            await asyncio.sleep(0.5)
        await asked.close()
        return readings

    readings = asyncio.run(run())
    now_s, last = readings[-1]
    assert last.troubles == ()
    for name, cpu, queue in (("api", 0.5, 7.0), ("database", 0.6, 8.0)):
        window = last.windows[name]
        times = window["time_s"]
        # A busy machine scrapes late, or leaves one out; never twice at a time.
        assert 3 <= len(times) <= exporter.scrapes
        assert np.all(np.diff(times) > 0.0)
        assert readings[0][0] < times[-1] <= now_s
        assert window["cpu"][-1] == pytest.approx(cpu)
        assert window["queue_depth"][-1] == queue
        assert np.isnan(window["memory"]).all()  # nobody asked for it
    rates = [np.nanmedian(last.windows[name]["request_rate"]) for name in ("api", "database")]
    assert rates[0] == pytest.approx(10.0, rel=0.3)
    assert rates[1] == pytest.approx(20.0, rel=0.3)


def test_what_is_no_longer_scraped_gets_older_and_is_never_repeated(
    prometheus: Prometheus, exporter: Exporter
) -> None:
    exporter.text = page(0.5, 1.0)
    wait_for_scrapes(prometheus, exporter)
    exporter.text = page(0.5, 1.0, services="api")  # the database's exporter falls silent
    wait_for_scrapes(prometheus, exporter, 5)

    def newest_s(name: str) -> float:
        return float(_read(prometheus).windows[name]["time_s"][-1])

    # One scrape may have been late, and the next ones not.
    prometheus.wait_until(
        lambda: newest_s("api") > newest_s("database") + 3.5 * SCRAPE_S,
        "what is new is not scraped",
    )
    reading = _read(prometheus)
    newest = {name: window["time_s"][-1] for name, window in reading.windows.items()}
    assert newest["api"] > newest["database"] + 3.5 * SCRAPE_S
    assert reading.troubles == ()


def test_a_figure_that_is_no_number_is_a_hole(prometheus: Prometheus, exporter: Exporter) -> None:
    exporter.text = page(0.5, 1.0, p95="NaN")
    wait_for_scrapes(prometheus, exporter)
    first = _read(prometheus)
    exporter.text = page(0.5, 1.0, p95="+Inf")
    wait_for_scrapes(prometheus, exporter)
    for reading in (first, _read(prometheus)):
        row = reading.windows["api"][-1]
        assert math.isnan(row["p95_s"])
        assert row["cpu"] == 0.5


@pytest.mark.slow
def test_after_a_restart_of_prometheus_the_samples_go_on_and_the_gap_stays(
    prometheus: Prometheus, exporter: Exporter
) -> None:
    exporter.text = page(0.5, 1.0)
    wait_for_scrapes(prometheus, exporter)

    async def run() -> tuple[Any, Any, Any, float]:
        asked = source(prometheus.url)
        before = await asked.read(time.time())
        prometheus.kill()
        killed_s = time.time()
        down = await asked.read(time.time())
        await asyncio.sleep(2.0)
        prometheus.start()
        exporter.text = page(0.7, 1.0)
        wait_for_scrapes(prometheus, exporter, 3)
        after = await asked.read(time.time())
        await asked.close()
        return before, down, after, killed_s

    before, down, after, killed_s = asyncio.run(run())
    assert all("cannot be asked" in trouble for trouble in down.troubles)
    assert len(down.troubles) == len(QUERIES)
    # What was known stays, what was not measured is not there.
    assert np.array_equal(down.windows["api"], before.windows["api"], equal_nan=True)
    assert after.troubles == ()
    times = after.windows["api"]["time_s"]
    assert after.windows["api"]["cpu"][-1] == 0.7
    assert np.diff(times).max() >= 2.0
    assert not ((times > killed_s) & (times < killed_s + 1.5)).any()


def test_the_totals_of_a_run_and_the_first_requests_of_its_instances(
    prometheus: Prometheus, exporter: Exporter
) -> None:
    began_s = time.time()
    for k in range(4):
        exporter.text = (
            page(0.5, 100.0 * k)
            + f't_first{{service="api",instance="a"}} {began_s + 1.0}\n'
            + f't_first{{service="api",instance="b"}} {began_s + 2.0}\n'
            + f't_first{{service="api",instance="old"}} {began_s - 100.0}\n'
        )
        wait_for_scrapes(prometheus, exporter, 1)

    async def run() -> tuple[Any, Any]:
        asked = source(
            prometheus.url,
            totals={
                "requests": "sum by (service) (increase(t_requests_total[{span}]))",
                "slow": 't_p95{service="{service}"} > bool {slo_p95_s}',
                "served": "sum by (service) (nothing_of_this_name)",
            },
            first_served="max by (service, instance) (max_over_time(t_first[{span}]))",
        )
        answers = (
            await asked.totals(began_s, time.time()),
            await asked.first_served(began_s, time.time()),
        )
        await asked.close()
        return answers

    totals, first_served = asyncio.run(run())
    assert totals["api"]["requests"] > 100.0
    assert totals["api"]["slow"] == 0.0
    assert "served" not in totals["api"]
    assert first_served["api"] == [
        pytest.approx(began_s + 1.0, abs=0.01),
        pytest.approx(began_s + 2.0, abs=0.01),
    ]


def test_an_expression_that_prometheus_refuses_says_so(prometheus: Prometheus) -> None:
    reading = _read(prometheus, queries={"cpu": "sum by ((", "memory": "t_cpu", "p50_s": "42"})
    assert len(reading.troubles) == 2
    assert "parse error" in reading.troubles[0]
    assert reading.troubles[1] == 'p50_s: no series has the label "service"'


@pytest.mark.slow
def test_victoria_metrics_gives_the_same_samples(victoria: Prometheus, exporter: Exporter) -> None:
    exporter.text = page(0.5, 0.0)
    asked_again = {"parameters": {"nocache": "1"}}
    victoria.wait_until(
        lambda: len(_read(victoria, **asked_again).windows["api"]) > 0, "nothing is scraped"
    )
    exporter.text, changed_s = page(0.8, 0.0, p95="NaN"), time.time()
    victoria.wait_until(
        lambda: _read(victoria, **asked_again).windows["database"]["cpu"][-1] > 0.85,
        "what is new is not scraped",
    )
    reading = _read(victoria, **asked_again)
    window = reading.windows["database"]
    assert reading.troubles == ()
    # A busy machine scrapes late, or leaves one out; never twice at a time.
    assert np.all(np.diff(window["time_s"]) > 0.0)
    assert window["time_s"][-1] > changed_s
    assert window["cpu"][-1] == pytest.approx(0.9)
    assert window["queue_depth"][-1] == 8.0
    exporter.text = None
    failed_s = time.time()
    wait_for_scrapes(victoria, exporter, 4)
    later = _read(victoria, **asked_again).windows["database"]
    assert later["time_s"][-1] <= failed_s


def _read(prometheus: Prometheus, **changes: Any) -> Any:
    async def run() -> Any:
        asked = source(prometheus.url, **changes)
        reading = await asked.read(time.time())
        await asked.close()
        return reading

    return asyncio.run(run())
