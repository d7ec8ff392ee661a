"""What the workers counted: read from each of them once a second, added up by service.

Not through Prometheus, which looks every five seconds and a moment late: what is measured here is
the workers themselves.  A worker's figures only grow, so the difference between two readings is
exact; one that was killed loses at most the second since it was last read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from engine.adapters.pool.book import PoolFile, WorkerPhase
from engine.model import FloatArray

COUNTED = (
    "wedtwin_requests_total",
    "wedtwin_slots_busy_seconds_total",
    "wedtwin_cpu_seconds_total",
    "wedtwin_service_seconds_sum",
    "wedtwin_service_seconds_count",
    "wedtwin_service_squared_seconds_total",
    "wedtwin_response_seconds_sum",
    "wedtwin_response_seconds_count",
    "wedtwin_call_seconds_sum",
    "wedtwin_call_seconds_count",
    "wedtwin_calls_total",
    "served",
    "shed",
    "timed_out",
    "failed",
)
"""Figures that only grow; the last four are outcomes of requests."""

GAUGES = ("wedtwin_boot_seconds", "wedtwin_ready_seconds")


@dataclass(frozen=True, slots=True, eq=False)
class Increments:
    """Increments by service and second: `counted` (seconds, figures as in `COUNTED`).

    `slots` (seconds,) are those of workers that were ready.  `after` (figures,) is what was counted
    after the last second, for requests that were under way then.
    """

    counted: Mapping[str, FloatArray]
    slots: Mapping[str, FloatArray]
    after: Mapping[str, FloatArray] = field(default_factory=dict)

    def total(self, service: str, figure: str, since: int = 0, until: int | None = None) -> float:
        """Sum of one figure from second `since` on, up to `until`."""
        return float(self.counted[service][since:until, COUNTED.index(figure)].sum())

    def whole(self, service: str, figure: str) -> float:
        """Sum of one figure over everything that was sent, however late it was answered."""
        after = self.after.get(service)
        late = float(after[COUNTED.index(figure)]) if after is not None else 0.0
        return self.total(service, figure) + late

    def utilisation(self, service: str, since: int = 0, until: int | None = None) -> float:
        """Busy slot-seconds over ready slot-seconds."""
        busy = self.counted[service][since:until, COUNTED.index("wedtwin_slots_busy_seconds_total")]
        ready = self.slots[service][since:until].sum()
        return float(busy.sum() / ready) if ready else float("nan")


@dataclass(slots=True)
class Meters:
    """Reads the workers of a pool while something else goes on."""

    pool: PoolFile
    slots: Mapping[str, int]
    last: dict[str, FloatArray] = field(default_factory=dict)
    gauges: dict[str, dict[str, float]] = field(default_factory=dict)

    async def read(self, tries: int = 1) -> dict[str, FloatArray]:
        """Increments since the last reading, by service: (figures,).

        What a worker that does not answer has counted is in the next one; so that the last reading
        is whole, it may be asked for several times.
        """
        book = self.pool.read()
        serving = [
            i for i in book.instances if i.phase in (WorkerPhase.READY, WorkerPhase.DRAINING)
        ]
        texts = [""] * len(serving)
        for _ in range(tries):
            silent = [n for n, text in enumerate(texts) if not text]
            answers = await asyncio.gather(*(_metrics(serving[n].port) for n in silent))
            for number, answer in zip(silent, answers, strict=True):
                texts[number] = answer
        grown = {name: np.zeros(len(COUNTED)) for name in self.slots}
        for instance, text in zip(serving, texts, strict=True):
            if not text:
                continue
            figures, gauges = parse(text)
            before = self.last.get(instance.id, np.zeros(len(COUNTED)))
            grown[instance.service] += figures - before
            self.last[instance.id] = figures
            self.gauges[instance.id] = gauges
        return grown

    def ready_slots(self) -> dict[str, float]:
        """Slots of the workers that are ready now, by service."""
        book = self.pool.read()
        return {
            name: float(n * len(book.of(name, WorkerPhase.READY))) for name, n in self.slots.items()
        }

    async def follow(self, seconds: int, start_s: float) -> Increments:
        """Read once a second for `seconds` from the loop's time `start_s` on."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(start_s - loop.time(), 0.0))
        await self.read()
        counted: dict[str, list[FloatArray]] = {name: [] for name in self.slots}
        slots: dict[str, list[float]] = {name: [] for name in self.slots}
        for second in range(1, seconds + 1):
            ready = self.ready_slots()
            await asyncio.sleep(max(start_s + second - loop.time(), 0.0))
            for name, grown in (await self.read()).items():
                counted[name].append(grown)
                slots[name].append(ready[name])
        return Increments(
            {name: np.array(rows) for name, rows in counted.items()},
            {name: np.array(column) for name, column in slots.items()},
        )


def parse(text: str) -> tuple[FloatArray, dict[str, float]]:
    """The figures of `COUNTED` and `GAUGES` in a worker's answer to Prometheus."""
    figures, gauges = np.zeros(len(COUNTED)), {}
    # Nine lines of ten are buckets, which are not counted here: reading them would take the
    # processor from the workers that are measured.
    lines = [line for line in text.splitlines() if "_bucket{" not in line]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            name = sample.labels.get("outcome", sample.name)
            if name in COUNTED:
                figures[COUNTED.index(name)] += sample.value
            elif name in GAUGES:
                gauges[name] = sample.value
    return figures, gauges


async def _metrics(port: int) -> str:
    """A worker's `/metrics`, or nothing when it does not answer."""
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: w\r\nconnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode() if b" 200 " in head.split(b"\r\n", 1)[0] + b" " else ""
