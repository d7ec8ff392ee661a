"""How busy the engine is: each sample counts once, with the time that its step took."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.model import SAMPLE_DTYPE
from engine.runtime.own_load import BUCKETS, LONGEST_S, OwnLoad, arrived, left_out


def window(*times_s: float) -> NDArray[np.void]:
    samples = np.zeros(len(times_s), SAMPLE_DTYPE)
    samples["time_s"] = times_s
    return samples


def load() -> OwnLoad:
    return OwnLoad(iter([0.25, 1.5, 2.0, 3.0]).__next__)


def step(own: OwnLoad, took_s: float, left_out: int, due_s: float = 100.0) -> None:
    own.stepped(due_s, due_s + took_s, left_out=left_out, sample_s=5.0)


def test_each_sample_counts_once_and_of_a_service_that_is_new_the_last_one() -> None:
    own = load()
    own.take_up({"api": window(5.0, 10.0), "database": window(), "mail": window(10.0)})
    step(own, 0.1, 0)
    assert own.samples == 2
    own.take_up({"api": window(5.0, 10.0, 15.0, 20.0), "database": window(20.0)})
    own.take_up({"mail": window(10.0)})
    step(own, 0.1, 0)
    assert own.samples == 2 + 2 + 1
    own.take_up({"api": window(15.0)})  # a clock that was set back
    own.take_up({"mail": window(10.0, 15.0)})
    step(own, 0.1, 0)
    assert own.samples == 6


def test_what_went_to_another_engine_is_new_when_it_comes_back() -> None:
    own = load()
    own.take_up({"api": window(5.0), "mail": window(5.0)})
    step(own, 0.1, 0)
    own.let_go(["api", "never had"])
    own.take_up({"api": window(5.0, 10.0, 15.0), "mail": window(5.0, 10.0, 15.0)})
    step(own, 0.1, 0)
    assert own.samples == 2 + 1 + 2


@pytest.mark.parametrize(("left_out", "waiting"), [(0, 0), (1, 2), (3, 6), (-4, 0)])
def test_steps_that_were_left_out_make_a_queue_until_the_next_step(
    left_out: int, waiting: int
) -> None:
    own = load()
    own.take_up({"api": window(5.0), "mail": window(5.0), "database": window()})
    step(own, 6.0, left_out)
    assert own.waiting == waiting
    own.take_up({"api": window(10.0)})
    step(own, 0.1, 0)
    assert own.waiting == 0


def test_times_are_counted_for_each_sample_and_the_processor_as_it_is() -> None:
    own = load()
    assert own.shown() == {
        "arrived": 0.0, "per_s": 0.0, "at_s": 0.0,
        "samples": 0, "waiting": 0, "busy_s": 0.0, "counts": [0] * len(BUCKETS), "sum_s": 0.0,
    }  # fmt: skip
    own.take_up({"api": window(5.0), "mail": window(5.0)})
    step(own, 0.5, 0)
    own.take_up({"api": window(5.0, 10.0)})
    step(own, -3.0, 0)  # a clock that was set back takes no time away
    shown = own.shown()
    assert (shown["busy_s"], shown["sum_s"]) == (1.5, 1.0)
    assert shown["counts"][BUCKETS.bucket(0.5)] == 2
    assert shown["counts"][0] == 1
    assert sum(shown["counts"]) == shown["samples"] == 3
    step(own, 0.5, 0)
    assert sum(own.shown()["counts"]) == 3


def test_the_processor_is_that_of_the_thread_that_steps() -> None:
    own = OwnLoad()
    step(own, 0.0, 0)
    before_s = own.shown()["busy_s"]
    assert before_s > 0.0
    sum(range(2_000_000))
    step(own, 0.0, 0)
    assert own.shown()["busy_s"] > before_s


def test_buckets_reach_from_a_quick_step_to_one_of_a_minute() -> None:
    assert (BUCKETS.edges_s[0], len(BUCKETS)) == (0.002, 28)
    assert 60.0 < BUCKETS.edges_s[-1] < 80.0
    assert BUCKETS.edges_s[5] == 0.015188


def test_what_comes_due_grows_with_the_time_whenever_the_steps_are_made() -> None:
    own = load()
    own.take_up({"api": window(5.0), "mail": window(5.0), "database": window()})
    step(own, 0.5, 0, due_s=10.0)
    shown = own.shown()
    assert (shown["arrived"], shown["per_s"], shown["at_s"]) == (0.0, 2 / 5.0, 10.5)
    own.take_up({"api": window(5.0, 10.0, 15.0), "mail": window(5.0)})
    step(own, 1.0, 1, due_s=20.0)
    shown = own.shown()
    assert (shown["arrived"], shown["per_s"], shown["at_s"]) == (4.2, 2 / 5.0, 21.0)
    own.take_up({"api": window(15.0)})
    step(own, 0.0, 0, due_s=25.0)
    shown = own.shown()
    assert (shown["arrived"], shown["per_s"]) == (pytest.approx(5.8), 1 / 5.0)


@pytest.mark.parametrize("each", [1, 2, 3, 12])
def test_as_much_comes_due_however_late_samples_come_and_none_of_who_is_silent(each: int) -> None:
    own = OwnLoad(lambda: 0.0)
    rates = []
    for number in range(40):
        newest_s = 5.0 * (number - number % each)
        own.take_up({"api": window(newest_s - 5.0, newest_s), "gone": window(0.0)})
        step(own, 0.1, 0, due_s=5.0 * number)
        rates.append(own.shown()["per_s"])
    silent = 12  # a minute
    assert rates[: silent + 1] == [2 / 5.0] * (silent + 1)
    assert set(rates[silent + 1 :]) == {1 / 5.0}


def test_of_a_step_that_is_heard_of_no_more_nothing_comes_due_after_a_while() -> None:
    assert arrived(3.0, 2.0, 100.0, 101.5) == 6.0
    assert arrived(3.0, 2.0, 100.0, 90.0) == 3.0
    assert arrived(3.0, 2.0, 100.0, 1e6) == 3.0 + 2.0 * LONGEST_S == 33.0


@pytest.mark.parametrize(
    ("last", "due", "count"), [(-1, 7, 0), (0, 1, 0), (0, 3, 2), (7, 8, 0), (7, 10, 2), (7, 5, -3)]
)
def test_what_was_not_made_lies_between_the_last_beat_and_this_one(
    last: int, due: int, count: int
) -> None:
    assert left_out(last, due) == count
