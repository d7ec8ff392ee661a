"""What a soak judges by: what grows is seen, whatever it is, and what only fluctuates is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import soaking, warm
from tools.soak.growth import LIMITS, LookAtProcess, complaints, growing_types, not_judged, slope


def looks(**measures: Sequence[float]) -> list[LookAtProcess]:
    """A look an hour."""
    hours = len(next(iter(measures.values())))
    return [
        LookAtProcess(float(hour), {name: row[hour] for name, row in measures.items()}, {})
        for hour in range(hours)
    ]


def test_the_slope_is_that_of_most_pairs_whatever_a_few_samples_say() -> None:
    points = [(float(x), 3.0 * x) for x in range(12)]
    points[4], points[9] = (4.0, 1e9), (9.0, -1e9)
    assert slope(points) == pytest.approx(3.0)
    assert slope(points[:1]) == 0.0


@pytest.mark.parametrize("name", LIMITS)
def test_what_grows_faster_than_it_may_is_named_with_how_fast(name: str) -> None:
    by = max(1.5 * LIMITS[name].per_hour, LIMITS[name].least / 8.0)
    wrong = complaints(looks(**{name: [100.0 + by * hour for hour in range(24)]}))
    assert list(wrong) == [name]
    assert f"{LIMITS[name].per_hour:g} is allowed" in wrong[name]


def test_what_is_filled_once_and_then_full_does_not_grow() -> None:
    filling = [min(1000.0 * hour, 9000.0) for hour in range(24)]
    assert complaints(looks(**dict.fromkeys(LIMITS, filling))) == {}


def test_what_goes_up_and_down_does_not_grow() -> None:
    rng = np.random.default_rng(1)
    restless = (20_000.0 + 100.0 * rng.standard_normal(24)).tolist()
    assert complaints(looks(objects=restless)) == {}
    assert complaints(looks(tasks=[20.0, 21.0] * 12)) == {}


@pytest.mark.parametrize(("hours", "names"), [(1, []), (2, []), (4, []), (5, list(LIMITS))])
def test_of_two_looks_nothing_is_said(hours: int, names: list[str]) -> None:
    leaking = [1e6 * hour for hour in range(hours)]
    at_once = {name: replace(limit, span_h=0.0) for name, limit in LIMITS.items()}
    seen = looks(**dict.fromkeys(LIMITS, leaking))
    assert list(complaints(seen, at_once)) == names
    assert list(not_judged(seen, at_once)) == ([] if names else list(LIMITS))


def test_the_type_of_what_grows_is_named() -> None:
    seen = [LookAtProcess(float(k), {}, {"a.Row": 5 * k, "b.Kept": 7}) for k in range(8)]
    assert growing_types(seen) == [("a.Row", 5.0)]


def soaked(folder: Path, *plants: str) -> list[LookAtProcess]:
    """What is seen in a process that does nothing but soak.

    A look goes through all objects of a process, and one that runs tests has millions.
    """
    script = str(Path(soaking.__file__))
    run = subprocess.run(
        [sys.executable, script, str(folder), *plants], cwd=warm.ROOT,
        env={**os.environ, "PYTHONPATH": str(warm.ROOT)}, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return [LookAtProcess(*one) for one in json.loads(run.stdout)]


def test_faults_that_leave_nothing_behind_are_not_blamed(tmp_path: Path) -> None:
    wrong = complaints(soaked(tmp_path))
    assert not {"tasks", "files", "sockets", "threads"} & set(wrong)


@pytest.mark.parametrize(
    ("plant", "seen"),
    [("list", {"objects", "blocks"}), ("task", {"tasks", "objects"}), ("file", {"files"})],
)
def test_a_planted_leak_is_seen(plant: str, seen: set[str], tmp_path: Path) -> None:
    at_once = {name: replace(limit, span_h=0.0) for name, limit in LIMITS.items()}
    assert seen <= set(complaints(soaked(tmp_path, plant), at_once))


def test_of_a_short_soak_nothing_is_said_that_takes_hours_to_settle() -> None:
    growing = [1000.0 * hour for hour in range(8)]
    seen = looks(objects=growing, blocks=growing, rss_kib=growing)
    assert complaints(seen) == {}
    assert not_judged(seen) == dict.fromkeys(
        ("objects", "blocks", "rss_kib"), "3 h are judged, 6 are needed"
    )
