"""What each rule wants, and which of them wins: every row worked out by hand.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.decide.assess import assess
from engine.decide.figures import FiguresThere
from engine.decide.recommend.emergency import UNCONFIRMED
from engine.decide.recommend.manual import (
    OVERRIDE,
    is_paused,
    manual,
    pauses_in_force,
    pin,
    pinned,
    scaled,
    static_fallback,
)
from engine.decide.recommend.reactive import reactive
from engine.decide.verify import Verdict
from engine.decide.view import view
from engine.decide.wishes import Wish, emergencies, recommend
from engine.memory import Sent, ServiceMemory
from engine.model import Direction, ManualFloor, ManualScale, Pause, Reason
from engine.settings import EngineSettings, FallbackSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window, observe
from tests.unit.engine.decide.conftest import ahead_of, seen_of, wish_of

SETTINGS = EngineSettings()
NOTHING_TO_UNDO = Verdict(None, -math.inf, -math.inf, -1)


def wish(  # type: ignore[no-untyped-def]
    ahead=None, verdict=NOTHING_TO_UNDO, floors=(), settings=SETTINGS, *, desired=10, memory=None,
    scales=(), **figures: float,
) -> Wish:  # fmt: skip
    window = make_window(**({"cpu": 0.4} | figures))
    seen = seen_of(make_service(desired=desired, window=window), memory=memory)
    (one,) = recommend(
        [seen], [ahead or ahead_of(4.0)], [verdict],
        observation=observe(seen.service, floors=floors, scales=scales), settings=settings,
    )  # fmt: skip
    return one


FLOOR_12 = ManualFloor("api", 12, NOW_S + 60.0)


@pytest.mark.parametrize(
    ("changes", "reason", "target"),
    [
        ({}, Reason.FORECAST, 4),
        ({"ahead": ahead_of(4.0, floor=6)}, Reason.WEDDING_FLOOR, 6),
        ({"ahead": ahead_of(8.0, floor=6)}, Reason.FORECAST, 8),
        ({"ahead": ahead_of(6.0, floor=6)}, Reason.FORECAST, 6),  # of equal ones the first
        ({"floors": (FLOOR_12,)}, Reason.MANUAL, 12),
        ({"floors": (FLOOR_12,), "ahead": ahead_of(13.0)}, Reason.FORECAST, 13),
        ({"cpu": 0.88}, Reason.CPU, 11),  # ten at 0.88 of 0.8: 11
        ({"cpu": 0.88, "ahead": ahead_of(12.0)}, Reason.FORECAST, 12),
        # What did harm is undone, even though a rule wants more …
        ({"verdict": NOTHING_TO_UNDO._replace(rollback=wish_of(7, Reason.ROLLBACK)), "cpu": 0.88},
         Reason.ROLLBACK, 7),
        # … unless undoing it means growing: then the highest wins as ever.
        ({"verdict": NOTHING_TO_UNDO._replace(rollback=wish_of(10, Reason.ROLLBACK)), "cpu": 0.88},
         Reason.CPU, 11),
        ({"verdict": NOTHING_TO_UNDO._replace(rollback=wish_of(12, Reason.ROLLBACK)), "cpu": 0.88},
         Reason.ROLLBACK, 12),
    ],
)  # fmt: skip
def test_the_highest_wish_wins(changes, reason: Reason, target: int) -> None:  # type: ignore[no-untyped-def]
    chosen = wish(**changes).chosen
    assert chosen is not None
    assert (chosen.reason, chosen.target) == (reason, target)


def test_what_wanted_more_than_there_is_and_lost_is_named() -> None:
    one = wish(ahead=ahead_of(13.0, floor=11), floors=(FLOOR_12,), cpu=0.88)
    assert [(d.recommendation.reason, d.why) for d in one.declined] == [
        (Reason.CPU, "forecast asks for as much or more"),
        (Reason.WEDDING_FLOOR, "forecast asks for as much or more"),
        (Reason.MANUAL, "forecast asks for as much or more"),
    ]
    assert wish(ahead=ahead_of(13.0, floor=10)).declined == ()  # ten are there


def scale_to(instances: int) -> tuple[ManualScale, ...]:
    return (ManualScale("scale-7", "api", instances, NOW_S + 60.0, "ada"),)


@pytest.mark.parametrize(
    ("changes", "reason", "target"),
    [
        ({"scales": scale_to(6)}, Reason.MANUAL, 6),
        # It wins over forecast and figures, both ways …
        ({"scales": scale_to(6), "ahead": ahead_of(13.0)}, Reason.MANUAL, 6),
        ({"scales": scale_to(6), "cpu": 0.95}, Reason.MANUAL, 6),
        ({"scales": scale_to(20), "ahead": ahead_of(13.0)}, Reason.MANUAL, 20),
        # … not over wedding floors, floors of people and what is undone.
        ({"scales": scale_to(6), "ahead": ahead_of(4.0, floor=7)}, Reason.WEDDING_FLOOR, 7),
        ({"scales": scale_to(7), "ahead": ahead_of(4.0, floor=7)}, Reason.MANUAL, 7),
        ({"scales": scale_to(6), "floors": (FLOOR_12,)}, Reason.MANUAL, 12),
        ({"scales": scale_to(6),
          "verdict": NOTHING_TO_UNDO._replace(rollback=wish_of(7, Reason.ROLLBACK))},
         Reason.ROLLBACK, 7),
        ({"scales": scale_to(6),
          "verdict": NOTHING_TO_UNDO._replace(rollback=wish_of(12, Reason.ROLLBACK))},
         Reason.ROLLBACK, 12),
        ({"scales": scale_to(14),
          "verdict": NOTHING_TO_UNDO._replace(rollback=wish_of(12, Reason.ROLLBACK))},
         Reason.MANUAL, 14),
    ],
)  # fmt: skip
def test_what_a_person_wants_wins_over_the_rules(changes, reason: Reason, target: int) -> None:  # type: ignore[no-untyped-def]
    chosen = wish(**changes).chosen
    assert chosen is not None
    assert (chosen.reason, chosen.target) == (reason, target)
    assert bool(chosen.scale_id) is (target == changes["scales"][0].instances)


def test_what_a_person_wants_less_than_is_named_as_passed_over() -> None:
    one = wish(scales=scale_to(6), ahead=ahead_of(13.0), cpu=0.88)
    assert [(d.recommendation.reason, d.why) for d in one.declined] == [
        (Reason.CPU, "somebody asked for 6 instances"),
        (Reason.FORECAST, "somebody asked for 6 instances"),
    ]
    more = wish(scales=scale_to(13), ahead=ahead_of(13.0))
    assert [d.why for d in more.declined] == ["manual asks for as much or more"]
    floor = wish(scales=scale_to(11), floors=(FLOOR_12,))
    assert [(d.recommendation.scale_id, d.why) for d in floor.declined] == [
        ("scale-7", "manual asks for as much or more")
    ]


def test_what_a_person_wants_stands_against_the_fallback_when_metrics_are_lost() -> None:
    settings = EngineSettings(fallback=FallbackSettings(mode="static", instances=9))
    chosen = wish(scales=scale_to(6), settings=settings, age_s=99.0).chosen
    assert chosen is not None
    assert (chosen.target, chosen.scale_id) == (6, "scale-7")


@pytest.mark.parametrize(
    ("scales", "target"),
    [
        ((), None),
        ((ManualScale("a", "photos", 5, NOW_S + 1.0),), None),
        ((ManualScale("a", "api", 5, NOW_S),), None),  # over
        ((ManualScale("a", "api", 5, NOW_S + 0.5),), 5),
        ((ManualScale("a", "api", 5, NOW_S + 1.0), ManualScale("b", "api", 4, NOW_S + 1.0)), 4),
        ((ManualScale("a", "api", 5, NOW_S + 1.0), ManualScale("b", "api", 4, NOW_S)), 5),
        ((ManualScale("a", "api", 5, NOW_S + 1.0), ManualScale("b", "photos", 4, NOW_S + 1.0)), 5),
    ],
)
def test_the_count_asked_for_last_holds_until_it_expires(scales, target) -> None:  # type: ignore[no-untyped-def]
    one = scaled(make_spec(), scales, NOW_S)
    assert (None if one is None else one.target) == target


def test_a_persons_count_is_a_recommendation_with_its_figures() -> None:
    one = scaled(make_spec(), scale_to(6), NOW_S)
    assert one == wish_of(
        6, Reason.MANUAL, evidence={"asked": 6.0, "expires_in_s": 60.0}, confidence=1.0,
        trigger_s=NOW_S, scale_id="scale-7",
    )  # fmt: skip
    past = scaled(make_spec(), [replace(one, override=True) for one in scale_to(6)], NOW_S)
    assert past == replace(one, evidence={**one.evidence, OVERRIDE: 1.0})


@pytest.mark.parametrize(
    ("mode", "ahead", "target", "note"),
    [
        ("outlook", ahead_of(4.0), 4, "metrics are stale (99 s old), fallback outlook"),
        ("outlook", ahead_of(4.0, floor=6), 6, "metrics are stale (99 s old), fallback outlook"),
        ("hold", ahead_of(4.0, floor=6), None, "metrics are stale (99 s old), fallback hold"),
        ("static", ahead_of(4.0, floor=6), 9, "metrics are stale (99 s old), fallback static"),
        ("outlook", ahead_of(4.0, floor=6, blind=True, unbooked="no calendar"), None,
         "no calendar; metrics are stale (99 s old), fallback outlook"),
    ],
)  # fmt: skip
def test_without_fresh_samples_the_fallback_decides(mode, ahead, target, note) -> None:  # type: ignore[no-untyped-def]
    settings = EngineSettings(fallback=FallbackSettings(mode=mode, instances=9))
    one = wish(ahead=ahead, settings=settings, cpu=1.0, age_s=99.0)
    assert (None if one.chosen is None else one.chosen.target) == target
    assert one.notes == note


@pytest.mark.parametrize(("apart_s", "is_said"), [(120.0, False), (300.0, True)])
def test_samples_that_are_too_rare_to_scale_by_are_said_to_be(
    apart_s: float, is_said: bool
) -> None:
    window = make_window(samples=3)
    window["time_s"] = NOW_S - 400.0 + apart_s * np.arange(-2.0, 1.0)
    seen = seen_of(make_service(window=window))
    (one,) = recommend(
        [seen], [ahead_of(4.0)], [NOTHING_TO_UNDO], observation=observe(), settings=EngineSettings()
    )
    assert one.notes.startswith("metrics are stale (400 s old), fallback outlook")
    assert one.notes.endswith(", samples are 300 s apart") is is_said
    assert ("samples are" in one.notes) is is_said


def test_confidence_follows_the_forecast_and_halves_without_samples() -> None:
    # 1 / (1 + 3 x 1/3) = 0.5
    fresh = wish(ahead=ahead_of(4.0, sd=1.0 / 3.0)).chosen
    stale = wish(ahead=ahead_of(4.0, sd=1.0 / 3.0), age_s=99.0).chosen
    assert (fresh.confidence, stale.confidence) == (pytest.approx(0.5), pytest.approx(0.25))
    floored = wish(ahead=ahead_of(4.0, floor=6, sd=1.0 / 3.0), age_s=99.0).chosen
    assert floored.confidence == pytest.approx(0.25)


def test_fresh_samples_need_no_note_and_an_unknown_calendar_does() -> None:
    assert wish().notes == ""
    assert wish(ahead=ahead_of(4.0, unbooked="no calendar")).notes == "no calendar"
    assert wish(memory=ServiceMemory(calm_from_s=77.0)).calm_from_s == 77.0


def test_figures_that_nobody_measures_are_named_behind_what_else_there_is_to_say() -> None:
    absent = FiguresThere((), ("memory",), False, {})
    for unbooked, notes in (
        ("", "nobody measures its memory"),
        ("no calendar", "no calendar; nobody measures its memory"),
    ):
        (one,) = recommend(
            [seen_of(measured=absent)], [ahead_of(4.0, unbooked=unbooked)], [NOTHING_TO_UNDO],
            observation=observe(), settings=SETTINGS,
        )  # fmt: skip
        assert one.notes == notes


def test_between_cycles_only_the_emergency_path_looks() -> None:
    seen = seen_of(memory=ServiceMemory(calm_from_s=77.0), whole=False)
    (one,) = recommend([seen], [None], [NOTHING_TO_UNDO], observation=observe(), settings=SETTINGS)
    assert one == Wish(None, (), "", 77.0)


# Emergencies

ALARM = wish_of(20, Reason.EMERGENCY)
CALM = NOW_S + SETTINGS.emergency.calm_s


def sent(to: int, ago_s: float, *, accepted: bool = False) -> Sent:
    return Sent("api-1", 10, to, to, NOW_S - ago_s, -math.inf, accepted=accepted)


@pytest.mark.parametrize(
    ("desired", "target", "memory", "heard"),
    [
        (10, 11, {}, True),
        (1, 2, {}, True),
        (10, 10, {}, False),
        # Asked for again while it is not calm yet: only for more than a tenth more.
        (10, 11, {"calm_from_s": NOW_S + 1.0}, False),
        (10, 12, {"calm_from_s": NOW_S + 1.0}, True),
        (10, 11, {"calm_from_s": NOW_S}, True),
        # What was sent within the last cycle of 15 s is on its way.
        (10, 20, {"sent": sent(20, 5.0)}, False),
        (10, 21, {"sent": sent(20, 5.0)}, True),
        (10, 20, {"sent": sent(20, 14.9)}, False),
        (10, 20, {"sent": sent(20, 15.0)}, True),
        (10, 20, {"sent": sent(20, 5.0, accepted=True)}, True),
        (10, 11, {"sent": sent(7, 5.0)}, True),
    ],
)
def test_an_emergency_asks_for_more_than_is_there_or_on_its_way(desired, target, memory, heard):  # type: ignore[no-untyped-def]
    alarm = wish_of(target, Reason.EMERGENCY)
    seen = seen_of(make_service(desired=desired), memory=ServiceMemory(**memory), alarm=alarm)
    before = Wish(wish_of(4), (), "", -math.inf)
    (one,) = emergencies([seen], [before], NOW_S, SETTINGS)
    assert one.chosen is (alarm if heard else before.chosen)
    assert one.calm_from_s == CALM


def test_who_is_woken_stays_awake_for_as_long_as_it_is_asked_for() -> None:
    seen = seen_of(make_service(desired=0), alarm=wish_of(1, Reason.EMERGENCY))
    (one,) = emergencies([seen], [Wish(wish_of(0), (), "", 77.0)], NOW_S, SETTINGS)
    assert one.chosen.reason is Reason.EMERGENCY
    assert one.calm_from_s == 77.0


@pytest.mark.parametrize(
    ("desired", "since_s", "heard"),
    [(10, 300.0, True), (10, 299.9, False), (19, 300.0, True), (20, 300.0, False)],
)
def test_an_emergency_that_has_lost_its_cpu_rests_as_any_step_and_needs_no_calm(
    desired: int, since_s: float, heard: bool
) -> None:
    alarm = wish_of(20, Reason.EMERGENCY)
    alarm = replace(alarm, evidence={**alarm.evidence, UNCONFIRMED: 1.0})
    memory = ServiceMemory(last_out_s=NOW_S - since_s)
    seen = seen_of(make_service(desired=desired), memory=memory, alarm=alarm)
    before = Wish(wish_of(4), (), "", 77.0)
    (one,) = emergencies([seen], [before], NOW_S, SETTINGS)
    assert one.chosen is (alarm if heard else before.chosen)
    assert one.calm_from_s == 77.0


@pytest.mark.parametrize("unconfirmed", [False, True])
@pytest.mark.parametrize(
    ("asked", "override", "heard"),
    [(30, True, False), (20, True, False), (19, True, True), (30, False, True)],
)
def test_an_alarm_gives_way_to_as_much_that_comes_at_once(
    asked: int, override: bool, heard: bool, unconfirmed: bool
) -> None:
    alarm = wish_of(20, Reason.EMERGENCY)
    if unconfirmed:
        alarm = replace(alarm, evidence={**alarm.evidence, UNCONFIRMED: 1.0})
    own = wish_of(asked, Reason.MANUAL)
    if override:
        own = replace(own, evidence={**own.evidence, OVERRIDE: 1.0})
    before = Wish(own, (), "", -math.inf)
    seen = seen_of(make_service(desired=10), alarm=alarm)
    (one,) = emergencies([seen], [before], NOW_S, SETTINGS)
    assert one.chosen is (alarm if heard else own)
    assert one.calm_from_s == (-math.inf if unconfirmed else CALM)


def test_who_does_not_drown_is_left_alone() -> None:
    before = Wish(wish_of(4), (), "", 77.0)
    quiet, drowning = seen_of(), seen_of(alarm=ALARM)
    one, other = emergencies([quiet, drowning], [before, before], NOW_S, SETTINGS)
    assert one == before
    assert other.chosen is ALARM


# The rules


@pytest.mark.parametrize(
    ("figures", "ready", "targets"),
    [
        ({"cpu": 0.8}, 10, {}),
        ({"cpu": 0.88}, 10, {Reason.CPU: 11}),  # exactly 11
        ({"cpu": 0.9}, 10, {Reason.CPU: 12}),  # 11.25
        ({"cpu": 0.9}, 20, {Reason.CPU: 23}),  # 22.5
        ({"cpu": 0.9, "rate": 0.0}, 0, {Reason.CPU: 2}),  # one counts as ready: 1.125
        ({"memory": 0.95}, 10, {Reason.MEMORY: 12}),  # 11.2
        # A queue three times too long does not ask for three times as many: half more at most.
        ({"queue": 150.0}, 10, {Reason.QUEUE_DEPTH: 15}),
        ({"queue": 60.0}, 10, {Reason.QUEUE_DEPTH: 12}),
        # Nor does a p95 of 4 times its threshold; load of 1.2 times its threshold does.
        ({"cpu": 0.81, "p95_s": 1.6}, 10, {Reason.CPU: 11, Reason.RESPONSE_TIME: 15}),
        ({"rate": 1900.0}, 10, {Reason.REQUEST_RATE: 20}),
    ],
)
def test_a_signal_asks_for_as_much_more_as_it_is_above(figures, ready, targets) -> None:  # type: ignore[no-untyped-def]
    window = make_window(**({"cpu": 0.4, "rate": 400.0} | figures))
    seen = seen_of(make_service(desired=10, ready=ready, window=window))
    wanted = reactive(seen.service, seen.view, seen.assessment)
    assert {one.reason: one.target for one in wanted} == targets
    for one in wanted:
        assert one.trigger_s == NOW_S - 3.0
        assert one.evidence["ready"] == float(ready)
        assert set(one.evidence) == {one.reason.value, "threshold", "ready"}


@pytest.mark.parametrize(("samples", "confidence"), [(1, 0.5), (2, 0.5), (3, 0.8), (5, 0.8)])
def test_three_samples_are_surer_than_two(samples: int, confidence: float) -> None:
    seen = seen_of(make_service(window=make_window(cpu=0.9, samples=samples)))
    (one,) = reactive(seen.service, seen.view, seen.assessment)
    assert one.confidence == confidence
    assert one.evidence == {"cpu": 0.9, "threshold": 0.8, "ready": 10.0}


@pytest.mark.parametrize(
    ("floor", "in_force"),
    [
        (ManualFloor("api", 9, NOW_S + 0.1), True),
        (ManualFloor("api", 9, NOW_S), False),
        (ManualFloor("photos", 9, NOW_S + 60.0), False),
    ],
)
def test_a_floor_holds_for_its_service_until_it_expires(floor: ManualFloor, in_force: bool) -> None:
    wanted = manual(make_spec(), [floor], NOW_S)
    assert bool(wanted) is in_force
    if wanted:
        assert (wanted[0].target, wanted[0].reason) == (9, Reason.MANUAL)
        assert wanted[0].evidence["floor"] == 9.0
        assert wanted[0].evidence["expires_in_s"] == pytest.approx(floor.expires_s - NOW_S)
        assert (wanted[0].confidence, wanted[0].trigger_s) == (1.0, NOW_S)


def test_only_a_static_fallback_has_a_count() -> None:
    assert static_fallback(make_spec(), FallbackSettings(mode="hold"), 99.0, NOW_S) == []
    (one,) = static_fallback(make_spec(), FallbackSettings(mode="static", instances=9), 99.0, NOW_S)
    assert (one.target, one.reason, one.confidence) == (9, Reason.MANUAL, 0.5)
    assert one.evidence == {"fallback": 9.0, "metrics_age_s": 99.0}


@pytest.mark.parametrize(
    ("pause", "in_force"),
    [
        (Pause(), True),
        (Pause("api"), True),
        (Pause("photos"), False),
        (Pause("", expires_s=NOW_S), False),
        (Pause("api", expires_s=NOW_S + 0.1), True),
    ],
)
def test_a_pause_is_in_force_for_its_service_until_it_expires(pause: Pause, in_force: bool) -> None:
    assert pauses_in_force(make_spec(), [pause], NOW_S) == ([pause] if in_force else [])


def test_of_several_pins_the_highest_holds() -> None:
    assert pinned([]) is None
    assert pinned([Pause()]) is None
    assert pinned([Pause(pinned=3), Pause(), Pause(pinned=7), Pause(pinned=5)]) == 7
    assert pinned([Pause(pinned=0)]) == 0
    wish = pin(make_spec(), 7, NOW_S)
    assert (wish.target, wish.reason, wish.confidence) == (7, Reason.MANUAL, 1.0)
    assert (wish.evidence, wish.trigger_s) == ({"pinned": 7.0}, NOW_S)


@pytest.mark.parametrize(
    ("direction", "out", "paused"),
    [
        (Direction.ALL, True, True),
        (Direction.ALL, False, True),
        (Direction.OUT, True, True),
        (Direction.OUT, False, False),
        (Direction.IN, True, False),
        (Direction.IN, False, True),
    ],
)
def test_a_pause_forbids_its_direction(direction: Direction, out: bool, paused: bool) -> None:
    assert is_paused([Pause(direction=direction)], out) is paused
    assert is_paused([], out) is False


@pytest.mark.parametrize(
    ("figures", "targets"),
    [
        # Ten were ready when the newest sample was taken, twenty are now; 0.9 of ten is 0.45 now.
        ({"cpu": 0.9}, {}),
        ({"cpu": 1.7}, {Reason.CPU: 22}),  # 20 x 0.85 / 0.8 = 21.25
        # 400 wait for 20 x 10 slots: half more than the ten that have shown what they can do.
        ({"cpu": 0.2, "queue": 400.0}, {Reason.QUEUE_DEPTH: 15}),
        ({"cpu": 0.2, "queue": 400.0, "p95_s": 3.0},
         {Reason.RESPONSE_TIME: 15, Reason.QUEUE_DEPTH: 15}),
    ],
)  # fmt: skip
def test_what_has_come_since_the_sample_is_not_multiplied_by_it(figures, targets) -> None:  # type: ignore[no-untyped-def]
    service = make_service(desired=20, window=make_window(**({"rate": 100.0} | figures)))
    looked = view(service, NOW_S, 45.0, ((NOW_S - 99.0, 10), (NOW_S - 1.0, 20)))
    wanted = reactive(service, looked, assess(service, looked))
    assert {one.reason: one.target for one in wanted} == targets
