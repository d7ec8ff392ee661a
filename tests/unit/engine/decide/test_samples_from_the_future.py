"""A sample from the future, or without a time, is no sample: it hides none of the others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine import Autoscaler
from engine.decide.view import newest, view
from engine.model import Category
from tests.unit.engine.conftest import NOW_S, make_service, make_window, observe


def poisoned(window: np.ndarray, count: int, time_s: float) -> np.ndarray:
    """`count` samples of that time behind those of `window`, with figures that nobody has seen."""
    wrong = np.repeat(window[-1:], count)
    wrong["time_s"], wrong["cpu"], wrong["request_rate"] = time_s, 0.01, 1.0
    return np.concatenate([window, wrong])


AHEAD_S = (0.001, 1.0, 60.0, 86_400.0, 1e9, math.inf, math.nan)


@pytest.mark.parametrize("ahead_s", AHEAD_S)
@pytest.mark.parametrize("count", [1, 2, 5, 60])
def test_what_lies_before_them_is_read(ahead_s: float, count: int) -> None:
    window = make_window(cpu=0.7, rate=300.0)
    service = make_service(window=poisoned(window, count, NOW_S + ahead_s))
    looked = view(service, NOW_S, 45.0)
    assert (looked.cpu, looked.request_rate, looked.newest_s) == (0.7, 300.0, NOW_S - 3.0)
    row = newest(service, NOW_S)
    assert row is not None
    assert row[0] == NOW_S - 3.0


@pytest.mark.parametrize("ahead_s", AHEAD_S)
@pytest.mark.parametrize("poisoned_steps", [(), (0,), (1,), (1, 2, 3), tuple(range(12))])
def test_the_emergency_path_sees_what_drowns_all_the_same(
    ahead_s: float, poisoned_steps: tuple[int, ...]
) -> None:
    engine, reacted = Autoscaler(), math.inf
    for k in range(12):
        now_s = NOW_S + 5.0 * k
        window = make_window(now_s, cpu=0.6)
        if k >= 4:  # one sample more each step: two of the newest three have to agree
            hot = make_window(now_s, cpu=1.0, rate=2000.0, p95_s=3.0, error_rate=0.1, queue=500.0)
            window[-(k - 3) :] = hot[-(k - 3) :]
        if k in poisoned_steps:
            window = poisoned(window, 1, now_s + ahead_s)
        plan = engine.step(observe(make_service(desired=8, window=window), now_s=now_s))
        if any(action.category is Category.EMERGENCY for action in plan.actions):
            reacted = min(reacted, 5.0 * (k - 4))
    assert reacted == 5.0


def test_nothing_but_the_future_is_no_sample_at_all() -> None:
    window = make_window(age_s=-60.0, samples=3)
    assert newest(make_service(window=window), NOW_S) is None
    assert view(make_service(window=window), NOW_S, 45.0).stale
