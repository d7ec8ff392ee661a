"""The figures of single instances, asked of anything with Prometheus's HTTP API."""

from __future__ import annotations

import asyncio
import math
from urllib.parse import parse_qs

import httpx

from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.model import SAMPLE_FIELDS
from engine.ports.metrics import Reading
from tests.unit.engine.conftest import NOW_S, make_spec

SINGLE = {"sampled": "when one", "cpu": "busy one", "p95_s": "slow one"}


class Prometheus:
    """Answers what is asked of each instance; of the services themselves nothing is known."""

    def __init__(self, answers: dict[str, dict[tuple[str, str], str]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = parse_qs(request.content.decode())["query"][0]
        self.asked.append(query)
        single = request.url.path.endswith("/query")
        result = [
            {"metric": {"service": service, "instance": instance}, "value": [NOW_S, value]}
            for (service, instance), value in self.answers.get(query, {}).items()
        ]
        return httpx.Response(200, json={
            "status": "success",
            "data": {"resultType": "vector" if single else "matrix", "result": result},
        })  # fmt: skip


def readings(prometheus: Prometheus, *times_s: float) -> list[Reading]:
    config = PrometheusConfig.model_validate(
        {"url": "http://127.0.0.1:9", "queries": {"cpu": "busy"}, "instances": SINGLE}
    )

    async def run() -> list[Reading]:
        source = PrometheusSource(
            [make_spec("api"), make_spec("database")], 5.0, config, httpx.MockTransport(prometheus)
        )
        made = [await source.read(time_s) for time_s in times_s]
        await source.close()
        return made

    return asyncio.run(run())


def test_each_instance_has_its_figures_at_the_time_of_its_scrape() -> None:
    prometheus = Prometheus({
        "when one": {("api", "a:1"): f"{NOW_S - 3}", ("api", "a:2"): f"{NOW_S - 4}"},
        "busy one": {("api", "a:1"): "0.5", ("api", "a:2"): "0.9", ("elsewhere", "x"): "1"},
        "slow one": {("api", "a:1"): "NaN", ("api", "a:2"): "1.5"},
    })  # fmt: skip
    (reading,) = readings(prometheus, NOW_S)
    assert set(reading.instances) == {"api"}
    own = reading.instances["api"]
    assert own.names == ("a:1", "a:2")
    by_figure = dict(zip(SAMPLE_FIELDS, own.samples.T.tolist(), strict=True))
    assert by_figure["time_s"] == [NOW_S - 3, NOW_S - 4]
    assert by_figure["cpu"] == [0.5, 0.9]
    assert math.isnan(by_figure["p95_s"][0]) and by_figure["p95_s"][1] == 1.5
    assert all(map(math.isnan, by_figure["memory"]))


def test_they_are_asked_for_every_fifteen_seconds_and_known_in_between() -> None:
    prometheus = Prometheus({
        "when one": {("api", "a"): f"{NOW_S}"}, "busy one": {("api", "a"): "0.5"}, "slow one": {},
    })  # fmt: skip
    made = readings(prometheus, *(NOW_S + 5.0 * k for k in range(7)))
    assert prometheus.asked.count("busy one") == 3
    assert all(reading.instances["api"].names == ("a",) for reading in made)


def test_an_instance_of_which_nobody_says_when_it_was_scraped_has_no_time() -> None:
    prometheus = Prometheus({"when one": {}, "busy one": {("api", "a"): "0.5"}, "slow one": {}})
    (reading,) = readings(prometheus, NOW_S)
    assert math.isnan(reading.instances["api"].samples[0, 0])
