"""Who is told of what, and when: one incident at a time."""

from __future__ import annotations

import pytest

from engine.config.strict import ConfigError, validated
from engine.monitoring.alerts.machine import Acknowledgement, AlertNotice, Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings, QuietHours
from engine.monitoring.findings import (
    Cause,
    CauseKind,
    Finding,
    FindingKind,
    Findings,
    Severity,
    Symptom,
)
from tests.unit.engine.monitoring.conftest import API, DATABASE

MIDNIGHT_S = 20_000 * 86_400.0
NOON_S = MIDNIGHT_S + 43_200.0


def finding_of(
    id_: str,
    service: str = "api",
    severity: Severity = Severity.CRITICAL,
    cause: tuple[str, CauseKind] = ("api", CauseKind.SLOWNESS),
    *,
    kind: FindingKind = FindingKind.CPU,
) -> Finding:
    symptom = Symptom(service, kind, severity, "limits", "cpu", 0.97, NOON_S, 0.9)
    return Finding(
        id_, service, kind, severity, symptom, NOON_S, NOON_S, 10.0, 1090.0,
        (Cause(*cause, 1.0, "slow"),), "do",
    )  # fmt: skip


class Desk:
    """Alerts, step by step, a step every ten seconds."""

    def __init__(self, settings: AlertSettings | None = None, now_s: float = NOON_S) -> None:
        self.alerts = Alerts((API, DATABASE), settings or AlertSettings())
        self.now_s = now_s
        self.lasting: dict[str, Finding] = {}
        self.silent: frozenset[str] = frozenset()

    def step(
        self,
        *new: Finding,
        ended: tuple[str, ...] = (),
        acknowledged: tuple[str, ...] = (),
        major: float = 0.0,
        after_s: float = 10.0,
    ) -> list[tuple[NoticeKind, str]]:
        return [
            (n.kind, n.key) for n in self.notices(new, ended, acknowledged, major, after_s=after_s)
        ]

    def notices(
        self,
        new: tuple[Finding, ...] = (),
        ended: tuple[str, ...] = (),
        acknowledged: tuple[str, ...] = (),
        major: float = 0.0,
        *,
        after_s: float = 10.0,
    ) -> tuple[AlertNotice, ...]:
        self.now_s += after_s
        gone = tuple(self.lasting.pop(id_) for id_ in ended)
        self.lasting |= {finding.id: finding for finding in new}
        findings = Findings(self.now_s, tuple(self.lasting.values()), new, gone, self.silent)
        acks = [Acknowledgement(key, "ada") for key in acknowledged]
        return self.alerts.step(findings, self.now_s, acks, major)


KEY = "api/slowness#1"
UNKNOWN = ("api", CauseKind.UNKNOWN)


@pytest.mark.parametrize(
    "cause", [UNKNOWN, ("database", CauseKind.SLOWNESS), ("api", CauseKind.LOAD)]
)
def test_a_budget_that_burns_on_does_not_keep_an_incident_open_that_is_over(
    cause: tuple[str, CauseKind],
) -> None:
    for first in (UNKNOWN, ("api", CauseKind.SLOWNESS)):
        desk = Desk()
        slow = finding_of("a", cause=first, kind=FindingKind.RESPONSE_TIME)
        burns = finding_of("b", cause=cause, kind=FindingKind.BURN_RATE)
        desk.step(burns)
        desk.step(slow)
        assert len(desk.alerts.incidents) == 2
        # What nothing explains does not join it either.
        desk.step(finding_of("c", cause=UNKNOWN))
        assert len(desk.alerts.incidents) == 2
        (burning,) = (one for one in desk.alerts.incidents.values() if "b" in one.members)
        assert set(burning.members) == {"b"}


def test_what_nothing_explains_is_of_the_incident_of_its_service_and_of_no_other() -> None:
    desk = Desk()
    desk.step(finding_of("a", cause=UNKNOWN, kind=FindingKind.RESPONSE_TIME))
    assert desk.step(finding_of("b", cause=UNKNOWN)) == []
    assert desk.step(finding_of("c", cause=("api", CauseKind.LOAD))) == []
    other = finding_of("d", service="database", cause=("database", CauseKind.UNKNOWN))
    assert len(desk.step(other)) == 1
    assert len(desk.alerts.incidents) == 2


