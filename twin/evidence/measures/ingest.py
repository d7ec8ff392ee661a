"""Rows that are a sender and the receiver of a real API, over loopback HTTP.

The sender is a process of its own.  First it sends as fast as it is let, and what counts is the
processor time that the receiving process takes for it, all in all: HTTP, snappy, protobuf, looking
the series up, and the figures that the engine decides by, worked out as often as its steps do.
Then it sends 100,000 samples a second, and what counts is the time from the arrival of a body to
the end of the round that has it in its figures.  Each series is a counter that grows by a known
amount, so a sample that is lost is seen in the figures, and not only in what the receiver says of
itself.
"""

from __future__ import annotations

import contextlib
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from engine.api import assembly
from engine.api.local_office import local_office, local_tokens
from engine.api.serving import serving
from engine.config.api import ApiConfig
from engine.config.strict import validated
from engine.ingest.plain import WireVersion
from engine.ingest.receiver import Receiver, WrittenCounts
from engine.ingest.settings import ReceivedConfig
from engine.ingest.sources import ReceivedSource
from engine.model import Action, ActionResult, BootTime, ServiceSpec
from engine.security.roles import Role
from engine.settings import EngineSettings

SERVICES = ("api", "database")
LABELS = 8
"""Of each series besides name, service and instance."""
GROWS = 7.0
"""Of each counter, a second."""
STEPS_S = 5.0
"""Of the engine."""
STEP_S = 0.1
"""Between two bodies of the second part, of 10,000 samples each."""
ROUND_S = 0.2
"""Between two rounds of the second part; those of the first are a step of the engine apart."""
FOREVER_S = 1e6
"""The delay of what never came."""
BATCH = "from twin.evidence.measures.ingest import send; send()"


