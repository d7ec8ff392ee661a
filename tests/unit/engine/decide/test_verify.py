"""Whether the last step helped: every row worked out by hand.

It is looked at from 60 s after the step, for 300 s; failures that rise by more than 1 % are its
fault, unless the load has grown by more than a quarter.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.verify import Verdict, verify, watched
from engine.decide.view import view
from engine.memory import NEVER, ServiceMemory, Watch
from engine.model import Reason
from engine.settings import VerifySettings
from tests.unit.engine.conftest import NOW_S, make_service, make_window
from tests.unit.engine.decide.conftest import seen_of, viewed
from tests.unit.engine.decide.test_approvals import action_of

SETTINGS = VerifySettings()
OUT, IN = (10, 15), (10, 7)


def watch_of(step: tuple[int, int], ago_s: float = 100.0, **changes: object) -> Watch:
    figures: dict[str, object] = {
        "decision_id": "api-1",
        "from_instances": step[0],
        "to_instances": step[1],
        "decided_s": NOW_S - ago_s,
        "error_rate": 0.0,
        "request_rate": 500.0,
        "healthy": True,
    }
    return Watch(**(figures | changes))  # type: ignore[arg-type]


def judged(watch: Watch | None, *, ready: int | None = None, booting: int = 0,  # type: ignore[no-untyped-def]
           whole: bool = True, desired: int = 10, **figures: float) -> Verdict:  # fmt: skip
    service = make_service(
        desired=desired, ready=desired if ready is None else ready, booting=booting,
        window=make_window(**figures),
    )  # fmt: skip
    memory = ServiceMemory(watch=watch, hold_out_until_s=11.0, hold_in_until_s=22.0, held_at=33)
    (verdict,) = verify([seen_of(service, memory=memory, whole=whole)], NOW_S, SETTINGS)
    return verdict


@pytest.mark.parametrize(
    ("step", "figures", "undone"),
    [
        # A step out that brings failures while nothing is short.
        (OUT, {"error_rate": 0.02}, True),
        (OUT, {"error_rate": 0.01}, False),  # a rise by 1 % is not more than 1 %
        (OUT, {"error_rate": 0.02, "cpu": 0.9}, False),  # short of capacity: not its fault
        (OUT, {"p95_s": 3.0}, False),  # slow is no harm that more instances do
        (OUT, {"cpu": 0.9}, False),
        # A step in that brings failures, slowness in a full service, or a full service.
        (IN, {"error_rate": 0.02}, True),
        (IN, {"error_rate": 0.01}, False),
        (IN, {"p95_s": 3.0}, False),  # slow with slots to spare: somebody else's
        (IN, {"p95_s": 3.0, "queue": 90.0}, True),
        (IN, {"queue": 90.0}, False),
        (IN, {"cpu": 0.8}, False),
        (IN, {"cpu": 0.81}, True),
        # 500/s are 0.71 of what seven serve: a cpu of half more than that is not the step's.
        (IN, {"cpu": 1.07}, True),
        (IN, {"cpu": 1.08}, False),
        (IN, {"cpu": 0.81, "rate": 379.0}, True),
        (IN, {"cpu": 0.81, "rate": 377.0}, False),
        (IN, {"cpu": 0.81, "rate": 0.0}, False),
        (IN, {"cpu": 0.81, "rate": math.nan}, True),
        (IN, {}, False),
        # 625/s is a quarter more than the 500/s of before; more explains everything.
        (IN, {"cpu": 0.9, "rate": 625.0}, True),
        (IN, {"cpu": 0.9, "rate": 626.0}, False),
        (OUT, {"error_rate": 0.5, "rate": 626.0}, False),
        # Without the rate of before nobody can say that; only a step in is undone then.
        (OUT, {"error_rate": 0.5, "rate": math.nan}, False),
        (OUT, {"error_rate": 0.5, "rate": 0.0}, True),
        (IN, {"error_rate": 0.5, "rate": math.nan}, True),
    ],
)
def test_a_step_that_made_things_worse_is_undone(step, figures, undone: bool) -> None:  # type: ignore[no-untyped-def]
    watch = watch_of(step)
    verdict = judged(watch, desired=step[1], **figures)
    if not undone:
        assert verdict == Verdict(watch, 11.0, 22.0, 33)
        return
    rollback = verdict.rollback
    assert rollback is not None
    assert (rollback.service, rollback.target, rollback.reason) == ("api", 10, Reason.ROLLBACK)
    assert (rollback.confidence, rollback.trigger_s) == (0.9, NOW_S)
    assert rollback.evidence["from"] == float(step[1])
    assert rollback.evidence["back_to"] == 10.0
    assert (verdict.watch, verdict.undoes) == (None, watch)
    # Its direction rests for 900 s, the other one as before.
    rests = (NOW_S + 900.0, 22.0) if step is OUT else (11.0, NOW_S + 900.0)
    assert (verdict.hold_out_until_s, verdict.hold_in_until_s) == rests
    assert verdict.held_at == (33 if step is OUT else 10)


@pytest.mark.parametrize(
    ("before", "undone"),
    [
        ({"healthy": False}, False),  # it was no better before
        ({"error_rate": 0.4}, True),
        ({"error_rate": 0.49}, False),
        ({"error_rate": 0.48}, True),  # a rise by 2 %
        # Without load before, one request a second stands in for it.
        ({"request_rate": 0.0}, False),
    ],
)
def test_it_is_compared_with_how_it_was_before(before, undone: bool) -> None:  # type: ignore[no-untyped-def]
    verdict = judged(watch_of(IN, **before), desired=7, error_rate=0.5, rate=500.0)
    assert (verdict.rollback is not None) is undone


@pytest.mark.parametrize(("cpu", "undone"), [(0.9, True), (0.96, True), (0.97, False)])
def test_a_single_instance_is_full_by_what_one_serves(cpu: float, undone: bool) -> None:
    # 64/s are 0.64 of what one serves: a cpu of half more than that, 0.96, is the step's.
    verdict = judged(watch_of((2, 1), request_rate=64.0), desired=1, cpu=cpu, rate=64.0)
    assert (verdict.rollback is not None) is undone


def test_of_a_trickle_before_the_loss_is_a_loss_too() -> None:
    watch = watch_of(OUT, request_rate=1.0)
    assert judged(watch, desired=15, error_rate=0.5, rate=math.nan).rollback is None


def test_who_had_no_rate_before_is_judged_without_one() -> None:
    watch = watch_of(OUT, request_rate=0.0)
    assert judged(watch, desired=15, error_rate=0.5, rate=math.nan).rollback is not None


def test_a_trickle_of_load_is_no_growth() -> None:
    watch = watch_of(IN, request_rate=0.0)
    assert judged(watch, desired=7, error_rate=0.5, rate=1.25).rollback is not None
    assert judged(watch, desired=7, error_rate=0.5, rate=1.26).rollback is None


@pytest.mark.parametrize(
    ("ago_s", "outcome"),
    [
        (59.9, "watched"),
        (60.0, "undone"),
        (400.0, "undone"),
    ],
)
def test_it_settles_for_a_minute_first(ago_s: float, outcome: str) -> None:
    verdict = judged(watch_of(IN, ago_s), desired=7, error_rate=0.5)
    assert outcome == ("undone" if verdict.rollback else "watched" if verdict.watch else "over")


@pytest.mark.parametrize(("ago_s", "over"), [(60.0, False), (359.9, False), (360.0, True)])
def test_a_step_that_did_no_harm_is_watched_for_five_minutes(ago_s: float, over: bool) -> None:
    verdict = judged(watch_of(IN, ago_s), desired=7)
    assert (verdict.watch is None) is over
    assert verdict[1:] == (11.0, 22.0, 33, None, None)


@pytest.mark.parametrize(
    ("step", "ready", "booting", "ago_s", "outcome"),
    [
        # New instances that boot have no effect yet; after 1200 s that is no excuse.
        (OUT, 10, 5, 1199.9, "watched"),
        (OUT, 10, 5, 1200.0, "over"),
        (OUT, 14, 1, 100.0, "watched"),
        (OUT, 15, 1, 100.0, "undone"),  # more than those asked for are booting
        (OUT, 10, 0, 100.0, "undone"),
        (IN, 6, 1, 100.0, "undone"),
    ],
)
def test_a_step_out_is_judged_once_its_instances_serve(step, ready, booting, ago_s, *, outcome):  # type: ignore[no-untyped-def]
    verdict = judged(
        watch_of(step, ago_s), desired=step[1], ready=ready, booting=booting, error_rate=0.5
    )
    assert outcome == ("undone" if verdict.rollback else "watched" if verdict.watch else "over")
    assert verdict.rollback is not None or verdict[1:3] == (11.0, 22.0)


@pytest.mark.parametrize(
    ("ages_s", "judged_by"),
    [
        ([180.0, 90.0, 60.0, 30.0], True),
        ([160.0, 101.0, 60.0, 30.0], False),
        ([160.0, 100.0, 60.0, 30.0], True),
        ([160.0, 155.0, 30.0], False),
    ],
)
def test_a_step_is_judged_by_three_samples_of_after_it(
    ages_s: list[float], judged_by: bool
) -> None:
    window = make_window(error_rate=0.5, samples=len(ages_s))
    window["time_s"] = NOW_S - np.array(ages_s)
    service = make_service(desired=7, window=window)
    looked = view(service, NOW_S, 180.0)
    watch = watch_of(IN, 100.0)
    seen = seen_of(service, memory=ServiceMemory(watch=watch))._replace(view=looked)
    (verdict,) = verify([seen], NOW_S, SETTINGS)
    assert (verdict.rollback is not None, verdict.watch) == (
        (True, None) if judged_by else (False, watch)
    )


def test_nothing_is_judged_by_old_samples_between_cycles_or_without_a_step() -> None:
    watch = watch_of(IN, 400.0)
    unchanged = Verdict(watch, 11.0, 22.0, 33)
    assert judged(watch, desired=7, error_rate=0.5, age_s=99.0) == unchanged
    assert judged(watch, desired=7, error_rate=0.5, whole=False) == unchanged
    assert judged(None, error_rate=0.5) == Verdict(None, 11.0, 22.0, 33)


@pytest.mark.parametrize(
    ("figures", "error_rate", "request_rate"),
    [
        ({"error_rate": 0.03, "rate": 700.0}, 0.03, 700.0),
        ({"error_rate": 0.0, "rate": 0.0}, 0.0, 0.0),
        ({"error_rate": math.nan, "rate": math.nan}, 0.0, 0.0),
    ],
)
def test_how_it_was_is_kept_with_the_step(figures, error_rate, request_rate) -> None:  # type: ignore[no-untyped-def]
    watch = watched(action_of(20, 30), viewed(make_window(**figures)), healthy=False)
    assert watch == Watch("api-1", 20, 30, NOW_S - 60.0, error_rate, request_rate, False)
    assert watch.decided_s > NEVER
