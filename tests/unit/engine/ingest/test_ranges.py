"""Kept samples of a range of time: each counts once, wherever it lies."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config.strict import validated
from engine.ingest.ranges import SeriesRanges
from engine.ingest.settings import KeepConfig, SamplesConfig
from engine.ingest.sources import SamplesSource
from engine.model import BootTime, ServiceSpec

NOW_S = 1_781_870_400.0
SPECS = tuple(
    ServiceSpec(name, 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)
    for name in ("api", "database")
)
FIGURES = {
    "cpu": {"metric": "busy", "over": {"metric": "slots"}},
    "queue_depth": {"metric": "queue", "where": {"kind": "!=idle"}},
}


def source(folder: Path | None, **changes: Any) -> SamplesSource:
    keep = None if folder is None else KeepConfig(**changes).model_dump()
    made = SamplesSource(SPECS, 5.0, validated(SamplesConfig, {"figures": FIGURES, "keep": keep}))
    if folder is not None:
        made.keep_in(folder, None)
    return made


def take(
    into: SamplesSource, at_s: float, value: float, metric: str = "busy", **labels: str
) -> None:
    own = {"service": "api", "instance": "a", **labels, "__name__": metric}
    number = into.intake.number(tuple(sorted(own.items())))
    into.intake.take(np.array([number]), np.array([round(at_s * 1000.0)]), np.array([value]), at_s)


def kept(
    of: SamplesSource, from_s: float, to_s: float, step_s: float, *, figure: str = "cpu",
    service: str = "api", **page: int,
) -> SeriesRanges:  # fmt: skip
    first, last, step = (round(1000.0 * one) for one in (from_s, to_s, step_s))
    return asyncio.run(of.kept(service, figure, first, last, step_ms=step, **page))


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("written", [0, 1, 5])
def test_smallest_largest_mean_and_count_are_those_of_the_samples(
    tmp_path: Path, on_disk: bool, written: int
) -> None:
    made = source(tmp_path if on_disk else None)
    chance = np.random.default_rng(3)
    samples: dict[str, list[tuple[float, float]]] = {"a": [], "b": []}
    for k in range(1, 301):
        at_s = NOW_S + 2.0 * k
        for instance, own in samples.items():
            if chance.random() < 0.8:
                own.append((at_s, float(chance.normal())))
                take(made, at_s, own[-1][1], instance=instance)
        if made.keeper is not None and k % 60 == 0 and k // 60 <= written:
            made.keeper.keep(at_s)
    for step_s in (5.0, 60.0, 300.0):
        rows = kept(made, NOW_S, NOW_S + 900.0, step_s)
        assert [dict(_read(one))["instance"] for one in rows.labels] == ["a", "b"]
        for row, own in enumerate(samples.values()):
            for step in range(round(900.0 / step_s)):
                begin_s = NOW_S + step_s * step
                values = [v for at_s, v in own if begin_s <= at_s < begin_s + step_s]
                assert rows.count[row, step] == len(values)
                seen = (rows.smallest[row, step], rows.largest[row, step], rows.mean[row, step])
                if values:
                    assert seen[:2] == (min(values), max(values))
                    assert math.isclose(seen[2], sum(values) / len(values), abs_tol=1e-12)
                else:
                    assert all(map(math.isnan, seen))


def _read(labels: bytes) -> list[tuple[str, str]]:
    texts = [part.decode() for part in labels.split(b"\xff")]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_of_a_long_range_each_sample_counts_once_whatever_span_it_is_kept_in(
    tmp_path: Path,
) -> None:
    made = source(tmp_path, fine_days=0.5, minutes_days=2.0)
    assert made.keeper is not None
    begin_s = NOW_S // 86_400.0 * 86_400.0
    count = 0
    for hour in range(24 * 6):
        for minute in (1, 21, 41):
            take(made, begin_s + 3600.0 * hour + 60.0 * minute, float(hour))
            count += 1
        if hour % 6 == 5:
            made.keeper.keep(begin_s + 3600.0 * (hour + 1))
    take(made, begin_s + 6 * 86_400.0 + 1.0, 500.0)  # not written yet
    there = {path.name: len(list(path.iterdir())) for path in tmp_path.iterdir()}
    assert min(there.values()) > 0
    for step_s in (300.0, 3600.0, 86_400.0):
        rows = kept(made, begin_s, begin_s + 7 * 86_400.0, step_s)
        assert rows.count.sum() == count + 1
        assert np.nansum(rows.mean * rows.count) == 3 * sum(range(24 * 6)) + 500.0
        assert np.nanmax(rows.largest) == 500.0
        day = kept(made, begin_s + 86_400.0, begin_s + 2 * 86_400.0, step_s)
        assert day.count.sum() == 72
        assert (np.nanmin(day.smallest), np.nanmax(day.largest)) == (24.0, 47.0)


def test_only_series_of_the_figure_and_the_service_are_there(tmp_path: Path) -> None:
    made = source(tmp_path)
    take(made, NOW_S, 1.0)
    take(made, NOW_S, 4.0, metric="slots")
    take(made, NOW_S, 9.0, metric="other")
    take(made, NOW_S, 2.0, service="database")
    take(made, NOW_S, 3.0, metric="queue", kind="idle")
    take(made, NOW_S, 5.0, metric="queue", kind="busy")

    def means(figure: str, service: str) -> list[float]:
        rows = kept(made, NOW_S, NOW_S + 60.0, 60.0, figure=figure, service=service)
        return [float(mean) for mean in rows.mean[:, 0]]

    for _ in range(2):
        assert means("cpu", "api") == [1.0, 4.0]
        assert means("cpu", "database") == [2.0]
        assert means("queue_depth", "api") == [5.0]
        assert means("queue_depth", "database") == []
        assert made.keeper is not None
        made.keeper.keep(NOW_S + 60.0)
    with pytest.raises(KeyError):
        means("memory", "api")


def test_pages_have_each_series_once_in_one_order(tmp_path: Path) -> None:
    made = source(tmp_path)
    for k in (3, 1, 4, 0, 2):
        take(made, NOW_S, float(k), instance=f"i{k}")
    seen: list[float] = []
    for skip in (0, 2, 4):
        page = kept(made, NOW_S, NOW_S + 60.0, 60.0, skip=skip, most=2)
        seen += page.mean[:, 0].tolist()
        assert page.more == (skip < 4)
    assert seen == [0.0, 1.0, 2.0, 3.0, 4.0]
