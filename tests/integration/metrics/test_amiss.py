"""Answers that were given and are not what was asked for: told within 30 s, until it is well again.

A small server answers each round as a table says; the engine's clock is an argument.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from engine.adapters.prometheus import PrometheusConfig, PrometheusSource
from engine.ports.metrics import Reading
from tests.integration.metrics.conftest import make_spec

NOW_S = 1_700_000_000.0
SPECS = (make_spec("api"), make_spec("database"))
QUERIES = {
    "sampled": "when", "scraped": "share", "cpu": "busy", "request_rate": "arrivals",
    "p95_s": "slowness", "error_rate": "errors", "queue_depth": "waiting",
}  # fmt: skip
FIGURE_OF = {expression: figure for figure, expression in QUERIES.items()}
USUAL = {
    "scraped": 1.0, "cpu": 0.5, "request_rate": 1000.0, "p95_s": 0.2, "error_rate": 0.0,
    "queue_depth": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class Served:
    """What the server says: values of all services, and what is changed for api alone."""

    api: Mapping[str, float | None] = field(default_factory=dict)
    """None: no such series."""
    name: str = "api"
    label: str = "service"
    unnamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By figure: the labels of a series more."""
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What is added to the document of a figure."""
    lag_s: float = 2.0
    spacing_s: float = 5.0
    date_s: float | None = None

    def document(self, figure: str, times: Sequence[float]) -> dict[str, Any]:
        result = []
        for name in ("api", "database"):
            value = ({**USUAL, **self.api} if name == "api" else USUAL).get(figure, 0.0)
            if self.api.get(figure, 0.0) is None and name == "api":
                continue
            labels = {self.label: self.name if name == "api" else name}
            result.append({"metric": labels, "values": [[t, self.text(figure, t, value)]
                                                        for t in times]})  # fmt: skip
        if figure in self.unnamed:
            labels = dict(self.unnamed[figure])
            result.append({"metric": labels, "values": [[t, "500.0"] for t in times]})
        answer = {"resultType": "matrix", "result": result}
        return {"status": "success", "data": answer, **self.beside.get(figure, {})}

    def text(self, figure: str, time_s: float, value: float | None) -> str:
        if figure == "sampled":
            return repr(math.floor(time_s / self.spacing_s) * self.spacing_s - self.lag_s)
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}.get(repr(value), repr(value))


WELL = Served()
EVERYTHING = dict.fromkeys(QUERIES)
STORE = {"warnings": ["receive series from store: connection refused"]}
HALF: dict[str, float | None] = {"request_rate": 500.0}


def readings(rounds: Sequence[Served]) -> list[Reading]:
    """One reading a round, 5 s apart, of one source that meets all of this in turn."""
    at = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        header = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(header.split("content-length: ")[1].split("\r\n")[0])
        asked = urllib.parse.parse_qs((await reader.readexactly(length)).decode())
        begin_s, end_s, step_s = (float(asked[key][0]) for key in ("start", "end", "step"))
        times = [begin_s + k * step_s for k in range(round((end_s - begin_s) / step_s) + 1)]
        now = rounds[at]
        body = json.dumps(now.document(FIGURE_OF[asked["query"][0]], times)).encode()
        date = "" if now.date_s is None else (
            f"Date: {email.utils.formatdate(NOW_S + 5.0 * at + now.date_s, usegmt=True)}\r\n"
        )  # fmt: skip
        writer.write(
            f"HTTP/1.1 200 OK\r\n{date}Content-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    async def run() -> list[Reading]:
        nonlocal at
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        config = PrometheusConfig.model_validate(
            {"url": url, "queries": QUERIES, "timeout_s": 30.0}
        )
        source = PrometheusSource(SPECS, 5.0, config)
        read = []
        for at in range(len(rounds)):
            read.append(await source.read(NOW_S + 5.0 * at))
        await source.close()
        server.close()
        return read

    return asyncio.run(run())


AMISS: dict[str, tuple[Served, tuple[str, ...]]] = {
    "an empty result": (
        Served(api={"p95_s": None}), ("p95_s of api", "slowness has only those of database"),
    ),
    "no series of a service": (Served(api=EVERYTHING), ("api: no series for any figure", "when")),
    "a label's value that was renamed": (
        Served(name="api-v2"), ("api: no series for any figure", "when", '"api-v2"'),
    ),
    "a label that was renamed": (
        Served(label="svc"), ('sampled: no series has the label "service"',),
    ),
    "a label that was renamed on half of the targets": (
        Served(HALF, unnamed={"request_rate": {"svc": "api"}}),
        ("request_rate: some series of arrivals do not say of which service they are",),
    ),
    "a label that is empty on half of the targets": (
        Served(HALF, unnamed={"request_rate": {"service": ""}}),
        ("request_rate: some series of arrivals do not say of which service they are",),
    ),
    "a share in percent": (
        Served(api={"error_rate": 3.0}), ("error_rate of api: more than 1 came of errors",),
    ),
    "a count of targets in place of their share": (
        Served(api={"scraped": 2.0}), ("scraped of api: more than 1 came of share",),
    ),
    "NaN while there are requests": (
        Served(api={"p95_s": math.nan}), ("p95_s of api: NaN came of slowness",),
    ),
    "a rate of NaN": (
        Served(api={"request_rate": math.nan}), ("request_rate of api: NaN came of arrivals",),
    ),
    "infinity": (Served(api={"cpu": math.inf}), ("cpu of api: +Inf came of busy",)),
    "minus infinity at rest": (
        Served(api={"p95_s": -math.inf, "request_rate": 0.0}), ("p95_s of api: -Inf came",),
    ),
    "a negative number": (
        Served(api={"request_rate": -5.0}), ("request_rate of api: a negative number came",),
    ),
    "a warning": (
        Served(HALF, beside={"request_rate": STORE}),
        ("request_rate: came with a warning; not used", "connection refused", "arrivals"),
    ),
    "a warning that is no list": (
        Served(HALF, beside={"request_rate": {"warnings": "store gone"}}),
        ("request_rate: came with a warning; not used", "store gone"),
    ),
    "an error beside values": (
        Served(HALF, beside={"request_rate": {"error": "2 of 4 shards failed"}}),
        ("request_rate: came with a warning; not used", "2 of 4 shards failed"),
    ),
    "an answer of a cluster that calls itself partial": (
        Served(HALF, beside={"request_rate": {"isPartial": True}}),
        ("request_rate: came with a warning; not used", "isPartial", "arrivals"),
    ),
    "an info": (
        Served(beside={"cpu": {"infos": ["PromQL info: metric might not be a counter (1:5)"]}}),
        ("cpu: came with an info", "might not be a counter", "busy"),
    ),
    "a target that is lost": (
        Served(HALF | {"scraped": 0.5}),
        ("scraped of api: some targets are not scraped by share", "request_rate"),
    ),
    "one target of many that is lost": (
        Served(api={"scraped": 0.95}), ("scraped of api: some targets are not scraped by share",),
    ),
    "a clock that is behind, as the samples say": (
        Served(lag_s=62.0), ("sampled: the newest sample of api, database is more than 20 s old",),
    ),
    "a clock that is ahead, as the samples say": (
        Served(lag_s=-58.0), ("sampled: the newest sample of api, database is 60 s in the future",),
    ),
    "a clock that is behind, as the server says": (
        Served(date_s=-60.0), ("clock: that of Prometheus is 60 s behind ours",),
    ),
    "a clock that is ahead, as the server says": (
        Served(date_s=60.0), ("clock: that of Prometheus is 60 s ahead of ours",),
    ),
    "an error with the status of a success": (
        Served(beside={"cpu": {"status": "error", "error": "duplicate series"}}),
        ("cpu: HTTP 200: duplicate series",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AMISS)
def test_it_is_told_within_half_a_minute_and_no_longer_when_all_is_well(name: str) -> None:
    served, said = AMISS[name]
    read = readings([WELL, *[served] * 6, *[WELL] * 16])
    assert read[0].troubles == ()
    (trouble, *more) = read[6].troubles
    assert all(words in trouble for words in said), trouble
    assert not more or "no series has the label" in trouble  # each figure says that for itself
    assert read[-1].troubles == ()
    assert read[5].troubles in ((), read[6].troubles)  # the same words as long as it lasts


AT_REST: dict[str, Served] = {
    "0/0": replace(
        WELL,
        api={"request_rate": 0.0, "p95_s": math.nan, "error_rate": math.nan, "cpu": math.nan},
    ),
    "no responses yet": replace(WELL, api={"request_rate": 0.0, "p95_s": None, "error_rate": None}),
    "samples that are a minute apart": replace(WELL, spacing_s=60.0),
    "a server of another day": replace(WELL, date_s=-3e7),
    "a clock that is a little off": replace(WELL, date_s=4.0),
}


@pytest.mark.parametrize("name", AT_REST)
def test_what_is_at_rest_is_not_amiss(name: str) -> None:
    assert [reading.troubles for reading in readings([AT_REST[name]] * 14)] == [()] * 14


@pytest.mark.parametrize("name", [
    "a warning", "an answer of a cluster that calls itself partial", "a target that is lost",
    "a negative number",
])  # fmt: skip
def test_a_part_is_not_taken_for_the_whole(name: str) -> None:
    served, _ = AMISS[name]
    window = readings([WELL, *[served] * 6])[-1].windows["api"]
    rates = window["request_rate"][-4:]
    assert len(window) > 6
    assert all(math.isnan(rate) for rate in rates)
    assert window["cpu"][-4:].tolist() == [0.5] * 4  # what is no sum counts all the same


def test_a_part_is_filled_up_when_the_whole_is_there() -> None:
    served, _ = AMISS["a warning"]
    window = readings([WELL, *[served] * 3, WELL])[-1].windows["api"]
    assert window["request_rate"].tolist() == [1000.0] * len(window)


def test_a_warning_about_the_expression_leaves_its_values() -> None:
    text = "PromQL warning: bucket label is missing"
    served = replace(WELL, beside={"request_rate": {"warnings": [text]}})
    reading = readings([served])[-1]
    assert text in reading.troubles[0]
    assert reading.windows["api"]["request_rate"][-1] == 1000.0


def test_figures_in_an_annotation_do_not_make_it_another_trouble() -> None:
    beside: Callable[[int], Served] = lambda k: replace(  # noqa: E731
        WELL, beside={"p95_s": {"infos": [f"fixed for monotonicity, by {k} at {k * k}"]}}
    )
    first, second = readings([beside(1), beside(23)])
    assert first.troubles == second.troubles != ()


def test_a_scrape_that_was_lost_is_not_told() -> None:
    gap = Served(api=EVERYTHING)
    read = readings([WELL, gap, gap, WELL, gap, gap, WELL])
    assert [reading.troubles for reading in read] == [()] * 7


def test_the_silence_of_a_service_is_told_apart() -> None:
    reading = readings([Served(api=EVERYTHING)] * 5)[-1]
    assert dict(reading.silent) == {"api": reading.troubles[0]}
