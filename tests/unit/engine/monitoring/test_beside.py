"""The monitor and its alerts as a shell drives them: what is sent, kept and answered."""

from __future__ import annotations

import pytest

from engine.model import AlertAnswer, Observation
from engine.monitoring.alerts.machine import Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import UNKEPT_S, MonitorStage, incident_id
from tests.unit.engine.monitoring.conftest import API, DATABASE, Platform, make_monitor


class Beside:
    """A stage in front of a made platform."""

    def __init__(self) -> None:
        self.platform = Platform(make_monitor())
        self.stage = MonitorStage(self.platform.monitor, Alerts((API, DATABASE), AlertSettings()))
        self.inner = make_monitor()

    def step(self, *answers: AlertAnswer) -> list[tuple[NoticeKind, str]]:
        platform = self.platform
        platform.monitor = self.inner  # it makes the windows; the stage has a monitor of its own
        platform.step()
        observation = Observation(platform.now_s, tuple(platform.services), platform.outlook)
        news = self.stage.turn(observation, platform.now_s, answers)
        return [(notice.kind, notice.key) for notice in news.notices]

    def dies(self, steps: int = 12) -> list[tuple[NoticeKind, str]]:
        """The api fails; what is said."""
        self.platform.change("api", error_rate=0.5)
        return [said for _ in range(steps) for said in self.step()]

    def answer(self, *, escalates: bool, name: str = "1") -> AlertAnswer:
        own = self.stage.shown()["alerts"][0]
        return AlertAnswer(
            name, own["service"], own["id"], escalates, self.platform.now_s + 900.0, "ada"
        )


@pytest.fixture
def beside() -> Beside:
    made = Beside()
    for _ in range(100):
        assert made.step() == []
    return made


def test_what_is_wrong_becomes_an_incident_and_a_notice_for_each_receiver(beside: Beside) -> None:
    said = beside.dies()
    assert {kind for kind, _ in said} == {NoticeKind.TRIGGERED}
    shown = beside.stage.shown()
    assert {one["service"] for one in shown["findings"]} >= {"api"}
    assert {one["id"] for one in shown["alerts"]} == {incident_id(key) for _, key in said}
    assert [one.receiver for one in beside.stage.waiting] == ["on-call"] * len(said)


def test_a_notice_goes_out_when_it_is_kept(beside: Beside) -> None:
    while not beside.dies(1):
        pass
    waiting = beside.stage.waiting
    now_s = waiting[0].made_s
    assert beside.stage.due(now_s) == ()
    beside.stage.kept(beside.stage.snapshot(now_s))
    for each in waiting:  # one after the other, oldest first
        (due,) = beside.stage.due(now_s)
        assert due == each
        beside.stage.taken(due)
    assert beside.stage.due(now_s + 1000.0) == () == beside.stage.waiting


def test_a_notice_goes_out_although_nothing_can_be_kept_for_long(beside: Beside) -> None:
    beside.dies()
    made_s = beside.stage.waiting[0].made_s
    assert beside.stage.due(made_s + UNKEPT_S - 1.0) == ()
    assert len(beside.stage.due(made_s + UNKEPT_S)) == 1


def test_who_goes_on_from_its_memory_tells_nobody_anew_and_sends_what_nobody_took(
    beside: Beside,
) -> None:
    beside.dies()
    text = beside.stage.snapshot(beside.platform.now_s)
    waiting = beside.stage.waiting
    heir = MonitorStage(make_monitor(), Alerts((API, DATABASE), AlertSettings()))
    heir.restore(text)
    assert heir.waiting == waiting
    assert heir.due(beside.platform.now_s) == waiting[:1]
    beside.stage = heir
    assert beside.step() == []
    keys = {incident_id(one.notice.key) for one in waiting}
    assert {one["id"] for one in heir.shown()["alerts"]} == keys
    assert heir.since_s is not None
    assert heir.since_s < beside.platform.now_s - 400.0


def test_an_acknowledgement_counts_once(beside: Beside) -> None:
    beside.dies()
    answer = beside.answer(escalates=False)
    beside.step(answer)
    own = beside.stage.shown()["alerts"][0]
    assert own["acknowledged_by"] == "ada"
    acknowledged_s = own["acknowledged_s"]
    beside.step(answer)
    assert beside.stage.shown()["alerts"][0]["acknowledged_s"] == acknowledged_s


def test_who_escalates_has_the_next_people_told_at_once(beside: Beside) -> None:
    beside.dies()
    assert [kind for kind, _ in beside.step(beside.answer(escalates=True))] == [
        NoticeKind.ESCALATED
    ]
    assert {one.receiver for one in beside.stage.waiting} == {"on-call", "second"}


def test_an_answer_to_an_incident_that_is_over_is_nothing(beside: Beside) -> None:
    beside.dies()
    answer = beside.answer(escalates=True)
    other = AlertAnswer("2", "api", "api.none-9", True, answer.expires_s, "ada")
    assert beside.step(other) == []


def test_without_an_observation_nothing_ends_and_escalation_goes_on(beside: Beside) -> None:
    beside.dies()
    now_s = beside.platform.now_s
    lasting = beside.stage.findings.lasting
    news = beside.stage.turn(None, now_s + 700.0)
    assert {notice.kind for notice in news.notices} == {NoticeKind.ESCALATED}
    assert beside.stage.findings.lasting == lasting


def test_a_detector_that_raises_changes_nothing(beside: Beside) -> None:
    class Broken:
        def step(self, *_: object, **__: object) -> None:
            raise RuntimeError("no")

        settings = beside.stage.monitor.settings

    beside.dies()
    before = beside.stage.shown()
    whole, beside.stage.monitor = beside.stage.monitor, Broken()  # type: ignore[assignment]
    beside.platform.step()
    with pytest.raises(RuntimeError):
        beside.step()
    beside.stage.monitor = whole
    assert beside.stage.shown() == before


@pytest.mark.parametrize("text", ["", "{}", '{"version": 9}', "[]", '{"version": 1}'])
def test_any_other_text_is_no_memory(beside: Beside, text: str) -> None:
    with pytest.raises(ValueError, match=r"memory of the monitor|version|Expecting"):
        beside.stage.restore(text)
