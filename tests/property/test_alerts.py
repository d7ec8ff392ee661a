"""Whatever happens to findings, people and the monitor: what alerts promise of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.monitoring.alerts.machine import Acknowledgement, AlertNotice, Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings, QuietHours
from engine.monitoring.findings import CauseKind, Finding, Findings, Severity
from tests.unit.engine.monitoring.conftest import API, DATABASE
from tests.unit.engine.monitoring.test_alerts import MIDNIGHT_S, finding_of

SPECS = (API, DATABASE)
SETTINGS = AlertSettings(quiet=QuietHours(begin="22:00", end="07:00"))
PLACES = [
    ("api", CauseKind.SLOWNESS), ("database", CauseKind.SLOWNESS), ("api", CauseKind.LOAD),
    ("database", CauseKind.INSTANCES),
]  # fmt: skip

events = st.lists(
    st.fixed_dictionaries({
        "after_s": st.sampled_from([5.0, 20.0, 70.0, 400.0, 4000.0]),
        "begin": st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from(list(Severity))), max_size=2
        ),
        "end": st.integers(0, 3),
        "ends": st.booleans(),
        "forgets": st.booleans(),
        "silent": st.sets(st.sampled_from(["api", "database"])),
        "acknowledge": st.booleans(),
        "speaks": st.integers(0, 4),
        "major": st.sampled_from([0.0, 0.0, 5.0]),
    }),
    min_size=1,
    max_size=40,
)  # fmt: skip


class Story:
    """A monitor and its people, as the events say, and what was sent."""

    def __init__(self, alerts: Alerts) -> None:
        self.alerts = alerts
        self.now_s = MIDNIGHT_S
        self.lasting: dict[str, Finding] = {}
        self.number = 0
        self.sent: list[AlertNotice] = []

    def play(self, event: dict[str, Any]) -> tuple[AlertNotice, ...]:
        self.now_s += event["after_s"]
        began = []
        for place, severity in event["begin"]:
            self.number += 1
            service = PLACES[place][0]
            began.append(finding_of(f"f{self.number}", service, severity, PLACES[place]))
        self.lasting |= {finding.id: finding for finding in began}
        ended: list[Finding] = []
        ids = [i for i in self.lasting if self.lasting[i].service not in event["silent"]]
        if event["ends"] and ids:
            ended.append(self.lasting.pop(ids[event["end"] % len(ids)]))
        elif event["forgets"] and self.lasting:
            self.lasting.popitem()
        findings = Findings(
            self.now_s, tuple(self.lasting.values()), tuple(began), tuple(ended),
            frozenset(event["silent"]),
        )  # fmt: skip
        acks = (
            [Acknowledgement(key, "ada") for key in list(self.alerts.incidents)[:1]]
            if event["acknowledge"]
            else []
        )
        said = self.alerts.step(
            findings if event["speaks"] else None, self.now_s, acks, event["major"]
        )
        self.sent += said
        return said


@given(events)
def test_each_incident_is_told_from_its_beginning_to_its_end(story: Sequence[Any]) -> None:
    own = Story(Alerts(SPECS, SETTINGS))
    for event in story:
        own.play(event)
    ids = [notice.id for notice in own.sent]
    assert len(set(ids)) == len(ids)
    for key in {notice.key for notice in own.sent}:
        kinds = [notice.kind for notice in own.sent if notice.key == key]
        assert kinds[0] is NoticeKind.TRIGGERED
        assert kinds.count(NoticeKind.TRIGGERED) == 1
        assert NoticeKind.RESOLVED not in kinds[:-1]
        assert (kinds[-1] is NoticeKind.RESOLVED) == (key not in own.alerts.incidents)
        assert kinds.count(NoticeKind.ESCALATED) < len(SETTINGS.levels)


@given(events)
def test_nothing_is_resolved_that_lasts_or_is_silent(story: Sequence[Any]) -> None:
    own = Story(Alerts(SPECS, SETTINGS))
    for event in story:
        before = own.alerts.incidents
        for notice in own.play(event):
            if notice.kind is not NoticeKind.RESOLVED:
                continue
            for id_, member in before[notice.key].members.items():
                assert id_ not in own.lasting
                assert member.service not in event["silent"]
            assert event["speaks"] or not before[notice.key].members


@given(events)
def test_nobody_is_bothered_with_what_is_acknowledged_unless_it_gets_worse_or_lapses(
    story: Sequence[Any],
) -> None:
    own = Story(Alerts(SPECS, SETTINGS))
    for event in story:
        before = own.alerts.incidents
        for notice in own.play(event):
            incident = before.get(notice.key)
            if incident is None or not incident.acknowledged_by:
                continue
            assert notice.kind in (NoticeKind.WORSE, NoticeKind.REMINDED, NoticeKind.RESOLVED)


@given(events)
def test_what_is_critical_is_told_at_once_or_held_back_by_what_it_waits_for(
    story: Sequence[Any],
) -> None:
    own = Story(Alerts(SPECS, SETTINGS))
    for event in story:
        own.play(event)
        incidents = own.alerts.incidents.values()
        critical = {i.service for i in incidents if i.level and i.told_as is Severity.CRITICAL}
        for incident in incidents:
            if incident.members and incident.severity is Severity.CRITICAL:
                assert incident.level or own.alerts.inhibited(
                    incident.service, critical - {incident.service}
                )


@given(events, st.integers(0, 40))
def test_alerts_that_are_restored_go_on_as_they_would_have(story: Sequence[Any], at: int) -> None:
    whole, broken = Story(Alerts(SPECS, SETTINGS)), Story(Alerts(SPECS, SETTINGS))
    for k, event in enumerate(story):
        if k == at:
            text = broken.alerts.snapshot()
            json.loads(text, parse_constant=float)
            broken.alerts = Alerts(SPECS, SETTINGS)
            broken.alerts.restore(text)
        assert whole.play(event) == broken.play(event)


@given(events)
def test_a_step_at_the_same_time_says_nothing_new(story: Sequence[Any]) -> None:
    own = Story(Alerts(SPECS, SETTINGS))
    for event in story:
        own.play(event)
    findings = Findings(own.now_s, tuple(own.lasting.values()))
    own.alerts.step(findings, own.now_s)
    assert own.alerts.step(findings, own.now_s) == ()


@given(events)
def test_no_more_is_remembered_than_what_lasts(story: Sequence[Any]) -> None:
    own = Story(Alerts(SPECS, SETTINGS))
    for event in story:
        own.play(event)
    own.lasting.clear()
    for _ in range(4):
        own.play({
            "after_s": 100.0, "begin": [], "ends": False, "forgets": False, "silent": set(),
            "acknowledge": False, "speaks": 1, "major": 0.0, "end": 0,
        })  # fmt: skip
    assert own.alerts.incidents == {}
