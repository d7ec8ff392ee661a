"""Steps that are over: one a minute, bounded, and what a moment looked like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.api.past import MOST_COUNTS, Past
from engine.api.samples import BLOCK, TIME, Samples
from engine.api.snapshot import StepLook
from engine.model import SAMPLE_FIELDS
from engine.security.roles import PlatformState
from tests.unit.engine.api.conftest import Engine


@pytest.fixture
def look(engine: Engine) -> StepLook:
    made = engine.context.board.look
    assert made is not None
    return made


def at(look: StepLook, time_s: float, number: int = 1) -> StepLook:
    return replace(look, time_s=time_s, number=number, texts={})


def kept(look: StepLook, every_s: float, steps: int, kept_s: float = 3600.0) -> Past:
    past = Past(tuple(look.services), kept_s)
    for k in range(steps):
        now = at(look, every_s * k, k)
        if past.wants(now.time_s):
            past.add(now, {})
    return past


def test_one_step_a_minute_is_kept_for_as_long_as_was_said(look: StepLook) -> None:
    past = kept(look, 15.0, 1000)
    newest_s = 60.0 * (15.0 * 999 // 60.0)
    assert past.span() == (newest_s - 3600.0, newest_s)
    numbers = [past.at(newest_s - 60.0 * k) for k in range(61)]
    assert [one.number for one in numbers if one] == [int(newest_s / 15) - 4 * k for k in range(61)]


@pytest.mark.parametrize(
    ("time_s", "number"),
    [
        (0.0, 0),
        (59.9, 0),
        (60.0, 4),
        (119.0, 4),
        (540.0, 36),
        (660.0, 36),
        (660.1, None),
        (-0.1, None),
    ],
)  # fmt: skip
def test_a_moment_is_the_newest_step_before_it_if_one_is_near(
    look: StepLook, time_s: float, number: int | None
) -> None:
    step = kept(look, 15.0, 40).at(time_s)
    assert (step and step.number) == number


def test_without_any_step_there_is_no_moment() -> None:
    past = Past(("api",), 3600.0)
    assert (past.at(5.0), past.span()) == (None, None)


def test_a_clock_that_is_set_back_leaves_nothing_of_a_time_to_come(look: StepLook) -> None:
    past = kept(look, 60.0, 20)
    assert past.wants(300.0)
    past.add(at(look, 300.0, 99), {})
    assert past.span() == (0.0, 300.0)
    step = past.at(330.0)
    assert step is not None and step.number == 99


def test_of_thousands_of_services_fewer_steps_are_kept() -> None:
    past = Past([f"s{k}" for k in range(5000)], 86_400.0)
    assert past.every_s == 60.0
    many = Past([f"s{k}" for k in range(50_000)], 86_400.0)
    assert 86_400.0 / many.every_s * 50_000 <= MOST_COUNTS


def test_it_looks_as_it_did(engine: Engine, look: StepLook) -> None:
    services = {
        name: replace(one, desired=7, ready=5, booting=2, draining=1, wedding_floor=3,
                      state=PlatformState.WEDDING_DAY)
        for name, one in look.services.items()
    }  # fmt: skip
    past = Past(tuple(look.services), 3600.0)
    past.add(replace(look, services=services, texts={}), {"noun": "weddings"})
    engine.now_s += 600.0
    engine.step()
    newest = engine.context.board.look
    assert newest is not None
    step = past.at(look.time_s + 60.0)
    assert step is not None
    then = past.look(step, newest)
    for name, one in then.services.items():
        was = services[name]
        for field in ("desired", "ready", "booting", "draining", "wedding_floor", "state"):
            assert getattr(one, field) == getattr(was, field)
        sample, expected = one.samples.newest, was.samples.newest
        assert sample is not None and expected is not None
        assert sample[TIME] == expected[TIME]


@pytest.mark.parametrize("rows", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_samples_up_to_a_moment_are_those_and_no_others(rows: int) -> None:
    samples = Samples(10 * BLOCK)
    times = np.arange(rows) * 5.0
    given = np.zeros((rows, len(SAMPLE_FIELDS)))
    given[:, TIME] = times
    samples.add(given)
    for end_s in {-1.0, 0.0, 2.0, 5.0 * (rows // 2), 5.0 * BLOCK - 5.0, 5.0 * BLOCK, 5.0 * rows}:
        view = samples.view().until(end_s)
        there = view.since(-np.inf)[:, TIME] if view.blocks else np.zeros(0)
        assert there.tolist() == times[times <= end_s].tolist()
        newest = view.newest
        assert (None if newest is None else newest[TIME]) == (there[-1] if len(there) else None)
