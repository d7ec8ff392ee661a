"""A server that answers anything but samples: each is trouble, none becomes a sample."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from engine.adapters.prometheus import PrometheusConfig, PrometheusSource, connect
from tests.integration.metrics.conftest import make_spec
from twin.staging.ports import free_ports

SPECS = (make_spec("api"), make_spec("database"))
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + body


def matrix(*series: Any, kind: str = "matrix") -> bytes:
    answer = {"resultType": kind, "result": list(series)}
    return head(json.dumps({"status": "success", "data": answer}).encode())


def of(service: str, values: Any) -> dict[str, Any]:
    return {"metric": {"service": service}, "values": values}


def says(message: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(message)
        await writer.drain()

    return answer


async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600.0)


async def in_drops(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


NOW_S = 1_700_000_000.0
ERROR = b'{"status": "error", "errorType": "timeout", "error": "query timed out"}'

CASES: dict[str, tuple[Answer, str]] = {
    "a page instead of JSON": (
        says(head(b"<html>Welcome</html>", kind="text/html")), "HTTP 200, no JSON: '<html>Welcome",
    ),
    "an error page": (says(head(b"oops", "500 Server Error")), "HTTP 500, no JSON: 'oops'"),
    "an error of the API": (says(head(ERROR, "503 Unavailable")), "HTTP 503: query timed out"),
    "nothing": (says(head(b"")), "no JSON"),
    "a list": (says(head(b"[]")), "not successful"),
    "a redirect": (says(head(b"", "302 Found\r\nLocation: http://127.0.0.1:1/")), "HTTP 302"),
    "a string result": (says(matrix(kind="string")), "no series"),
    "half a series": (says(matrix({"metric": {"service": "api"}})), "no series of numbers"),
    "words for numbers": (says(matrix(of("api", [[NOW_S, "much"]]))), "no series of numbers"),
    "two series of one": (
        says(matrix(of("api", [[NOW_S, "1"]]), of("api", [[NOW_S, "2"]]))), "several series",
    ),
    "more than anybody asked for": (says(head(b"[" + b"1," * 400_000 + b"1]")), "larger than"),
    "silence": (never, "no answer within 0.4 s"),
    "drops": (in_drops, "no answer within 0.4 s"),
    "half an answer": (hangs_up, "cannot be asked"),
}  # fmt: skip


def read(answer: Answer, rounds: int = 1, **changes: Any) -> list[Any]:
    """So many rounds against a server that answers like this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run() -> list[Any]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = {"queries": {"cpu": "c"}, "timeout_s": 60.0, "max_mib": 0.5, **changes}
        config = PrometheusConfig(url=f"http://127.0.0.1:{port}", **options)
        source = PrometheusSource(SPECS, 5.0, config)
        readings = [await source.read(NOW_S) for _ in range(rounds)]
        await source.close()
        server.close()
        return readings

    return asyncio.run(run())


@pytest.mark.parametrize("name", CASES)
def test_it_is_trouble_and_no_sample(name: str) -> None:
    answer, said = CASES[name]
    slow = {"timeout_s": 0.4} if "0.4 s" in said else {}
    # Before the server is done: some never are.
    first, second = read(answer, rounds=2, **slow)
    for reading in (first, second):
        assert len(reading.troubles) == 1
        assert said in reading.troubles[0]
        assert all(len(window) == 0 for window in reading.windows.values())
    assert first.troubles == second.troubles  # the same words, so that it is told of once


def test_a_port_that_nobody_listens_on_is_trouble() -> None:
    async def run() -> Any:
        config = PrometheusConfig(url=f"http://127.0.0.1:{free_ports(1)[0]}", queries={"cpu": "c"})
        source = PrometheusSource(SPECS, 5.0, config)
        reading = await source.read(NOW_S)
        await source.close()
        return reading

    assert "cannot be asked" in asyncio.run(run()).troubles[0]


def test_a_missing_series_is_a_service_without_samples() -> None:
    (reading,) = read(says(matrix(of("api", [[NOW_S, "0.5"]]))))
    assert reading.troubles == ()
    assert len(reading.windows["api"]) == 1
    assert len(reading.windows["database"]) == 0


def test_one_query_that_fails_leaves_a_hole_that_is_filled_when_it_is_answered() -> None:
    asked = {"cpu": 0, "memory": 0}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = (await reader.read(4096)).decode()
        figure = "cpu" if "query=c" in body else "memory"
        asked[figure] += 1
        if figure == "memory" and asked[figure] == 1:
            writer.write(head(ERROR, "503 Unavailable"))
        else:
            writer.write(matrix(of("api", [[NOW_S - 5.0, "0.5"], [NOW_S, "0.6"]])))
        await writer.drain()

    holed, filled = read(answer, rounds=2, queries={"cpu": "c", "memory": "m"})
    assert [row["memory"] for row in holed.windows["api"]] == pytest.approx(
        [float("nan")] * 2, nan_ok=True
    )
    assert holed.windows["api"]["cpu"].tolist() == [0.5, 0.6]
    assert filled.windows["api"]["memory"].tolist() == [0.5, 0.6]


def test_samples_from_a_clock_that_is_ahead_wait_until_it_is_their_time() -> None:
    ahead = of("api", [[NOW_S, "0.5"], [NOW_S + 60.0, "0.9"]])
    (reading,) = read(says(matrix(ahead)))
    assert reading.windows["api"]["time_s"].tolist() == [NOW_S]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "prometheus:9090"}, "metrics.url"),
        ({"queries": {}}, "metrics.queries"),
        ({"queries": {"speed": "x"}}, '"speed" is not allowed'),
        ({"queries": {"cpu": " "}}, "cpu is empty"),
        ({"queries": {"sampled": "x"}}, "at least one of"),
        ({"totals": {"cost": "x"}}, '"cost" is not allowed'),
        ({"timeout_s": 0}, "metrics.timeout_s"),
        ({"names": {"web": "w"}}, "web is not a service"),
        ({"unknown": 1}, "metrics.unknown"),
    ],
)
def test_a_wrong_key_is_named(options: dict[str, Any], said: str) -> None:
    good = {"url": "http://127.0.0.1:9090", "queries": {"cpu": "c"}}
    with pytest.raises(ValueError, match="metrics") as refused:
        connect(SPECS, 5.0, **(good | options))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("queries", "named"),
    [
        ({"cpu": "c"}, ["sampled", "scraped"]),
        ({"cpu": "c", "sampled": "t"}, ["scraped"]),
        ({"cpu": "c", "sampled": "t", "scraped": "u"}, []),
    ],
)
def test_what_nobody_will_notice_is_said_at_the_start(
    queries: dict[str, str], named: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    connect(SPECS, 5.0, url="http://127.0.0.1:9090", queries=queries)
    assert [message.split()[3].rstrip(":") for message in caplog.messages] == named


def test_figures_and_flags_are_taken_as_the_texts_that_a_query_needs() -> None:
    parameters = {"nocache": 1, "partial_response": False, "extra": "x"}
    config = PrometheusConfig(
        url="http://127.0.0.1:9090", queries={"cpu": "c"}, parameters=parameters
    )
    sent = {name: value.get_secret_value() for name, value in config.parameters.items()}
    assert sent == {"nocache": "1", "partial_response": "false", "extra": "x"}
