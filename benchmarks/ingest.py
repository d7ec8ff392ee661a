"""How fast samples come in, and what they cost: ratios and figures of one run.

    python benchmarks/ingest.py receive    # HTTP to figures, by stage; delay at 100,000/s
    python benchmarks/ingest.py wire       # against plain Python, and against snappy alone
    python benchmarks/ingest.py series     # memory and time of many series, and of churn
    python benchmarks/ingest.py pages      # OpenMetrics, against prometheus_client
    python benchmarks/ingest.py query      # 2,000 series x 1 h of 5 s from the disk, in steps

Processor time counts, so that other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

NOW_MS = 1_781_870_400_000


def cpu_s(work: Callable[[], object], times: int) -> float:
    """The least processor time of one call."""
    best = float("inf")
    for _ in range(times):
        begun_s = time.process_time()
        work()
        best = min(best, time.process_time() - begun_s)
    return best


def receive() -> None:
    """The measure of claim 3.1."""
    from twin.evidence.measures.ingest import over_loopback

    (row,) = over_loopback(rows=1, seed=1)
    print(f"{row['speed']:,.0f} samples/s of a core, HTTP to figures; ns of each sample:")
    print(
        ", ".join(f"{stage} {row[f'{stage}_ns']:.0f}" for stage in ("http", "receiver", "figures"))
    )
    print(f"at 100,000/s: p99 {row['p99_s']:.2f} s to the figures, lost {row['lost']:.3%}")


def wire() -> None:
    """Decoding by itself."""
    import pyarrow

    from engine.ingest import plain
    from engine.ingest.columns import Reader
    from engine.ingest.plain import WireVersion
    from engine.ingest.table import LabelTable
    from twin.evidence.measures.ingest import CounterBatch

    count = 10_000
    body = CounterBatch(count).body(NOW_MS, 1.0)
    reader, table, codec = Reader(bytes(16), 1 << 26), LabelTable(count), pyarrow.Codec("snappy")
    columns = reader.read(body, WireVersion.ONE, table)
    raw = columns.raw.tobytes()
    for k in range(count):
        table.add(columns.written(k), int(columns.hashes[k]), k)
    ours_s = cpu_s(lambda: reader.read(body, WireVersion.ONE, table), 20)
    snappy_s = cpu_s(lambda: codec.decompress(body, len(raw)), 20)
    plain_s = cpu_s(lambda: plain.read_1(raw), 1)
    print(f"{count / ours_s:,.0f} samples/s; {len(raw) // count} bytes each")
    print(f"{plain_s / ours_s:.0f} times as fast as plain Python, {ours_s / snappy_s:.1f} x snappy")


def series() -> None:
    """A million series, then as many others."""
    import psutil

    from engine.config.strict import validated
    from engine.ingest.intake import Intake
    from engine.ingest.plain import WireVersion
    from engine.ingest.receiver import Receiver
    from engine.ingest.settings import ReceivedConfig
    from twin.evidence.measures.ingest import CounterBatch

    most, count = 1_000_000, 50_000
    config = validated(ReceivedConfig, {
        "figures": {"cpu": {"metric": "cpu"}}, "series": most, "keep": None, "ring_samples": 1_000,
    })  # fmt: skip
    receiver = Receiver(config, Intake(config, ("api",)))
    process = psutil.Process()
    receiver.write(CounterBatch(10).body(NOW_MS, 1.0), WireVersion.ONE, NOW_MS / 1000.0)
    before = process.memory_info().rss
    for what, now_s in (
        ("new", NOW_MS / 1000.0),
        ("others, after those ended", NOW_MS / 1000.0 + 1300.0),
    ):
        taken, begun_s = 0, time.process_time()
        for k in range(most // count):
            batch = CounterBatch(count, f"{what}{k}")
            counts = receiver.write(batch.body(round(now_s * 1000.0), 1.0), WireVersion.ONE, now_s)
            taken += counts.samples
        rss = process.memory_info().rss - before
        took_s = time.process_time() - begun_s
        print(f"{what}: {taken:,} series; {rss / most:.0f} bytes each; {took_s:.0f} s")


def pages() -> None:
    """A page of 10,000 samples."""
    from prometheus_client.parser import text_string_to_metric_families

    from engine.ingest import exposition

    text = "".join(
        f'm{{a="value {k}",b="other {k % 7}",service="api"}} {k}.5\n' for k in range(10_000)
    )
    numbers: dict[str, int] = {}

    def number(one: str) -> int:
        if one not in numbers:
            exposition.labels_of(one)
            numbers[one] = len(numbers)
        return numbers[one]

    def ours() -> object:
        return exposition.read(text, number, openmetrics=False, most=100_000)

    first_s = cpu_s(ours, 1)
    ours_s = cpu_s(ours, 5)
    theirs_s = cpu_s(
        lambda: [one for family in text_string_to_metric_families(text) for one in family.samples],
        2,
    )
    print(f"{10_000 / ours_s:,.0f} samples/s ({10_000 / first_s:,.0f} where each series is new)")
    print(f"{theirs_s / ours_s:.1f} times as fast as prometheus_client")


def query() -> None:
    """What an hour of a middling platform takes to be read, as rows and in steps."""
    import tempfile
    from pathlib import Path

    import numpy as np
    import pyarrow.parquet as parquet

    from engine.ingest.ranges import RangeQuery, added_up
    from engine.ingest.segments import SegmentFolder, Tier, summed

    chance = np.random.default_rng(1)
    labels = [b"__name__\xffm\xffinstance\xff%d\xffservice\xffapi" % k for k in range(2000)]
    with tempfile.TemporaryDirectory(prefix="wt-query-") as name:
        folder = SegmentFolder(Path(name), Tier("fine", 5_000, 3_600_000, 2.0))
        hour_ms = NOW_MS // 3_600_000 * 3_600_000
        end_ms = hour_ms + 3_600_000
        for minute in range(60):
            at_ms = hour_ms + 60_000 * minute + np.repeat(5_000 * np.arange(12), 2000)
            values = chance.normal(size=24_000)
            folder.add(summed(labels, np.tile(np.arange(2000), 12), at_ms, values, span_ms=5_000))
        files = list(Path(name).rglob("*.parquet"))
        took_s = cpu_s(lambda: folder.between(hour_ms, end_ms), 5)
        alone_s = cpu_s(lambda: [parquet.read_table(one, use_threads=False) for one in files], 5)
        rows = len(folder.between(hour_ms, end_ms))
        size = sum(path.stat().st_size for path in files)
        stepped = {}
        for step_ms in (60_000, 300_000):
            asked = RangeQuery(hour_ms, end_ms, step_ms, lambda labels: b"api" in labels)
            stepped[step_ms] = cpu_s(
                lambda asked=asked: added_up(asked, list(folder.parts(hour_ms, end_ms))), 5
            )
    print(
        f"{rows:,} rows of 2,000 series in {1000.0 * took_s:.0f} ms; {size / rows:.1f} bytes a row"
    )
    for step_ms, step_s in stepped.items():
        print(
            f"in steps of {step_ms / 1000.0:.0f} s: {1000.0 * step_s:.0f} ms, "
            f"{step_s / alone_s:.1f} x reading the files alone"
        )


PARTS = {"receive": receive, "wire": wire, "series": series, "pages": pages, "query": query}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "part", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)"
    )
    given = parser.parse_args()
    for part in given.part:
        if part not in PARTS:
            parser.error(f"{part} is not one of {', '.join(PARTS)}")
    for part in given.part or PARTS:
        print(f"-- {part}")
        PARTS[part]()


if __name__ == "__main__":
    main()