def test_what_is_critical_is_told_at_once_and_once() -> None:
    desk = Desk()
    assert desk.step(finding_of("a")) == [(NoticeKind.TRIGGERED, KEY)]
    assert desk.step() == []


def test_a_warning_waits_for_others_of_the_same_cause() -> None:
    desk = Desk()
    assert desk.step(finding_of("a", severity=Severity.WARNING)) == []
    assert desk.step(finding_of("b", "database", Severity.WARNING)) == []
    (notice,) = desk.notices(after_s=20.0)
    assert (notice.kind, notice.key) == (NoticeKind.TRIGGERED, KEY)
    assert "api: cpu" in notice.words and "database: cpu" in notice.words


def test_info_is_no_alarm() -> None:
    desk = Desk()
    assert desk.step(finding_of("a", severity=Severity.INFO)) == []
    assert desk.alerts.incidents == {}


def test_levels_are_told_one_after_the_other_until_somebody_acknowledges() -> None:
    desk = Desk()
    desk.step(finding_of("a"))
    (second,) = desk.notices(after_s=600.0)
    assert (second.kind, second.receivers) == (NoticeKind.ESCALATED, ("second",))
    (taken,) = desk.notices(acknowledged=(KEY,))
    # Whoever was told of it hears that it is somebody's, once for each who takes it on.
    assert (taken.kind, taken.receivers) == (NoticeKind.ACKNOWLEDGED, ("on-call", "second"))
    assert taken.words == "taken on by ada; api: cpu, do"
    assert taken.id not in (second.id, f"{KEY}.1")
    assert desk.step(acknowledged=(KEY,)) == []
    assert desk.step(after_s=3000.0) == []


def test_an_acknowledgement_lapses_and_the_next_level_has_its_time_again() -> None:
    desk = Desk()
    desk.step(finding_of("a"))
    desk.step(acknowledged=(KEY,))
    assert desk.step(after_s=7200.0) == [(NoticeKind.REMINDED, KEY)]
    assert desk.step(after_s=590.0) == []
    assert desk.step() == [(NoticeKind.ESCALATED, KEY)]


def test_what_gets_worse_is_told_again_whoever_acknowledged_it() -> None:
    desk = Desk()
    desk.step(finding_of("a", severity=Severity.WARNING))
    desk.step(after_s=30.0)
    desk.step(acknowledged=(KEY,))
    assert desk.step(finding_of("b")) == [(NoticeKind.WORSE, KEY)]
    assert desk.alerts.incidents[KEY].acknowledged_by == ""


def test_a_reminder_does_not_put_the_next_level_off() -> None:
    desk = Desk(AlertSettings(repeat_s=60.0))
    desk.step(finding_of("a"))
    kinds = [kind for _ in range(60) for kind, _ in desk.step()]
    assert kinds.count(NoticeKind.ESCALATED) == 1
    assert kinds.count(NoticeKind.REMINDED) >= 8


def test_an_incident_is_resolved_when_all_of_it_has_ended_and_stayed_so() -> None:
    desk = Desk()
    desk.step(finding_of("a"), finding_of("b", "database"))
    assert desk.step(ended=("a",), after_s=100.0) == []
    assert desk.step(ended=("b",)) == []
    assert desk.step(after_s=50.0) == []
    (notice,) = desk.notices()
    assert (notice.kind, notice.receivers) == (NoticeKind.RESOLVED, ("on-call",))
    assert desk.alerts.incidents == {}


def test_what_comes_back_soon_is_the_same_incident_and_later_another() -> None:
    desk = Desk()
    desk.step(finding_of("a"))
    desk.step(ended=("a",))
    assert desk.step(finding_of("b")) == []
    desk.step(ended=("b",))
    desk.step(after_s=60.0)
    assert desk.step(finding_of("c")) == [(NoticeKind.TRIGGERED, "api/slowness#2")]


def test_no_data_resolves_nothing() -> None:
    desk = Desk()
    desk.step(finding_of("a"))
    desk.lasting.clear()
    desk.silent = frozenset({"api"})
    kinds = [kind for _ in range(100) for kind, _ in desk.step(after_s=300.0)]
    assert NoticeKind.RESOLVED not in kinds
    desk.now_s += 10.0
    assert desk.alerts.step(None, desk.now_s) == ()
    # Samples come, and a monitor that began anew says nothing of it: then it is over.
    desk.silent = frozenset()
    kinds = [kind for _ in range(20) for kind, _ in desk.step()]
    assert kinds == [NoticeKind.RESOLVED]


