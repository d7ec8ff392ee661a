"""The monitor from end to end: what it says of figures that are written down.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from engine.model import Call, Outlook
from engine.monitoring.findings import CauseKind, Finding, FindingKind, Findings, Severity
from tests.unit.engine.conftest import NOW_S, make_spec
from tests.unit.engine.monitoring.conftest import (
    API,
    DATABASE,
    QUIET,
    Platform,
    booked,
    make_monitor,
)


def began(looks: list[Findings]) -> list[Finding]:
    return [finding for findings in looks for finding in findings.began]


def first(looks: list[Findings], kind: FindingKind, service: str = "api") -> Finding:
    return next(f for f in began(looks) if (f.kind, f.service) == (kind, service))


@pytest.mark.parametrize(
    ("figures", "kind", "severity"),
    [
        ({"cpu": 0.88}, FindingKind.CPU, Severity.WARNING),
        ({"cpu": 0.97}, FindingKind.CPU, Severity.CRITICAL),
        ({"memory": 0.92}, FindingKind.MEMORY, Severity.WARNING),
        ({"memory": 0.96}, FindingKind.MEMORY, Severity.CRITICAL),
        ({"p95_s": 1.2}, FindingKind.RESPONSE_TIME, Severity.WARNING),
        ({"p95_s": 2.4}, FindingKind.RESPONSE_TIME, Severity.CRITICAL),
        ({"error_rate": 0.02}, FindingKind.ERRORS, Severity.WARNING),
        ({"error_rate": 0.07}, FindingKind.ERRORS, Severity.CRITICAL),
        ({"queue": 90.0}, FindingKind.QUEUE_GROWTH, Severity.WARNING),
        ({"queue": 900.0}, FindingKind.QUEUE_GROWTH, Severity.CRITICAL),
    ],
)
def test_a_figure_above_its_threshold_is_said_with_the_second_sample(
    settled: Platform, figures: dict[str, float], kind: FindingKind, severity: Severity
) -> None:
    settled.change("api", **figures)
    finding = first(settled.steps(2), kind)
    assert finding.severity is severity
    assert finding.noticed_s == settled.now_s
    assert finding.since_s == settled.now_s - 7.0  # the first of the two samples that show it


@pytest.mark.parametrize(("before", "after"), [(10, 8), (10, 15), (3, 2), (2, 5)])
@pytest.mark.parametrize(("per_slot", "says"), [(0.1, False), (0.4, False), (0.7, True)])
def test_a_queue_is_shared_by_the_slots_there_are_also_while_their_count_changes(
    before: int, after: int, per_slot: float, says: bool
) -> None:
    platform = Platform(make_monitor(detectors={}))
    platform.ready["api"] = platform.desired["api"] = before
    platform.change("api", queue=0.05 * before * API.slots)
    platform.steps(120)
    platform.ready["api"] = platform.desired["api"] = after
    platform.change("api", queue=per_slot * after * API.slots)
    kinds = {finding.kind for finding in began(platform.steps(4))}
    assert (FindingKind.QUEUE_GROWTH in kinds) is says


def test_one_wild_sample_says_nothing(settled: Platform) -> None:
    settled.change("api", cpu=1.0, p95_s=30.0, error_rate=1.0, queue=1e5, rate=5000.0)
    looks = settled.steps(1)
    settled.change("api", cpu=0.5, p95_s=0.2, error_rate=0.0, queue=0.0, rate=500.0)
    assert began(looks + settled.steps(20)) == []


def test_thresholds_of_a_service_hold_for_it_alone() -> None:
    own = {"api": {"cpu": {"warning": 0.4, "critical": 0.99}}}
    platform = Platform(make_monitor(by_service=own))
    kinds = {(f.service, f.kind) for f in began(platform.steps(5))}
    assert kinds == {("api", FindingKind.CPU)}


@pytest.mark.parametrize(
    ("figures", "kind", "limit"),
    [
        ({"cpu": 0.83}, FindingKind.CPU, 0.95 * 0.85),
        ({"memory": 0.87}, FindingKind.MEMORY, 0.95 * 0.9),
        ({"p95_s": 0.8}, FindingKind.RESPONSE_TIME, 0.7 * 1.0),
        ({"error_rate": 0.008}, FindingKind.ERRORS, 0.5 * 0.01),
        ({"queue": 30.0}, FindingKind.QUEUE_GROWTH, 0.5 * 0.5),
    ],
)
def test_while_major_events_are_in_progress_thresholds_are_stricter(
    figures: dict[str, float], kind: FindingKind, limit: float
) -> None:
    said = []
    for major in (0.0, 1.0):
        platform = Platform(make_monitor(detectors={}))
        platform.outlook.major_events[:] = major
        platform.steps(120)
        platform.change("api", **figures)
        said.append([f for f in began(platform.steps(12)) if f.kind is kind])
    usual, strict = said
    assert usual == []
    assert [(f.service, f.symptom.limit) for f in strict] == [("api", pytest.approx(limit))]


def test_a_wedding_day_begins_and_ends_with_its_major_events() -> None:
    platform = Platform(make_monitor(detectors={}))
    bins = platform.outlook
    begin = int((platform.now_s + 900.0 - bins.start_s) / bins.bin_s)
    end = int((platform.now_s + 1800.0 - bins.start_s) / bins.bin_s)
    bins.major_events[begin:end] = 2.0
    platform.change("api", p95_s=0.8)
    looks = platform.steps(480)
    (finding,) = [f for f in began(looks) if f.kind is FindingKind.RESPONSE_TIME]
    begin_s, end_s = (bins.start_s + bin_ * bins.bin_s for bin_ in (begin, end))
    assert begin_s <= finding.noticed_s <= begin_s + 10.0
    (ended,) = [look.now_s for look in looks if finding.id in {f.id for f in look.ended}]
    assert end_s <= ended <= end_s + platform.monitor.settings.clear_s + 10.0


def test_without_the_calendar_no_day_is_a_wedding_day() -> None:
    platform = Platform(make_monitor(detectors={}, calendar=False))
    platform.outlook.major_events[:] = 5.0
    platform.change("api", p95_s=0.8)
    assert FindingKind.RESPONSE_TIME not in {f.kind for f in began(platform.steps(60))}


def test_a_surge_that_nobody_booked_is_said_and_one_that_is_booked_is_not() -> None:
    def ramp(ahead_s: np.ndarray) -> np.ndarray:
        return np.interp(ahead_s, [900.0, 1800.0], [500.0, 2000.0])

    knowing, blind = Platform(make_monitor()), Platform(make_monitor(calendar=False))
    outlooks = {id(knowing): booked(ramp), id(blind): booked(ramp)}
    said = {}
    for platform in (knowing, blind):
        platform.outlook = outlooks[id(platform)]
        looks = []
        for _ in range(360):
            load = float(ramp(np.array([platform.now_s - NOW_S]))[0])
            # Capacity follows, so that nothing but the arrivals changes.
            for name, rate in (("api", load), ("database", 2.0 * load)):
                platform.change(name, rate=rate)
                platform.ready[name] = platform.desired[name] = round(10 * load / 500.0)
            looks.append(platform.step())
        said[id(platform)] = [f for f in began(looks) if f.severity is not Severity.INFO]
    assert said[id(knowing)] == []
    assert {f.kind for f in said[id(blind)]} & {FindingKind.OUTLIER, FindingKind.CHANGE}


def test_a_dead_service_on_a_quiet_day_is_said_as_silence(settled: Platform) -> None:
    settled.change("api", rate=3.0, cpu=0.003)
    finding = first(settled.steps(3), FindingKind.SILENCE)
    assert finding.severity is Severity.CRITICAL
    assert finding.symptom.value < finding.symptom.low


@pytest.mark.parametrize("load", [2000.0, 500.0, 20.0, 0.0])
def test_without_the_calendar_what_is_booked_is_no_reason_for_silence(load: float) -> None:
    platform = Platform(make_monitor(calendar=False), booked(load))
    assert began(platform.steps(120)) == []


@pytest.mark.parametrize(
    ("rate", "then", "is_silence"),
    [
        (500.0, 0.0, True),
        (500.0, 3.0, True),
        (500.0, 100.0, True),
        (500.0, 250.0, False),
        (500.0, 900.0, False),
        (20.0, 0.0, True),
        (20.0, 10.0, False),
        (0.5, 0.0, False),
        (0.0, 0.0, False),
        (0.0, 500.0, False),
    ],
)
def test_without_the_calendar_silence_is_less_than_usual(
    rate: float, then: float, is_silence: bool
) -> None:
    platform = Platform(make_monitor(calendar=False, detectors={}), booked(5000.0))
    platform.change("api", rate=rate)
    assert began(platform.steps(120)) == []
    platform.change("api", rate=then)
    silences = [f for f in began(platform.steps(5)) if f.kind is FindingKind.SILENCE]
    assert [f.service for f in silences] == ["api"] * is_silence


def test_without_the_calendar_an_outlier_says_what_is_usual_and_a_promise_is_not_spoken_of() -> (
    None
):
    platform = Platform(make_monitor(calendar=False), booked(50_000.0))
    platform.outlook.events[:] = 9.0
    platform.steps(120)
    platform.change("api", rate=900.0, cpu=0.9)
    platform.change("database", rate=1800.0, cpu=0.9)
    looks = platform.steps(5)
    assert FindingKind.PROMISE_BROKEN not in {f.kind for f in began(looks)}
    symptom = first(looks, FindingKind.OUTLIER, "api").symptom
    assert symptom.words.endswith(" requests/s are usual")
    assert 450.0 < float(symptom.words.split()[0]) < 550.0
    assert symptom.low < 500.0 < symptom.high < symptom.value


def test_no_load_where_none_is_booked_is_no_silence() -> None:
    platform = Platform(make_monitor(), booked(0.0))
    for name in ("api", "database"):
        platform.change(name, rate=0.0, cpu=0.0)
    assert began(platform.steps(60)) == []


def test_no_samples_are_said_and_end_nothing(settled: Platform) -> None:
    settled.change("api", cpu=0.97)
    settled.steps(5)
    settled.dark = {"api"}
    looks = settled.steps(120)
    assert first(looks, FindingKind.NO_SAMPLES).symptom.value > 45.0
    assert not any(findings.ended for findings in looks)
    assert FindingKind.CPU in {f.kind for f in looks[-1].lasting}
    assert "api" in looks[-1].silent
    settled.dark = set()
    settled.change("api", cpu=0.5)
    ended = {f.kind for findings in settled.steps(40) for f in findings.ended}
    assert {FindingKind.CPU, FindingKind.NO_SAMPLES} <= ended


def test_a_slow_database_is_blamed_also_for_what_it_does_to_its_caller(settled: Platform) -> None:
    settled.change("database", cpu=0.9, p95_s=0.6)
    settled.change("api", cpu=0.8, p95_s=1.5)
    looks = settled.steps(3)
    finding = first(looks, FindingKind.RESPONSE_TIME)
    assert (finding.causes[0].service, finding.causes[0].kind) == ("database", CauseKind.SLOWNESS)
    assert "database" in finding.recommendation


def test_a_caller_that_calls_more_often_is_blamed_for_the_load_of_its_callee(
    settled: Platform,
) -> None:
    settled.change("database", rate=3000.0, cpu=0.99, p95_s=1.4)
    looks = settled.steps(3)
    finding = first(looks, FindingKind.RESPONSE_TIME, "database")
    assert (finding.causes[0].service, finding.causes[0].kind) == ("api", CauseKind.CALLS)


def test_a_surge_is_blamed_where_users_enter(settled: Platform) -> None:
    settled.change("api", rate=950.0, cpu=0.95)
    settled.change("database", rate=1900.0, cpu=0.95)
    looks = settled.steps(3)
    for service in ("api", "database"):
        cause = first(looks, FindingKind.CPU, service).causes[0]
        assert (cause.service, cause.kind) == ("api", CauseKind.LOAD)


@pytest.mark.parametrize(
    ("work", "came", "cause"),
    [  # of a request, times the usual; requests/s that arrive, retries included; 500 are booked
        (3.0, 500.0, ("api", CauseKind.SLOWNESS)),
        (3.0, 900.0, ("api", CauseKind.SLOWNESS)),
        (3.0, 1500.0, ("api", CauseKind.SLOWNESS)),
        (2.5, 800.0, ("api", CauseKind.SLOWNESS)),
        (1.0, 1100.0, ("api", CauseKind.LOAD)),
        (1.0, 1500.0, ("api", CauseKind.LOAD)),
        (1.0, 5000.0, ("api", CauseKind.LOAD)),
    ],
)
@pytest.mark.parametrize("grows", [False, True])
def test_full_slots_that_serve_less_are_slow_whatever_comes_again(
    settled: Platform, work: float, came: float, *, cause: tuple[str, CauseKind], grows: bool
) -> None:
    served = 1000.0 / work  # ten instances that 500 requests/s keep half busy
    bad = 1.0 - served / came
    settled.change("api", rate=came, cpu=1.0, error_rate=bad, queue=400.0, p95_s=3.0)
    settled.change("database", rate=2.0 * served, cpu=0.5 * served / 500.0)
    looks = settled.steps(4)
    if grows:  # while the count changes nobody can say how long the work of a request takes
        settled.ready["api"] = settled.desired["api"] = 13
        settled.change("api", cpu=1.0, error_rate=max(1.0 - 1.3 * served / came, 0.0))
    looks += settled.steps(8)
    lasting = [f for f in looks[-1].lasting if f.service == "api"]
    assert lasting
    assert {(f.causes[0].service, f.causes[0].kind) for f in lasting} == {cause}


def test_a_service_that_fails_because_its_callee_does_is_not_called_slow(
    settled: Platform,
) -> None:
    settled.change("database", rate=1000.0, cpu=1.0, error_rate=0.6, p95_s=3.0, queue=900.0)
    settled.change("api", rate=900.0, cpu=1.0, error_rate=0.7, p95_s=3.0)
    named = {
        (cause.service, cause.kind)
        for finding in settled.steps(6)[-1].lasting
        for cause in finding.causes
    }
    assert ("database", CauseKind.SLOWNESS) in named
    assert ("api", CauseKind.SLOWNESS) not in named


def test_less_that_reaches_a_callee_is_not_its_doing(settled: Platform) -> None:
    settled.change("api", rate=150.0, cpu=0.15)
    settled.change("database", rate=300.0, cpu=0.15)
    finding = first(settled.steps(6), FindingKind.OUTLIER, "database")
    assert (finding.causes[0].service, finding.causes[0].kind) == ("api", CauseKind.LOAD)
    assert all(cause.service == "api" for cause in finding.causes)


def test_instances_that_go_without_being_asked_to_are_said_at_once(settled: Platform) -> None:
    settled.ready["api"] = 6
    finding = settled.step().began[0]
    assert finding.kind is FindingKind.INSTANCES_LOST
    assert finding.causes[0].kind is CauseKind.INSTANCES
    assert finding.severity is Severity.CRITICAL


def test_a_scale_in_is_no_loss(settled: Platform) -> None:
    settled.desired["api"] = settled.ready["api"] = 6
    settled.change("api", cpu=0.5 * 10 / 6)
    kinds = {f.kind for f in began(settled.steps(30))}
    assert FindingKind.INSTANCES_LOST not in kinds


def test_what_was_asked_for_less_is_not_lost_though_more_is_asked_for_since(
    settled: Platform,
) -> None:
    settled.ready["api"] = settled.desired["api"] = 8
    looks = settled.steps(3)
    settled.desired["api"] = 10  # that boots for minutes
    looks += settled.steps(15)
    assert FindingKind.INSTANCES_LOST not in {f.kind for look in looks for f in look.began}


def test_what_is_lost_is_said_though_more_was_asked_for_just_before(settled: Platform) -> None:
    settled.desired["api"] = 14
    settled.steps(3)
    settled.ready["api"] = 7
    looks = settled.steps(3)
    assert FindingKind.INSTANCES_LOST in {f.kind for look in looks for f in look.began}


def fallen(platform: Platform, times: int, apart: int) -> list[Findings]:
    """One of ten falls back to booting so many times, and is ready again soon after."""
    looks = []
    for _ in range(times):
        platform.ready["api"], platform.booting["api"] = 9, 1
        looks += platform.steps(3)
        platform.ready["api"], platform.booting["api"] = 10, 0
        looks += platform.steps(apart)
    return looks


def test_instances_that_keep_falling_restart_though_never_many_are_gone_at_once() -> None:
    platform = Platform(make_monitor(capacity={"lost_share": 0.5}))
    platform.steps(120)
    finding = next(f for f in began(fallen(platform, 3, 20)) if f.kind is FindingKind.RESTARTING)
    assert finding.causes[0].kind is CauseKind.INSTANCES
    assert finding.severity is Severity.WARNING
    assert finding.symptom.value == 3.0


@pytest.mark.parametrize(("times", "apart"), [(2, 20), (3, 120)])
def test_what_falls_now_and_then_does_not_restart(times: int, apart: int) -> None:
    platform = Platform(make_monitor(capacity={"lost_share": 0.5}))
    platform.steps(120)
    assert FindingKind.RESTARTING not in {f.kind for f in began(fallen(platform, times, apart))}


def test_restarts_are_counted_after_the_monitor_itself_was_restarted() -> None:
    platform = Platform(make_monitor(capacity={"lost_share": 0.5}))
    platform.steps(120)
    fallen(platform, 2, 20)
    snapshot = platform.monitor.snapshot()
    platform.monitor = make_monitor(capacity={"lost_share": 0.5})
    platform.monitor.restore(snapshot)
    assert FindingKind.RESTARTING in {f.kind for f in began(fallen(platform, 1, 5))}


def test_scale_ins_one_after_the_other_are_no_restarts(settled: Platform) -> None:
    looks = []
    for count in (9, 8, 7, 6):
        settled.desired["api"] = settled.ready["api"] = count
        settled.booting["api"] = 1
        looks += settled.steps(10)
    assert FindingKind.RESTARTING not in {f.kind for f in began(looks)}


def test_full_slots_are_no_alarm_where_nobody_waits_for_the_service() -> None:
    calls = (Call("database", 2.0, asynchronous=True),)
    platform = Platform(make_monitor((make_spec("api", calls=calls, user_facing=True), DATABASE)))
    platform.steps(120)
    platform.change("database", cpu=0.97)
    platform.change("api", cpu=0.97)
    severities = {
        f.service: f.severity for f in began(platform.steps(10)) if f.kind is FindingKind.CPU
    }
    assert severities == {"database": Severity.INFO, "api": Severity.CRITICAL}


@pytest.mark.parametrize(
    ("figure", "value", "kind"),
    [("cpu", 0.83, FindingKind.CPU), ("queue", 30.0, FindingKind.QUEUE_GROWTH)],
)
def test_where_nobody_waits_full_slots_are_as_usual_on_a_wedding_day(
    figure: str, value: float, kind: FindingKind
) -> None:
    calls = (Call("database", 2.0, asynchronous=True),)
    specs = (make_spec("api", calls=calls, user_facing=True), DATABASE)
    platform = Platform(make_monitor(specs, detectors={}))
    platform.outlook.major_events[:] = 1.0
    platform.steps(120)
    platform.change("api", **{figure: value})
    platform.change("database", **{figure: value})
    assert {f.service for f in began(platform.steps(10)) if f.kind is kind} == {"api"}


@pytest.mark.parametrize(
    ("user_facing", "slo_p95_s", "own", "limit"),
    [
        (True, 0.5, None, 0.5),  # waited for: half a request for each slot
        (False, 0.5, None, 5.0),  # 0.05 s each: with five for each slot half of the 0.5 s is over
        (False, 10.0, None, 100.0),
        (False, 0.02, None, 0.5),  # promised in less than a request takes
        (False, 10.0, 2.0, 2.0),  # said for this service: no more and no less than that
    ],
)
@pytest.mark.parametrize(("share", "says"), [(0.9, False), (1.15, True)])
@pytest.mark.parametrize("detectors", [{}, None])
def test_before_work_that_nobody_waits_for_a_queue_may_take_half_of_the_promised_time(
    user_facing: bool,
    slo_p95_s: float,
    *,
    own: float | None,
    limit: float,
    share: float,
    says: bool,
    detectors: dict[str, object] | None,
) -> None:
    api = make_spec(
        "api", calls=(Call("database", 2.0, asynchronous=not user_facing),), user_facing=True
    )
    work = make_spec("database", service_s=0.05, slo_p95_s=slo_p95_s)
    levels = {"queue_per_slot": {"warning": own, "critical": 4.0 * own}} if own else {}
    changes = {
        "by_service": {"database": levels},
        **({} if detectors is None else {"detectors": {}}),
    }
    platform = Platform(make_monitor((api, work), **changes))
    platform.steps(240)
    platform.change("database", queue=share * limit * 10 * work.slots)
    said = [f for f in began(platform.steps(12)) if f.symptom.figure.startswith("queue")]
    assert bool(said) is says
    assert {f.service for f in said} <= {"database"}
    for finding in said:
        assert finding.symptom.value == pytest.approx(share * limit)


def test_instances_that_never_come_are_said_when_their_time_has_passed(settled: Platform) -> None:
    settled.desired["api"] = 20
    looks = settled.steps(160)
    at_s = first(looks, FindingKind.CAPACITY_MISSING).noticed_s
    # 95 % boot in 120 s and warm up in 10 s; half as much again is too long.
    # While nothing else happens that it was asked for, and that it is missing, is seen every four
    # minutes.
    assert 195.0 <= at_s - (settled.now_s - 800.0) <= 685.0


def test_one_instance_alone_may_take_twice_as_long_as_several() -> None:
    after_s = {}
    for missing in (1, 2):
        platform = Platform(make_monitor(calm_s=5.0, capacity={"missing_share": 0.05}))
        platform.steps(120)
        platform.desired["api"] = 10 + missing
        began_s = platform.now_s
        looks = platform.steps(100)
        after_s[missing] = first(looks, FindingKind.CAPACITY_MISSING).noticed_s - began_s
    assert 195.0 <= after_s[2] <= 215.0
    assert 390.0 <= after_s[1] <= 430.0


def test_capacity_that_cannot_carry_what_is_booked_breaks_a_promise() -> None:
    platform = Platform(make_monitor(), booked(1500.0))
    finding = first(platform.steps(2), FindingKind.PROMISE_BROKEN)
    assert finding.weddings == 1200.0
    assert finding.guests == 1200.0 * 109.0


@pytest.mark.parametrize(
    ("share", "after_s"),
    [
        # Google, The Site Reliability Workbook, ch. 5: (1 - objective) / share * window * factor.
        (1.0, 0.001 / 1.0 * 3600.0 * 14.4),
        (0.1, 0.001 / 0.1 * 3600.0 * 14.4),
        (0.03, 0.001 / 0.03 * 3600.0 * 14.4),
        (0.012, 0.001 / 0.012 * 21_600.0 * 6.0),
    ],
)
@pytest.mark.parametrize("good_looks", [1, 60, 720])
def test_a_budget_burns_as_fast_whatever_the_monitor_saw_before(
    share: float, after_s: float, good_looks: int
) -> None:
    platform = Platform(make_monitor(detectors={}, calm_s=5.0))
    platform.steps(good_looks)
    platform.change("api", error_rate=share)
    began_s = platform.now_s
    finding = first(platform.steps(int(after_s / 5.0) + 12), FindingKind.BURN_RATE)
    assert finding.symptom.value > finding.symptom.limit
    # The first look shows a sample of two seconds, and a figure is the median of three.
    assert after_s - 5.0 <= finding.noticed_s - began_s <= 1.05 * after_s + 15.0


def test_what_a_monitor_sees_in_its_first_minutes_is_no_share_of_three_days() -> None:
    platform = Platform(make_monitor(detectors={}, calm_s=5.0))
    platform.change("api", error_rate=0.008)
    kinds = {finding.kind for finding in began(platform.steps(240))}
    assert FindingKind.BURN_RATE not in kinds


def test_one_error_at_night_pages_nobody() -> None:
    night = Platform(make_monitor(), booked(0.2))
    night.change("api", rate=0.2, cpu=0.0002, error_rate=1.0)
    night.change("database", rate=0.4, cpu=0.0002)
    said = {f.kind for f in began(night.steps(1))}
    night.change("api", error_rate=0.0)
    said |= {f.kind for f in began(night.steps(60))}
    assert said & {FindingKind.BURN_RATE, FindingKind.ERRORS} == set()


def test_a_rise_that_fills_the_slots_is_said_ahead(settled: Platform) -> None:
    looks = []
    for k in range(60):
        settled.change("api", memory=0.5 + 0.006 * k)
        looks.append(settled.step())
    finding = first(looks, FindingKind.SATURATION_AHEAD)
    assert finding.symptom.value < 0.9
    assert "full in" in finding.symptom.words


def test_a_finding_ends_when_its_samples_are_good_again_and_is_one_all_the_time(
    settled: Platform,
) -> None:
    settled.change("api", memory=0.92)
    looks = settled.steps(10)
    settled.change("api", memory=0.97)
    looks += settled.steps(10)
    settled.change("api", memory=0.5)
    looks += settled.steps(40)
    ids = {f.id for findings in looks for f in findings.lasting if f.kind is FindingKind.MEMORY}
    ended = [f for findings in looks for f in findings.ended if f.kind is FindingKind.MEMORY]
    assert len(ids) == len(ended) == 1
    assert ended[0].severity is Severity.CRITICAL  # the worst that it was


def test_a_monitor_that_is_restored_says_the_same(settled: Platform) -> None:
    settled.change("database", cpu=0.9, p95_s=0.6)
    settled.steps(3)
    text = settled.monitor.snapshot()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    copy = make_monitor()
    copy.restore(text)
    assert copy.snapshot() == text
    for _ in range(30):
        findings = settled.step()
        assert repr(copy.step(settled.services, settled.outlook, settled.now_s)) == repr(findings)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "services": 3}']
)
def test_what_is_no_snapshot_is_refused_and_changes_nothing(platform: Platform, text: str) -> None:
    before = platform.monitor.snapshot()
    with pytest.raises(ValueError, match=r"monitor memory|Expecting value"):
        platform.monitor.restore(text)
    assert platform.monitor.snapshot() == before


def test_a_snapshot_of_other_services_is_taken_over_as_far_as_it_fits(settled: Platform) -> None:
    one = make_monitor((DATABASE,))
    one.restore(settled.monitor.snapshot())
    assert one.usual()["database"] == settled.monitor.usual()["database"]
    more = make_monitor((DATABASE, API))
    more.restore(one.snapshot())
    assert more.usual()["database"] == one.usual()["database"]
    assert more.usual()["api"] == {}


def test_memory_stays_as_large_as_it_is(platform: Platform) -> None:
    platform.steps(200)
    size = len(platform.monitor.snapshot())
    platform.steps(400)
    assert len(platform.monitor.snapshot()) < 1.3 * size


def test_a_step_that_raises_has_changed_nothing(settled: Platform) -> None:
    before = settled.monitor.memory
    stranger = API.__class__(**{**{f: getattr(API, f) for f in API.__slots__}, "name": "other"})
    settled.monitor.specs = (stranger,)
    settled._rows["other"] = []
    settled.figures["other"], settled.ready["other"] = settled.figures["api"], 1
    settled.desired["other"] = 1
    with pytest.raises(ValueError, match="other is not among the watched services"):
        settled.step()
    assert settled.monitor.memory is before


def test_a_clock_that_is_set_back_neither_raises_nor_ends_a_finding(settled: Platform) -> None:
    settled.change("api", cpu=0.97)
    settled.steps(3)
    settled.now_s -= 3600.0
    findings = settled.step()
    assert FindingKind.CPU in {f.kind for f in findings.lasting}
    assert all(f.since_s <= settled.now_s for f in findings.lasting)


def test_beyond_the_calendar_nothing_is_said_of_weddings_and_nothing_raises() -> None:
    outlook = booked()
    short = Outlook(
        **{f: getattr(outlook, f) for f in outlook.__slots__} | {"start_s": 0.0}  # type: ignore[arg-type]
    )
    platform = Platform(make_monitor(), short)
    platform.change("api", cpu=0.97)
    finding = first(platform.steps(3), FindingKind.CPU)
    assert math.isnan(finding.weddings)


def test_what_was_lost_is_blamed_for_the_queue_that_it_leads_to(settled: Platform) -> None:
    settled.ready["api"] = 5
    looks = settled.steps(15)
    settled.change("api", queue=300.0, cpu=0.99, p95_s=1.5)
    looks += settled.steps(40)
    cause = first(looks, FindingKind.QUEUE_GROWTH).causes[0]
    assert (cause.service, cause.kind) == ("api", CauseKind.INSTANCES)
    (last,) = [f for f in looks[-1].lasting if f.kind is FindingKind.QUEUE_GROWTH]
    assert last.causes[0].kind is CauseKind.INSTANCES


def test_a_caller_that_is_not_measured_makes_no_calls_unusual() -> None:
    platform = Platform(make_monitor())
    platform.dark = {"api"}
    platform.steps(10)
    platform.dark = set()
    platform.steps(120)
    centre, spread = platform.monitor.usual()["database"]["calls"]
    assert abs(centre) < 0.01
    assert spread < 0.1


def test_a_figure_that_contradicts_the_others_is_blamed_on_the_metrics(settled: Platform) -> None:
    settled.change("api", rate=50_000.0)
    finding = first(settled.steps(3), FindingKind.OUTLIER)
    assert (finding.causes[0].service, finding.causes[0].kind) == ("api", CauseKind.METRICS)


@pytest.mark.parametrize(
    "spoilt", [{"cpu": 500.0}, {"rate": 500_000.0}, {"p95_s": 200.0}, {"error_rate": 40.0}]
)
def test_samples_in_another_unit_are_said_with_the_second_and_blamed_on_the_metrics(
    settled: Platform, spoilt: dict[str, float]
) -> None:
    said: list[list[Finding]] = []
    for _ in range(2):
        settled.change("api", **spoilt)
        said.append(began(settled.steps(1)))
        settled.change("api", **QUIET, error_rate=0.0)
        said.append(began(settled.steps(11)))
    assert [len(findings) for findings in said] == [0, 0, 1, 0]
    (finding,) = said[2]
    assert (finding.service, finding.kind) == ("api", FindingKind.WILD_SAMPLES)
    assert finding.causes[0].kind is CauseKind.METRICS


def test_wild_samples_far_apart_are_chance(settled: Platform) -> None:
    for _ in range(3):
        settled.change("api", p95_s=200.0)
        settled.step()
        settled.change("api", **QUIET)
        assert began(settled.steps(70)) == []


def test_a_surge_that_stays_is_no_wild_sample(settled: Platform) -> None:
    settled.change("api", rate=60_000.0)
    assert FindingKind.WILD_SAMPLES not in {f.kind for f in began(settled.steps(20))}


def test_work_that_nobody_waits_for_may_fall_behind_what_is_booked() -> None:
    jobs = make_spec("database", service_s=0.05)
    alone = make_spec("api", user_facing=True)
    platform = Platform(make_monitor((alone, jobs)), booked(1500.0))
    said = {f.service for f in began(platform.steps(3)) if f.kind is FindingKind.PROMISE_BROKEN}
    assert said == {"api"}