class CounterBatch:
    """A remote write 1.0 body with a sample of each of `series` counters, at any time.

    Batches of another `name` have other series.
    """

    def __init__(self, series: int, name: str = "") -> None:
        self._name = name
        parts = [self._series(k, series) for k in range(series)]
        self._raw = np.frombuffer(b"".join(parts), np.uint8).copy()
        ends = np.cumsum([len(part) for part in parts])
        self._values = ends[:, None] - 15 + np.arange(8)
        self._times = ends[:, None] - 6 + np.arange(6)
        self._codec = pyarrow.Codec("snappy")

    def body(self, at_ms: int, value: float) -> bytes:
        """All counters at `value`."""
        self._raw[self._values] = np.frombuffer(struct.pack("<d", value), np.uint8)
        self._raw[self._times] = np.frombuffer(_six_bytes(at_ms), np.uint8)
        return bytes(self._codec.compress(self._raw.tobytes(), asbytes=True))

    def _series(self, k: int, count: int) -> bytes:
        service = SERVICES[k * len(SERVICES) // count]
        labels = {
            "__name__": "requests_total", "instance": f"10.0.{k >> 8}.{k & 255}:9100",
            **{f"label_{j}": f"some_value_{j}_{k % (j + 7)}" for j in range(LABELS)},
            "service": service, **({"batch": self._name} if self._name else {}),
        }  # fmt: skip
        content = b"".join(
            _part(1, _part(1, name.encode()) + _part(2, text.encode()))
            for name, text in sorted(labels.items())
        )
        # The sample last: its value and its time, of six bytes for the next 100 years, are put in.
        return _part(1, content + _part(2, b"\x09" + bytes(8) + b"\x10" + bytes(6)))


def _part(number: int, content: bytes) -> bytes:
    size, length = len(content), b""
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def _six_bytes(at_ms: int) -> bytes:
    return bytes(at_ms >> 7 * k & 0x7F | (0x80 if k < 5 else 0) for k in range(6))


@dataclass
class _Timed:
    """The receiver, and when each body came to it."""

    inner: Receiver
    came: list[tuple[float, int]] = field(default_factory=list)
    """Time (monotonic) and how many samples there were with it."""
    took_s: float = 0.0
    """Processor time so far."""

    @property
    def config(self) -> ReceivedConfig:
        """The receiver's."""
        return self.inner.config

    def write(self, body: bytes, version: WireVersion, now_s: float) -> WrittenCounts:
        """Take a body in."""
        came_s, begun_s = time.monotonic(), time.thread_time()
        counts = self.inner.write(body, version, now_s)
        self.took_s += time.thread_time() - begun_s
        self.came.append((came_s, self.inner.intake.samples))
        return counts


def over_loopback(
    *, rows: int, seed: int, series: int = 10_000, bodies: int = 150, seconds: float = 20.0,
    limits: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """`rows` rows: samples a second of a core (`speed`), share `lost`, `p99_s`, `wrong_rate`.

    `limits` are such as the receiver is given besides, to throttle it.  Nothing of it is random;
    `seed` only tells rows apart.
    """
    config = validated(
        ReceivedConfig,
        {
            "figures": {"request_rate": {"metric": "requests_total", "take": "rate"}},
            "keep": None, "lookback_s": 5.0, **(limits or {}),
        },
    )  # fmt: skip
    made = []
    for row in range(rows):
        with (
            tempfile.TemporaryDirectory(prefix="wt-samples-") as name,
            receiving(Path(name), config) as loopback,
        ):
            _sent(loopback, series, 2, pause_s=0.0)  # the kernels are there, the series known
            fast = _sent(loopback, series, bodies, pause_s=0.0, round_s=STEPS_S)
            paced = _sent(loopback, series, round(seconds / STEP_S), pause_s=STEP_S)
        made.append(
            {
                "seed": seed + row, "speed": fast.samples / fast.cpu_s,
                **{f"{stage}_ns": 1e9 * took_s / fast.samples
                   for stage, took_s in fast.stages_s.items()},
                "lost": (fast.lost + paced.lost) / (fast.sent + paced.sent),
                "p99_s": paced.p99_s, "wrong_rate": paced.wrong_rate,
            }
        )  # fmt: skip
    return made


@dataclass(frozen=True, slots=True)
class Loopback:
    """A receiving API: what it fills, and how it is reached."""

    source: ReceivedSource
    timed: _Timed
    url: str
    token: str


@contextmanager
def receiving(folder: Path, config: ReceivedConfig) -> Iterator[Loopback]:
    """An API of an engine that receives, on a port of its own, with a token of a sender."""
    specs = tuple(
        ServiceSpec(name, 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)
        for name in SERVICES
    )
    source = ReceivedSource(specs, 5.0, config)
    timed = _Timed(source.receiver)
    context = assembly.assembled(
        SilentNotes(),
        specs,
        EngineSettings(mode="recommend_only"),
        validated(ApiConfig, {"port": 0}),
        office=local_office(folder),
        tree={},
        offered=assembly.Offered(receiver=timed),
    )
    with serving(context) as url:
        token, _ = local_tokens(folder).create(
            "a sender", [Role.COLLECTOR], None, now_s=time.time(), for_s=3600.0, made_by="evidence"
        )
        yield Loopback(source, timed, url, token)


class SilentNotes:
    """Notes that nobody keeps."""

    def step(self, *_: object, **__: object) -> None:
        """Nothing."""

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """Nothing."""

    def result(self, result: ActionResult) -> None:
        """Nothing."""

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Nothing."""

    def status(self, status: Mapping[str, Any]) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of one series of bodies."""

    sent: int
    samples: int
    """That the receiver took in."""
    cpu_s: float
    lost: int
    p99_s: float
    wrong_rate: float
    """How far the figures are from what was sent, as a share."""
    stages_s: Mapping[str, float]
    """Processor time of the parts of it: HTTP is what is left."""


def _sent(
    loopback: Loopback, series: int, bodies: int, *, pause_s: float, round_s: float = ROUND_S
) -> _Sent:
    source, timed = loopback.source, loopback.timed
    order = {
        "url": loopback.url, "token": loopback.token, "series": series, "bodies": bodies,
        "pause_s": pause_s,
    }  # fmt: skip
    before, began = source.intake.samples, len(timed.came)
    sender = subprocess.Popen(
        [sys.executable, "-c", BATCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert sender.stdin is not None and sender.stdout is not None
    sender.stdin.write(json.dumps(order) + "\n")
    sender.stdin.flush()
    sender.stdout.readline()  # it has made its bodies
    cpu_s, receiver_s, figures_s = time.process_time(), timed.took_s, 0.0
    sender.stdin.write("go\n")
    sender.stdin.close()
    delays: list[float] = []
    seen = began
    rates: list[float] = []
    while True:
        over = sender.poll() is not None
        there = source.intake.samples
        begun_s = time.thread_time()
        reading = source.round(time.time())
        figures_s += time.thread_time() - begun_s
        now_s = time.monotonic()
        while seen < len(timed.came) and timed.came[seen][1] <= there:
            delays.append(now_s - timed.came[seen][0])
            seen += 1
        rates.append(sum(float(w["request_rate"][-1]) for w in reading.windows.values() if len(w)))
        if over:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            sender.wait(round_s)
    cpu_s, receiver_s = time.process_time() - cpu_s, timed.took_s - receiver_s
    sender.stdout.close()
    expected, taken = series * GROWS, source.intake.samples - before
    return _Sent(
        series * bodies, taken, cpu_s, series * bodies - taken,
        float(np.quantile(delays, 0.99)) if delays else FOREVER_S,
        abs(rates[-1] - expected) / expected,
        {"receiver": receiver_s, "figures": figures_s, "http": cpu_s - receiver_s - figures_s},
    )  # fmt: skip


def send() -> None:
    """What the sending process does: an order on stdin, and then "go"."""
    import http.client

    order = json.loads(sys.stdin.readline())
    batch = CounterBatch(order["series"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    host = order["url"].partition("//")[2]
    connection = http.client.HTTPConnection(host, timeout=60.0)
    began_s = time.time()
    for k in range(order["bodies"]):
        if order["pause_s"]:
            time.sleep(max(began_s + k * order["pause_s"] - time.time(), 0.0))
        at_ms = round(time.time() * 1000.0)
        # A counter's value is exact in its time, whenever that is.
        body = batch.body(at_ms, GROWS * (at_ms / 1000.0 - 1.7e9))
        connection.request(
            "POST", "/api/v1/write", body,
            {
                "Authorization": f"Bearer {order['token']}", "Content-Encoding": "snappy",
                "Content-Type": "application/x-protobuf",
            },
        )  # fmt: skip
        connection.getresponse().read()
