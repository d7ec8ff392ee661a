"""Remote write over HTTP: what the protocol asks of a receiver, case by case.

The cases are those that the Prometheus project's compliance suite for receivers asks for (1.0 and
2.0); `tests/integration/metrics/test_receiving.py` runs the suite itself.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from engine.api.application import application
from engine.api.receiving import Receiving
from engine.ingest.plain import WireVersion
from engine.ingest.rare import TYPES
from engine.ingest.receiver import Receiver, WrittenCounts
from engine.ingest.settings import ReceivedConfig
from engine.ingest.sources import ReceivedSource, received
from engine.security.roles import Role
from tests.remote_write import (
    ONE,
    STALE,
    TWO,
    Histogram,
    Written,
    body_1,
    body_2,
    message_1,
    part,
    series,
    snappy,
    varint,
)
from tests.unit.engine.api.conftest import SPECS, Engine

CONFIG = Path(__file__).parents[4] / "conf" / "metrics" / "received.yaml"
OPTIONS = {k: v for k, v in yaml.safe_load(CONFIG.read_text()).items() if k != "factory"}
WRITTEN = "x-prometheus-remote-write-{}-written"
SAID: list[Counting] = []
"""The receiver of the test that runs."""
PLAIN = [("__name__", "up"), ("instance", "localhost:9090"), ("job", "testjob")]


@dataclass
class Sender:
    """Somebody who may send, and the source that takes it in."""

    source: ReceivedSource
    client: TestClient
    headers: Mapping[str, str]
    now_ms: int

    def send(self, body: bytes, headers: Mapping[str, str] = TWO, **changed: str) -> httpx.Response:
        return self.client.post(
            "/api/v1/write", content=body, headers={**self.headers, **headers, **changed}
        )

    def of(self, *labels: tuple[str, str], value: float = 1.0, before_s: float = 0.0) -> Written:
        """A series with one sample."""
        return Written(labels, [(value, self.now_ms - round(before_s * 1000.0))])


@pytest.fixture
def sender(engine: Engine) -> Iterator[Sender]:
    """An engine that receives."""
    source = received(SPECS, 5.0, **OPTIONS)
    counting = Counting(source.receiver)
    SAID[:] = [counting]
    engine.context.receiving = Receiving(counting)
    engine.context.clock_s = time.time
    with TestClient(application(engine.context), raise_server_exceptions=False) as client:
        yield Sender(
            source, client, engine.token("a sender", Role.COLLECTOR), int(time.time() * 1000)
        )


@dataclass
class Counting:
    """The receiver, and what it said it wrote of each body."""

    inner: Receiver
    said: list[WrittenCounts] = field(default_factory=list)

    @property
    def config(self) -> ReceivedConfig:
        return self.inner.config

    def write(self, body: bytes, version: WireVersion, now_s: float) -> WrittenCounts:
        self.said.append(self.inner.write(body, version, now_s))
        return self.said[-1]


def written(answer: httpx.Response) -> tuple[int, int, int]:
    """Samples, histograms and exemplars, as the answer counts them; to 1.0 it does not."""
    request = answer.request
    if "v2" not in request.headers["content-type"]:
        assert not any("written" in name for name in answer.headers)
        counts = SAID[-1].said[-1]
        return counts.samples, counts.histograms, counts.exemplars
    samples, histograms, exemplars = (
        int(answer.headers[WRITTEN.format(what)]) for what in ("samples", "histograms", "exemplars")
    )
    return samples, histograms, exemplars


# --- what kind of body it is


@pytest.mark.parametrize(
    "changed",
    [
        {"content-type": "application/json"},
        {"content-type": "image/png"},
        {"content-type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
        {"content-type": "application/octet-stream"},
        {"content-type": ""},
        {"content-encoding": "gzip"},
        {"content-encoding": "deflate"},
        {"content-encoding": "zstd"},
        {"content-encoding": "snappy, gzip"},
    ],
)
@pytest.mark.parametrize("headers", [ONE, TWO])
def test_what_it_cannot_read_is_answered_415(
    sender: Sender, headers: Mapping[str, str], changed: Mapping[str, str]
) -> None:
    answer = sender.send(body_2(sender.of(*PLAIN)), headers, **changed)
    assert answer.status_code == 415
    assert answer.json()["type"].endswith("not-remote-write")
    assert sender.source.intake.samples == 0


@pytest.mark.parametrize(
    ("body", "media"),
    [
        (body_1, "application/x-protobuf"),
        (body_1, "application/x-protobuf;proto=prometheus.WriteRequest"),
        (body_1, "Application/X-Protobuf; proto=prometheus.WriteRequest"),
        (body_2, "application/x-protobuf; proto=io.prometheus.write.v2.Request"),
        (body_2, 'application/x-protobuf; proto="io.prometheus.write.v2.Request"'),
    ],
)
def test_each_way_of_naming_the_message_is_read(sender: Sender, body: Any, media: str) -> None:
    answer = sender.send(body(sender.of(*PLAIN)), {**ONE, "content-type": media})
    assert (answer.status_code, written(answer)) == (204, (1, 0, 0))


@pytest.mark.parametrize("headers", [ONE, TWO])
@pytest.mark.parametrize("spoilt", [0x30, 0xFF])
def test_a_corrupt_body_is_answered_400(
    sender: Sender, headers: Mapping[str, str], spoilt: int
) -> None:
    make = body_1 if headers is ONE else body_2
    body = bytearray(make(sender.of(*PLAIN)))
    body[0] = spoilt
    assert sender.send(bytes(body), headers).status_code == 400
    assert sender.source.intake.samples == 0


@pytest.mark.parametrize(("body", "headers"), [(body_1, TWO), (body_2, ONE)])
def test_a_message_of_the_other_version_is_not_taken_for_an_empty_one(
    sender: Sender, body: Any, headers: Mapping[str, str]
) -> None:
    answer = sender.send(body(sender.of(*PLAIN)), headers)
    assert answer.status_code == 400
    assert "other version" in answer.json()["detail"]


@pytest.mark.parametrize("headers", [ONE, TWO])
def test_a_body_without_anything_is_all_written(sender: Sender, headers: Mapping[str, str]) -> None:
    answer = sender.send(snappy(b""), headers)
    assert (answer.status_code, written(answer), answer.content) == (204, (0, 0, 0), b"")


# --- samples


@pytest.mark.parametrize("value", [1.0, STALE, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("body", "headers"), [(body_1, ONE), (body_2, TWO)])
@pytest.mark.parametrize(
    ("labels", "status"),
    [
        ([("__name__", "up")], 204),
        (PLAIN, 204),
        ([("__name__", "up"), ("instance", "localhost:9090"), ("job", "test\njob\n")], 204),
        ([("__name__", "resource.cpu.usage"), ("job.name", "testjob")], 204),
        ([("__name__", "resource cpu usage"), ("job name", "testjob")], 204),
        ([("__name__", "unicode"), ("region", "🌍")], 204),
        ([("job", "testjob"), ("__name__", "up")], 204),  # not in order, as some senders have it
        ([("instance", "localhost:9090"), ("job", "testjob")], 400),
        ([("__name__", ""), ("job", "testjob")], 400),
        ([("__name__", "up"), ("job", "a"), ("job", "b")], 400),
        ([("__name__", "up"), ("", "a")], 400),
        ([], 400),
    ],
)  # fmt: skip
def test_a_sample_is_written_where_its_series_may_be_called_so(
    sender: Sender, body: Any, headers: Mapping[str, str], labels: Sequence[tuple[str, str]],
    *, status: int, value: float,
) -> None:  # fmt: skip
    answer = sender.send(body(sender.of(*labels, value=value)), headers)
    assert (answer.status_code, written(answer)) == (status, (int(status == 204), 0, 0))


@pytest.mark.parametrize(("body", "headers"), [(body_1, ONE), (body_2, TWO)])
@pytest.mark.parametrize("nameless", [0, 1, 3, 4])
def test_what_may_be_written_of_a_body_is_and_the_rest_is_named(
    sender: Sender, body: Any, headers: Mapping[str, str], nameless: int
) -> None:
    several = [
        sender.of(
            *([] if k < nameless else [("__name__", "up")]),
            ("instance", f"localhost:909{k}"), ("job", "testjob"),
        )
        for k in range(4)
    ]  # fmt: skip
    answer = sender.send(body(*several), headers)
    assert answer.status_code == (204 if nameless == 0 else 400)
    assert written(answer) == (4 - nameless, 0, 0)
    assert sender.source.intake.samples == 4 - nameless
    if nameless:
        assert f"{nameless} × a series with no metric name" in answer.json()["detail"]


def test_labels_that_are_not_utf_8_are_refused(sender: Sender) -> None:
    label = part(1, part(1, b"__name__") + part(2, b"up")) + part(
        1, part(1, b"job") + part(2, b"\xff\xfe")
    )
    raw = part(1, label + part(2, b"\x10" + varint(sender.now_ms)))
    answer = sender.send(snappy(raw), ONE)
    assert (answer.status_code, written(answer)) == (400, (0, 0, 0))
    assert "UTF-8" in answer.json()["detail"]


def test_samples_come_in_any_order_and_more_than_once(sender: Sender) -> None:
    times = [sender.now_ms - 1000 * k for k in (5, 0, 10, 5)]
    one = Written(PLAIN, [(float(k), at_ms) for k, at_ms in enumerate(times)])
    assert written(sender.send(body_1(one), ONE)) == (4, 0, 0)
    assert written(sender.send(body_2(one), TWO)) == (4, 0, 0)  # a sender that had no answer
    _, at_ms, _ = sender.source.intake.between(np.array([0]), 0, 2**62)
    assert sorted(at_ms.tolist()) == sorted(times * 2)
    assert sender.source.intake.series == 1


@pytest.mark.parametrize(
    ("before_s", "why"), [(3600.0, ""), (86_400.0, "too old"), (-3600.0, "of the future")]
)
def test_old_samples_are_written_and_very_old_ones_and_those_of_the_future_refused(
    sender: Sender, before_s: float, why: str
) -> None:
    answer = sender.send(
        body_2(sender.of(("__name__", "old"), before_s=before_s), sender.of(("__name__", "new")))
    )
    assert written(answer)[0] == (1 if why else 2)
    assert answer.status_code == (400 if why else 204)
    assert why in (answer.json()["detail"] if why else "")


def test_a_counter_that_says_when_it_began_has_a_rate_at_once(sender: Sender) -> None:
    one = Written(
        [("__name__", "wedtwin_requests_total"), ("instance", "a"), ("service", "api")],
        [(50.0, sender.now_ms)], created_ms=sender.now_ms - 10_000,
    )  # fmt: skip
    answer = sender.send(body_2(one))
    assert (answer.status_code, written(answer)) == (204, (1, 0, 0))
    now_s = sender.now_ms / 1000.0 + 5.0
    assert sender.source.round(now_s).windows["api"]["request_rate"][-1] == 5.0


# --- exemplars, metadata


@pytest.mark.parametrize(
    "labels",
    [
        {"trace_id": "abc123def456"},
        {"trace_id": "xyz789", "span_id": "span123"},
        {"user_id": "user123"},
        {"trace_id": "a", "user": "admin", "endpoint": "/login"},
        {},
        {"trace_id": "trace-with-dashes_and_underscores.123"},
        {"trace_id": "unicode_trace_测试"},
    ],
)
@pytest.mark.parametrize("value", [1.0, 0.0, -123.456, 1e10, math.nan, math.inf])
@pytest.mark.parametrize(("body", "headers"), [(body_1, ONE), (body_2, TWO)])
def test_exemplars_are_written_and_counted(
    sender: Sender,
    body: Any,
    headers: Mapping[str, str],
    labels: Mapping[str, str],
    *,
    value: float,
) -> None:
    one = Written(
        PLAIN, [(value, sender.now_ms)], [(labels, value, sender.now_ms)], created_ms=sender.now_ms
    )
    answer = sender.send(body(one), headers)
    assert (answer.status_code, written(answer)) == (204, (1, 0, 1))
    assert dict(sender.source.intake.exemplars[-1][1].labels) == labels


def test_several_exemplars_of_several_times_are_all_written(sender: Sender) -> None:
    several = [
        Written([("__name__", "latency")], [(0.1, sender.now_ms - ago_ms)],
                [({"trace_id": f"t{ago_ms}"}, 0.1, sender.now_ms - ago_ms)])
        for ago_ms in (3_600_000, 60_000, 0)
    ]  # fmt: skip
    answer = sender.send(body_2(*several))
    assert (answer.status_code, written(answer)) == (204, (3, 0, 3))


def test_exemplars_and_metadata_need_no_sample(sender: Sender) -> None:
    answer = sender.send(
        body_2(Written([("__name__", "orphan")], exemplars=[({"a": "b"}, 42.0, sender.now_ms)]))
    )
    assert (answer.status_code, written(answer)) == (204, (0, 0, 1))
    answer = sender.send(body_2(Written([("__name__", "other")], metadata=(1, "help", "unit"))))
    assert (answer.status_code, written(answer)) == (204, (0, 0, 0))
    assert sender.source.intake.families["other"].kind == "counter"


@pytest.mark.parametrize("labels", [[("job", "test")], [("__name__", "")]])
def test_exemplars_and_metadata_of_a_series_without_a_name_are_refused(
    sender: Sender, labels: Sequence[tuple[str, str]]
) -> None:
    one = Written(
        labels, [(1.0, sender.now_ms)], [({"trace_id": "t"}, 1.0, sender.now_ms)],
        metadata=(2, "help", "unit"),
    )  # fmt: skip
    answer = sender.send(body_2(one))
    assert (answer.status_code, written(answer)) == (400, (0, 0, 0))
    assert not sender.source.intake.families


@pytest.mark.parametrize(
    ("kind", "name"),
    list(enumerate(TYPES)),
)
@pytest.mark.parametrize("about", ["Total", "", 'with\nnewlines, "quotes" and äöü'])
def test_metadata_of_each_type_is_remembered(
    sender: Sender, kind: int, name: str, about: str
) -> None:
    one = Written([("__name__", "m")], [(1.0, sender.now_ms)], metadata=(kind, about, "bytes/sec"))
    assert sender.send(body_2(one)).status_code == 204
    family = sender.source.intake.families["m"]
    assert (family.kind, family.help, family.unit) == (name, about, "bytes/sec")
    assert sender.send(snappy(message_1([], [("n", kind, about, "s")])), ONE).status_code == 204
    assert sender.source.intake.families["n"].help == about


# --- histograms

BOTH = {"positive": [(0, 3), (2, 2)], "positive_deltas": [1, 2, 1, 3, 1]}


@pytest.mark.parametrize(
    ("histogram", "status"),
    [
        (Histogram(27, zeros=1, **BOTH, negative=[(0, 2)], negative_deltas=[1, 1]), 204),
        (Histogram(24, zeros=1, **BOTH), 204),
        (Histogram(3, negative=[(0, 2)], negative_deltas=[1, 1]), 204),
        (Histogram(1, zeros=1), 204),
        (Histogram(0), 204),
        (Histogram(30, schema=-53, positive=[(0, 6)], positive_deltas=[2, 1, 2, 3, -1, -2],
                   bounds=[0.1, 0.5, 1.0, 2.5, 5.0, 10.0]), 204),
        (Histogram(99, **BOTH), 400),
        (Histogram(23, positive=[(0, 3)], positive_deltas=[1, 2, 1, 3, 1]), 400),
        (Histogram(23, schema=40, **BOTH), 400),
        (Histogram(1, schema=-53, positive=[(0, 3)], positive_deltas=[1, 0, 0], bounds=[1.0]), 400),
        (Histogram(1, schema=-53, positive=[(0, 1)], positive_deltas=[1], bounds=[2.0, 1.0]), 400),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("body", "headers"), [(body_1, ONE), (body_2, TWO)])
def test_a_native_histogram_is_written_where_it_does_not_contradict_itself(
    sender: Sender, body: Any, headers: Mapping[str, str], histogram: Histogram, *, status: int
) -> None:
    one = Written(
        [("__name__", "h")], exemplars=[({"trace_id": "t"}, 1.0, sender.now_ms)],
        histograms=[(histogram, sender.now_ms)], metadata=(3, "help", "s"),
        created_ms=sender.now_ms - 1000,
    )  # fmt: skip
    answer = sender.send(body(one), headers)
    assert (answer.status_code, written(answer)) == (status, (0, int(status == 204), 1))


def test_fifty_series_with_everything_are_written(sender: Sender) -> None:
    exemplar = [({"trace_id": "t"}, 1.0, sender.now_ms)]
    of_samples = [
        Written([("__name__", f"c{k}")], [(k, sender.now_ms)], exemplar, metadata=(1, f"{k}", "s"))
        for k in range(50)
    ]
    assert written(sender.send(body_2(*of_samples))) == (50, 0, 50)
    histogram = [(Histogram(23, **BOTH), sender.now_ms)]
    of_histograms = [
        Written([("__name__", f"h{k}")], exemplars=exemplar, histograms=histogram)
        for k in range(50)
    ]
    assert written(sender.send(body_2(*of_histograms))) == (0, 50, 50)


def test_quantiles_come_of_native_histograms_too(sender: Sender) -> None:
    for k in range(3):
        at_ms = sender.now_ms - 5_000 * (2 - k)
        one = Written(
            [("__name__", "wedtwin_response_seconds"), ("instance", "a"), ("service", "api")],
            histograms=[
                (Histogram(10 * (k + 1), schema=0, positive=[(0, 2)],
                           positive_deltas=[5 * (k + 1), 0]), at_ms)
            ],
        )  # fmt: skip
        assert sender.send(body_2(one)).status_code == 204
    window = sender.source.round(sender.now_ms / 1000.0 + 5.0).windows["api"]
    # Half of them are up to 1 s, the rest up to 2 s (schema 0: powers of two).
    assert window["p50_s"][-1] == pytest.approx(1.0)
    assert window["p95_s"][-1] == pytest.approx(1.9)


# --- who may, and how much


def test_only_who_may_send_is_let_in_and_before_his_body_is_read(
    sender: Sender, engine: Engine
) -> None:
    body = body_2(sender.of(*PLAIN))
    for headers, status in (
        ({}, 401),
        ({"authorization": "Bearer wt_nobody"}, 401),
        (engine.token("a viewer", Role.VIEWER), 403),
        (engine.token("an administrator", Role.ADMINISTRATOR), 403),
    ):
        answer = sender.client.post("/api/v1/write", content=body, headers={**TWO, **headers})
        assert answer.status_code == status
        huge = bytes(9 << 20)
        answer = sender.client.post("/api/v1/write", content=huge, headers={**TWO, **headers})
        assert answer.status_code == status
    assert sender.source.intake.samples == 0


def test_a_collector_sees_nothing(sender: Sender) -> None:
    for path in ("/metrics", "/api/scalability/services", "/api/scalability/metrics/realtime"):
        assert sender.client.get(path, headers=dict(sender.headers)).status_code in (403, 404)


@pytest.mark.parametrize(
    "body", [bytes((8 << 20) + 1), varint(1 << 30) + bytes(1000), snappy(bytes((64 << 20) + 1))]
)
def test_what_is_too_large_before_or_after_decompression_is_answered_413(
    sender: Sender, body: bytes
) -> None:
    assert sender.send(body).status_code == 413


def test_an_engine_that_receives_nothing_says_how_to_switch_it_on(engine: Engine) -> None:
    with TestClient(application(engine.context)) as client:
        answer = client.post(
            "/api/v1/write", content=b"", headers={**TWO, **engine.token("s", Role.COLLECTOR)}
        )
    assert answer.status_code == 404
    assert "metrics=received" in answer.json()["detail"]


def test_who_sends_too_often_is_told_to_wait(
    sender: Sender, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = body_2()
    limited = sender.source.config.model_copy(update={"per_s": 1.0, "burst": 2})
    sender.source.receiver.config = limited
    receiving = engine.context.receiving = Receiving(sender.source.receiver)
    monkeypatch.setattr(receiving.requests, "_now_s", lambda: 0.0)  # however long each one takes
    assert [sender.send(body).status_code for _ in range(3)] == [204, 204, 429]


def test_new_series_are_refused_where_there_is_no_room_and_old_ones_go_on(
    engine: Engine,
) -> None:
    source = received(SPECS, 5.0, **{**OPTIONS, "series": 3})
    now_ms = int(time.time() * 1000)
    receiver = source.receiver
    first = receiver.write(
        body_1(*(series(f"m{k}", [(1.0, now_ms)]) for k in range(5))), WireVersion.ONE,
        now_ms / 1000.0,
    )  # fmt: skip
    assert (first.samples, first.refused) == (3, {"no room for another series": 2})
    again = receiver.write(
        body_1(series("m1", [(2.0, now_ms + 1)])), WireVersion.ONE, now_ms / 1000.0
    )
    assert (again.samples, again.refused) == (1, {})
    assert source.intake.series == 3
    # Once those have ended, there is room for others.
    later_s = now_ms / 1000.0 + 1300.0
    late_ms = round(later_s * 1000.0)
    receiver.write(body_1(series("m1", [(3.0, late_ms)])), WireVersion.ONE, later_s)
    others = body_1(*(series(f"n{k}", [(1.0, late_ms)]) for k in range(2)))
    new = receiver.write(others, WireVersion.ONE, later_s + 1.0)
    assert (new.samples, new.refused) == (2, {})
    assert source.intake.series == 3
