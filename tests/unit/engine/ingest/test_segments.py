"""Samples on disk: what goes in comes out, in coarser spans too, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.labels import written
from engine.ingest.segments import NO_ROWS, SegmentFolder, SpanRows, Tier, coarser, summed
from engine.security.sealing import Sealer, SealError, keys_in, made

ROOT = Path(__file__).parents[4]
HOUR_MS = 3_600_000
BASE_MS = 1_781_870_400_000
TIER = Tier("fine", 5_000, HOUR_MS, 2.0)
LABELS = [written((("__name__", "m"), ("instance", str(k)))) for k in range(4)]


def rows_of(*samples: tuple[int, int, float]) -> SpanRows:
    """Rows of samples (series, ms after the base, value)."""
    series, at_ms, values = (np.array(column) for column in zip(*samples, strict=True))
    return summed(LABELS, series, BASE_MS + at_ms, values.astype(np.float64), span_ms=5_000)


def as_table(rows: SpanRows) -> dict[tuple[bytes, int], tuple[float, float, float, int]]:
    return {
        (rows.labels[rows.series[k]], int(rows.time_ms[k]) - BASE_MS): (
            float(rows.smallest[k]), float(rows.largest[k]), float(rows.mean[k]),
            int(rows.count[k]),
        )
        for k in range(len(rows))
    }  # fmt: skip


def test_samples_become_smallest_largest_mean_and_count() -> None:
    rows = rows_of(
        (0, 1000, 4.0), (0, 2000, 8.0), (1, 2000, 1.0), (0, 2000, 99.0), (0, 6000, np.nan),
        (0, 7000, 5.0), (1, 9000, np.inf),
    )  # fmt: skip
    assert as_table(rows) == {
        (LABELS[0], 0): (4.0, 8.0, 6.0, 2),
        (LABELS[1], 0): (1.0, 1.0, 1.0, 1),
        (LABELS[0], 5000): (5.0, 5.0, 5.0, 1),
    }


samples = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 200_000), st.floats(-1e6, 1e6)),
    min_size=1, max_size=60, unique_by=lambda one: one[:2],
)  # fmt: skip


@given(samples)
def test_minutes_made_of_5_s_are_those_made_of_the_samples(
    given_samples: list[tuple[int, int, float]],
) -> None:
    series, at_ms, values = (np.array(column) for column in zip(*given_samples, strict=True))
    straight = summed(LABELS, series, BASE_MS + at_ms, values.astype(np.float64), span_ms=60_000)
    by_steps = as_table(coarser(rows_of(*given_samples), 60_000))
    for key, row in as_table(straight).items():
        assert by_steps[key] == pytest.approx(row, abs=1e-6)
    assert len(by_steps) == len(straight)


def test_segments_are_merged_and_late_rows_put_where_they_belong(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path, TIER)
    for k in range(20):
        folder.add(rows_of((k % 4, 1000 * k, float(k)), (0, 5_000 * k, 1.0)))
    assert len(list((tmp_path / "fine").iterdir())) < 6
    once = rows_of(
        *((k % 4, 1000 * k, float(k)) for k in range(20)), *((0, 5_000 * k, 1.0) for k in range(20))
    )
    whole = folder.between(BASE_MS, BASE_MS + HOUR_MS)
    assert as_table(whole).keys() == as_table(once).keys()
    order = np.lexsort((whole.series, whole.time_ms))
    assert (np.diff(whole.time_ms[order]) >= 0).all() and (np.diff(whole.time_ms) >= 0).all()
    of_one = folder.between(BASE_MS + 5_000, BASE_MS + 10_000, lambda labels: labels == LABELS[1])
    assert {key[0] for key in as_table(of_one)} == {LABELS[1]}
    again = SegmentFolder(tmp_path, TIER)
    assert as_table(again.between(BASE_MS, BASE_MS + HOUR_MS)) == as_table(whole)


def test_what_a_killed_merge_left_behind_is_not_read_twice(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path, TIER)
    for k in range(5):
        folder.add(rows_of((0, 5_000 * k, float(k))))
    left = {path.name: path.read_bytes() for path in (tmp_path / "fine").iterdir()}
    folder.add(rows_of((0, 25_000, 5.0)))  # the sixth: they become one
    (merged,) = (tmp_path / "fine").iterdir()
    for name, content in left.items():
        (tmp_path / "fine" / name).write_bytes(content)
    (tmp_path / "fine" / ".half-written").write_bytes(b"PAR1")
    again = SegmentFolder(tmp_path, TIER)
    rows = again.between(BASE_MS, BASE_MS + HOUR_MS)
    assert rows.count.tolist() == [1] * 6
    assert list((tmp_path / "fine").iterdir()) == [merged]


def test_a_kill_in_the_middle_leaves_whole_segments_only(tmp_path: Path) -> None:
    script = (
        "import numpy as np, pathlib, sys\n"
        "from engine.ingest.segments import SegmentFolder, Tier, summed\n"
        f"folder = SegmentFolder(pathlib.Path({str(tmp_path)!r}), Tier('fine', 5000, 3600000, 2))\n"
        "for k in range(100000):\n"
        "    n = np.arange(3000)\n"
        f"    folder.add(summed([b'%d' % j for j in n], n, np.full(3000, {BASE_MS} + 5000 * k),"
        " n * 1.0, span_ms=5000))\n"
        "    print(k, flush=True)\n"
    )
    for stop in (3, 8):
        writer = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < stop:
            pass
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        rows = SegmentFolder(tmp_path, TIER).between(BASE_MS, BASE_MS + HOUR_MS)
        times, counts = np.unique(rows.time_ms, return_counts=True)
        assert len(times) > stop and set(counts.tolist()) == {3000}
        assert (np.diff(times) == 5000).all()


def test_what_is_old_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = SegmentFolder(tmp_path, TIER)
    for hour in range(4):
        folder.add(rows_of((0, hour * HOUR_MS, 1.0)))
    folder.forget(BASE_MS + 2 * HOUR_MS + 48 * HOUR_MS)
    assert folder.filed() == {(BASE_MS + hour * HOUR_MS) // HOUR_MS for hour in (2, 3)}


def test_sealed_segments_hold_nothing_that_can_be_read(tmp_path: Path) -> None:
    line = made()
    sealer = Sealer(lambda: keys_in(line, "a test"))
    folder = SegmentFolder(tmp_path, TIER, sealer)
    folder.add(rows_of((0, 0, 1.0), (1, 0, 2.0)))
    (path,) = (tmp_path / "fine").iterdir()
    assert path.suffix == ".sealed" and b"instance" not in path.read_bytes()
    assert len(folder.between(BASE_MS, BASE_MS + HOUR_MS)) == 2
    with pytest.raises(OSError, match="sealed"):
        SegmentFolder(tmp_path, TIER).between(BASE_MS, BASE_MS + HOUR_MS)
    other = path.with_name(path.name.replace("-0-0", "-1-1"))
    path.rename(other)  # one segment cannot be put in the place of another
    with pytest.raises(SealError):
        folder.between(BASE_MS, BASE_MS + HOUR_MS)


def test_where_there_is_nothing_nothing_comes_out(tmp_path: Path) -> None:
    assert SegmentFolder(tmp_path, TIER).between(0, 2**60) is NO_ROWS