def test_a_monitor_that_says_nothing_does_not_stop_escalation() -> None:
    desk = Desk()
    desk.step(finding_of("a"))
    notices = desk.alerts.step(None, desk.now_s + 600.0)
    assert [n.kind for n in notices] == [NoticeKind.ESCALATED]


def test_a_dead_database_silences_its_callers_until_it_is_well() -> None:
    desk = Desk()
    database = finding_of("d", "database", cause=("database", CauseKind.INSTANCES))
    notices = desk.step(finding_of("a"), database)
    assert notices == [(NoticeKind.TRIGGERED, "database/instances#2")]
    assert desk.step(after_s=300.0) == []
    desk.step(ended=("d",))
    notices = desk.step(after_s=60.0)
    assert (NoticeKind.RESOLVED, "database/instances#2") in notices
    assert (NoticeKind.TRIGGERED, KEY) in notices + desk.step()


def test_a_caller_in_trouble_does_not_silence_its_database() -> None:
    desk = Desk()
    desk.step(finding_of("a"))
    database = finding_of("d", "database", cause=("database", CauseKind.INSTANCES))
    assert desk.step(database) == [(NoticeKind.TRIGGERED, "database/instances#2")]


def quiet_nights() -> AlertSettings:
    return AlertSettings(quiet=QuietHours(begin="22:00", end="07:00"))


def test_quiet_hours_hold_back_warnings_and_nothing_critical() -> None:
    desk = Desk(quiet_nights(), MIDNIGHT_S)
    assert desk.step(finding_of("a", severity=Severity.WARNING)) == []
    assert desk.step(after_s=3600.0) == []
    other = finding_of("b", cause=("api", CauseKind.LOAD))
    assert [kind for kind, _ in desk.step(other)] == [NoticeKind.TRIGGERED]
    desk.step(after_s=6 * 3600.0)
    assert desk.alerts.incidents[KEY].level == 1


def test_on_a_wedding_day_nothing_is_quiet_and_everything_faster() -> None:
    desk = Desk(quiet_nights(), MIDNIGHT_S)
    notices = desk.step(finding_of("a", severity=Severity.WARNING), major=3.0)
    assert notices == [(NoticeKind.TRIGGERED, KEY)]
    assert desk.step(after_s=299.0, major=3.0) == []
    assert desk.step(after_s=1.0, major=3.0) == [(NoticeKind.ESCALATED, KEY)]


def test_the_same_notice_has_the_same_id_and_each_its_own() -> None:
    desk = Desk()
    ids = [n.id for n in desk.notices((finding_of("a"),))]
    ids += [n.id for _ in range(3) for n in desk.notices(after_s=1300.0)]
    assert ids == [f"{KEY}.{number}" for number in range(1, len(ids) + 1)]
    assert len(ids) >= 3


def test_quiet_hours_are_those_of_their_time_zone() -> None:
    rome = QuietHours(begin="22:00", end="07:00", time_zone="Europe/Rome")
    assert [rome.at(MIDNIGHT_S + 3600.0 * hour) for hour in (19.5, 20, 4.5, 5)] == [
        False, True, True, False,
    ]  # fmt: skip
    day = QuietHours(begin="12:00", end="13:00")
    assert [day.at(NOON_S + s) for s in (-60.0, 0.0, 3540.0, 3600.0)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"levels": []}, "alerts.levels"),
        ({"levels": [{"receivers": ["a"], "after_s": 5}]}, "levels.0.after_s"),
        ({"levels": [{"receivers": []}]}, "alerts.levels.0.receivers"),
        ({"quiet": {"begin": "25:00", "end": "07:00"}}, "alerts.quiet.begin"),
        ({"quiet": {"begin": "22:00", "end": "07:00", "time_zone": "Rome"}},
         "alerts.quiet.time_zone"),
        ({"wedding_day": {"faster": 2}}, "alerts.wedding_day.faster"),
        ({"repeat": 5}, "alerts.repeat"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_alerts_is_refused_with_its_key(
    given: dict[str, object], key: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        validated(AlertSettings, given, "alerts")
    assert key in str(raised.value)


@pytest.mark.parametrize("text", ["{}", "[]", '{"version": 2}', "nothing"])
def test_what_is_no_snapshot_of_alerts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"alerts|Expecting value"):
        Alerts((API, DATABASE), AlertSettings()).restore(text)
