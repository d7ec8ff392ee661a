"""The clairvoyant that keeps the engine's rules."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine.controllers.clairvoyant import Foresight
from engine.controllers.clairvoyant_within_rules import ClairvoyantWithinRules
from engine.model import Observation
from engine.settings import EngineSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window, observe

STEP_S = 60.0
SPEC = make_spec(user_facing=True)


def settings(**sections: dict[str, object]) -> EngineSettings:
    return EngineSettings.model_validate(sections)


BARE = settings(
    capacity={"survive_zone_loss": "none"},
    weddings={"lead_s": 0, "protection_s": 0},
)


def foresight(needed: np.ndarray, boots_s: float = 100.0) -> Foresight:
    rates = 0.5 * needed * SPEC.rate_per_instance
    return Foresight(
        NOW_S, STEP_S, {"api": needed}, {"api": lambda n: np.full(n, boots_s)},
        {"api": lambda: np.zeros(0)}, 30.0, {"api": rates},
    )  # fmt: skip


def walk(
    needed: np.ndarray, rules: EngineSettings, *, until_s: float, begin: int
) -> dict[float, int]:
    """Steps every 5 s of a service whose instances are ready at once: when it asked for what."""
    bound, ready, asked = ClairvoyantWithinRules(rules, foresight(needed)), begin, {}
    for after_s in np.arange(0.0, until_s, 5.0):
        plan = bound.step(seen(ready, after_s))
        for action in plan.actions:
            ready = asked[float(after_s)] = action.to_instances
    return asked


def seen(ready: int, after_s: float) -> Observation:
    service = make_service(SPEC, desired=ready, window=make_window(NOW_S + after_s))
    return observe(service, now_s=NOW_S + after_s)


def test_it_orders_what_will_be_needed_until_it_may_order_again() -> None:
    needed = np.concatenate((np.full(10, 10), np.arange(11, 31), np.full(200, 30)))
    asked = walk(needed, BARE, until_s=2400.0, begin=10)
    times = sorted(asked)
    assert times[0] == pytest.approx(600.0 - 100.0, abs=5.0)
    assert asked[times[0]] >= 15  # what the next five minutes need, in one step
    apart_s = np.diff(times)
    assert (apart_s >= BARE.limits.cooldown_out_s).all()
    assert max(asked.values()) == 30


def test_it_begins_early_where_steps_are_small() -> None:
    needed = np.concatenate((np.full(30, 10), np.full(60, 40)))
    asked = walk(needed, BARE, until_s=2000.0, begin=10)
    counts = [10, *asked.values()]
    for before, after in itertools.pairwise(counts):
        assert after <= max(before + 1, int(1.5 * before))
    in_time = [count for time_s, count in asked.items() if time_s <= 1800.0 - 100.0 + 5.0]
    assert max(in_time) == 40


def test_what_users_wait_for_has_a_zone_to_spare() -> None:
    rules = settings(weddings={"lead_s": 0, "protection_s": 0})
    assert walk(np.full(300, 10), rules, until_s=60.0, begin=10) == {0.0: 15}
    assert walk(np.full(300, 10), BARE, until_s=60.0, begin=10) == {}


def test_it_keeps_what_the_next_two_hours_need() -> None:
    needed = np.concatenate((np.full(60, 5), np.full(200, 20)))
    kept = settings(capacity={"survive_zone_loss": "none"})
    assert walk(needed, kept, until_s=1200.0, begin=20) == {}
    assert min(walk(needed, BARE, until_s=1200.0, begin=20).values()) < 20


def test_it_gives_back_in_steps_with_rests_and_never_below_the_minimum() -> None:
    asked = walk(np.full(300, 1), BARE, until_s=6000.0, begin=40)
    counts = [40, *asked.values()]
    for before, after in itertools.pairwise(counts):
        assert min(before - 1, int(np.ceil(0.7 * before - 1e-9))) <= after < before
    assert (np.diff(sorted(asked)) >= BARE.limits.cooldown_in_s).all()
    assert counts[-1] == max(SPEC.min_instances, 1)


def test_after_its_end_it_wants_nothing() -> None:
    bound = ClairvoyantWithinRules(BARE, foresight(np.full(10, 5)))
    assert bound.step(seen(5, 700.0)).actions == ()


def test_a_restored_one_goes_on_as_the_old_one() -> None:
    needed = np.concatenate((np.full(5, 10), np.full(60, 20), np.full(200, 5)))
    one = ClairvoyantWithinRules(BARE, foresight(needed))
    ready = 10
    for after_s in np.arange(0.0, 3000.0, 5.0):
        for action in one.step(seen(ready, float(after_s))).actions:
            ready = action.to_instances
    other = ClairvoyantWithinRules(BARE, foresight(needed))
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    for after_s in np.arange(3000.0, 5000.0, 5.0):
        at = seen(ready, float(after_s))
        assert other.step(at) == one.step(at)
    with pytest.raises(ValueError, match="snapshot"):
        other.restore('{"api": 3}')


def test_without_a_calendar_there_is_no_floor_for_major_events() -> None:
    bound = ClairvoyantWithinRules(settings(), foresight(np.full(300, 12)))
    at = seen(18, 0.0)
    nowhere = replace(at, outlook=replace(at.outlook, services={}))
    assert bound.step(nowhere).actions == ()
