"""The load of the past, of a real Prometheus whose blocks were made beforehand."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.adapters import load_prometheus
from engine.config.strict import ConfigError
from tests.integration.metrics.conftest import Prometheus

DAYS, STEP_S = 40, 300.0
END_S = math.floor((time.time() - 3 * 86_400.0) / STEP_S) * STEP_S
BEGIN_S = END_S - DAYS * 86_400.0


class Keeping(Prometheus):
    """One that keeps what is older than a fortnight."""

    def command(self) -> list[str]:
        return [*super().command(), "--storage.tsdb.retention.time=1y"]


def rate(service: str, time_s: float) -> float:
    """What came to a service."""
    return (2.0 if service == "shop" else 1.0) * (100.0 + math.floor(time_s / STEP_S) % 288)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A running Prometheus with forty days of two services, a day of them missing."""
    if shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed: sudo apt-get install prometheus")
    folder = tmp_path_factory.mktemp("past")
    lines = ["# TYPE load gauge"]
    for service in ("shop", "database"):
        for k in range(DAYS * 288):
            time_s = BEGIN_S + (k + 1) * STEP_S
            if not 288 * 5 <= k < 288 * 6:
                lines.append(f'load{{service="{service}"}} {rate(service, time_s)} {time_s:.0f}')
    (folder / "past.txt").write_text("\n".join([*lines, "# EOF", ""]))
    (folder / "prometheus.yml").write_text("scrape_configs: []\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "past.txt", "tsdb",
         f"--max-block-duration={24 * DAYS}h"],  # it reads the whole file for each block
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    server = Keeping(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def options(server: Prometheus, **other: Any) -> dict[str, Any]:
    return {
        "url": server.url, "names": {"api": "shop"},
        "queries": {"request_rate": "sum by (service) (last_over_time(load[4m]))"}, **other,
    }  # fmt: skip


@pytest.mark.parametrize(
    "expression", ["sum by (service) (last_over_time(load[4m]))",
                   'sum(last_over_time(load{service="{service}"}[4m]))'],
)  # fmt: skip
def test_each_step_has_what_was_measured_at_its_end_and_gaps_are_gaps(
    past: Prometheus, expression: str
) -> None:
    asked = options(past, queries={"request_rate": expression})
    load = load_prometheus.read(asked, ["api", "database"], BEGIN_S, END_S)
    assert (load.start_s, load.step_s, load.steps) == (BEGIN_S, STEP_S, DAYS * 288)
    for row, service in enumerate(("shop", "database")):
        truth = np.array([rate(service, BEGIN_S + (k + 1) * STEP_S) for k in range(load.steps)])
        truth[288 * 5 : 288 * 6] = np.nan
        assert np.array_equal(load.load[row], truth, equal_nan=True)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"queries": {"cpu": "load"}}, "metrics.queries.request_rate: is missing"),
        ({"queries": {"request_rate": "sum("}}, "metrics.url: answered 400: "),
        ({"url": "http://127.0.0.1:1"}, "metrics.url: cannot be asked: "),
        ({"url": "ftp://x"}, "metrics.url: "),
    ],
)
def test_what_cannot_be_asked_is_named(past: Prometheus, other: Any, said: str) -> None:
    with pytest.raises((ConfigError, OSError)) as error:
        load_prometheus.read(options(past, **other), ["api"], BEGIN_S, END_S)
    assert str(error.value).startswith(said), error.value
