"""What stands against taking instances away, and how far down it goes otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.decide.figures import FiguresThere
from engine.decide.rails.limits import SOON
from engine.decide.rails.scale_in import scale_in
from engine.decide.sleep import ASLEEP
from engine.memory import ServiceMemory
from engine.model import Reason
from engine.settings import EngineSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.decide.conftest import ahead_of, seen_of, wish_of

COLD = {"cpu": 0.2, "rate": 200.0, "memory": 0.3, "p95_s": 0.1}
SHORT = ServiceMemory(short_from_s=NOW_S - 139.0)
CHOSEN = wish_of(4, Reason.FORECAST, evidence={"rate": 300.0}, confidence=0.7)


def down(  # type: ignore[no-untyped-def]
    *, window=None, memory=None, alarm=None, ahead=None, chosen=CHOSEN, spec=None,
    targets=((NOW_S, 4),), measured=None, **counts: int
):  # fmt: skip
    window = make_window(**COLD) if window is None else window
    service = make_service(spec or make_spec(), **({"desired": 10} | counts), window=window)
    seen = seen_of(service, memory=memory, alarm=alarm, measured=measured)
    return scale_in(
        seen, ahead or ahead_of(4.0), chosen, now_s=NOW_S, settings=EngineSettings(),
        targets=targets,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"window": make_window(age_s=99.0)}, "no scale-in on stale metrics (99 s old)"),
        (
            {"memory": ServiceMemory(calm_from_s=NOW_S + 1.0)},
            "no scale-in until calm after an emergency",
        ),
        ({"alarm": wish_of(20, Reason.EMERGENCY)}, "no scale-in until calm after an emergency"),
        (
            {"window": make_window(**(COLD | {"p95_s": 0.6}))},
            "no scale-in while the SLO is being missed",
        ),
        (
            {"window": make_window(**(COLD | {"cpu": 0.6}))},
            "no scale-in while a figure is above its lower threshold",
        ),
        ({"ready": 9, "booting": 1, "memory": SHORT}, "no scale-in while instances are booting"),
        (
            {"measured": FiguresThere(("p95_s", "cpu"), ("memory",), False, {})},
            "no scale-in after the loss of p95 and cpu",
        ),
        (
            {"measured": FiguresThere((), ("memory",), True, {})},
            "no scale-in without any of cpu, request rate and p95",
        ),
        ({"ahead": ahead_of(4.0, protected=10)}, "wedding protection for the next 2 h"),
        ({"ahead": ahead_of(4.0, floor=12)}, "wedding protection for the next 2 h"),
        # Ten are needed again within the boot time.
        ({"ahead": ahead_of([4.0] * 3 + [10.0] * 147)},
         "holding is cheaper than trimming and booting"),
        # The stabilisation window alone says nothing to people.
        ({"targets": ((NOW_S, 10),)}, ""),
    ],
)  # fmt: skip
def test_what_stands_against_it(changes, why: str) -> None:  # type: ignore[no-untyped-def]
    result = down(**changes)
    assert (result.target, result.recommendation, result.why) == (10, CHOSEN, why)


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, 4),
        ({"memory": ServiceMemory(calm_from_s=NOW_S)}, 4),  # calm from now on
        ({"targets": ((NOW_S, 6),)}, 6),
        ({"ahead": ahead_of(4.0, protected=7, floor=5)}, 7),
        ({"ahead": ahead_of(4.0, protected=5, floor=7)}, 7),
        ({"ahead": ahead_of(4.0, protected=9)}, 9),
        ({"spec": make_spec(min_instances=8)}, 8),
        # Booting beyond what is desired, or missing and not booting: no reason to wait.
        ({"ready": 10, "booting": 2, "memory": SHORT}, 4),
        ({"ready": 9, "booting": 0, "memory": SHORT}, 4),
        # What has not booted in the 140 s that nearly all take is not waited for.
        ({"ready": 9, "booting": 1, "memory": ServiceMemory(short_from_s=NOW_S - 140.0)}, 4),
        # What nobody measures speaks neither for nor against.
        ({"measured": FiguresThere((), ("memory", "p95_s"), False, {})}, 4),
    ],
)
def test_it_goes_down_to_what_is_still_needed(changes, target: int) -> None:  # type: ignore[no-untyped-def]
    result = down(**changes)
    assert (result.target, result.why) == (target, "")
    trimmed = result.recommendation
    assert (trimmed.target, trimmed.reason, trimmed.confidence) == (target, Reason.COST, 0.7)
    assert trimmed.trigger_s == NOW_S
    # 0.1 USD/h each, beside what the rule went by
    saving = pytest.approx(0.1 * (10 - target))
    assert trimmed.evidence == {"rate": 300.0, "saving_usd_per_hour": saving}
    assert CHOSEN.evidence == {"rate": 300.0}


@pytest.mark.parametrize(("asked_s", "target"), [(NOW_S - 299.0, 1), (NOW_S - 300.0, 0)])
def test_who_was_asked_for_lately_keeps_one_and_who_was_not_may_sleep(
    asked_s: float, target: int
) -> None:
    service = make_service(
        make_spec(min_instances=0), desired=10, window=make_window(**(COLD | {"rate": 0.0}))
    )
    result = scale_in(
        seen_of(service, asked_s=asked_s), ahead_of(0.0), replace(CHOSEN, target=0),
        targets=((NOW_S, 0),), now_s=NOW_S, settings=EngineSettings(),
    )  # fmt: skip
    assert result.target == target
    evidence = result.recommendation.evidence
    assert {name: evidence.get(name) for name in (ASLEEP, "unasked_s")} == (
        {ASLEEP: 1.0, "unasked_s": 300.0} if target == 0 else {ASLEEP: None, "unasked_s": None}
    )


def test_a_wish_for_what_is_there_is_not_blamed_on_the_weddings() -> None:
    chosen = replace(CHOSEN, target=10)
    assert down(chosen=chosen, ahead=ahead_of(4.0, protected=12)).why == ""


@pytest.mark.parametrize(
    ("targets", "target"),
    [
        # In a minute seven (-30 %) may stay of ten; one now is little, two are worth it.
        (((NOW_S - 241.0, 9), (NOW_S, 4)), 10),
        (((NOW_S - 241.0, 8), (NOW_S, 4)), 8),
        (((NOW_S - 240.0, 9), (NOW_S, 4)), 9),  # it leaves in more than a minute
        (((NOW_S - 299.0, 9), (NOW_S - 100.0, 8), (NOW_S, 4)), 9),  # 9 now, 8 then: half of it
    ],
)
def test_it_waits_for_a_minute_where_much_more_can_go_then(
    targets: tuple[tuple[float, int], ...], target: int
) -> None:
    result = down(targets=targets)
    assert (result.target, result.why) == (target, SOON if target == 10 else "")


def test_it_does_not_wait_where_no_more_can_go_then() -> None:
    held = down(targets=((NOW_S - 241.0, 9), (NOW_S, 4)), ahead=ahead_of(4.0, protected=9))
    assert (held.target, held.why) == (9, "")
