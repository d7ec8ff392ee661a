"""The bench starts its workers as an engine does that is told to by the configuration."""

from __future__ import annotations

from importlib import resources

import yaml

from twin.staging.worker_environment import WORKER


def test_an_engine_starts_the_workers_as_the_bench_does() -> None:
    text = resources.files("conf").joinpath("infrastructure/haproxy.yaml").read_text()
    options = yaml.safe_load(text)["options"]
    assert tuple(options["worker"]) == WORKER.command
    assert options["environment"] == WORKER.environment
