"""Answers of Prometheus's HTTP API, through a whole round of questions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.config.strict import validated
from engine.ports.metrics import checked
from tools.fuzz.scratch import NOW_S, SPECS
from tools.fuzz.target import FuzzTarget

AT_S = NOW_S - 5.0


def _answer(**more: Any) -> bytes:
    values = [[AT_S - 5.0, "0.5"], [AT_S, "0.25"]]
    result = [{"metric": {"service": name}, "values": values} for name in ("api", "database", "x")]
    return json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    ).encode()


def _read() -> Callable[[bytes], object]:
    body = [b""]
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, content=body[0], headers={"date": "Fri, 18 Jun 2027 12:00"})
    )
    config = validated(
        PrometheusConfig, {"url": "http://127.0.0.1:1", "queries": {"cpu": "x"}}, "metrics"
    )
    loop = asyncio.new_event_loop()

    def read(given: bytes) -> object:
        body[0] = given
        source = PrometheusSource(SPECS, 5.0, config, transport)
        try:
            reading = loop.run_until_complete(source.read(NOW_S))
            return checked(reading.windows, [spec.name for spec in SPECS])
        finally:
            loop.run_until_complete(source.close())

    return read


TARGET = FuzzTarget(
    "prometheus", (_answer(), _answer(warnings=["slow"], infos=["x"], isPartial=True)), _read, ()
)
