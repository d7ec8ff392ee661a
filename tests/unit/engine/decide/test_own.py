"""Rules of one's own: what they want, what they may not, and what becomes of one that fails."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Mapping
from typing import Any

import pytest

from engine.autoscaler import Autoscaler
from engine.config.strict import ConfigError
from engine.decide.explain import explain
from engine.decide.recommend.own import MOST, OwnRule, Rule, Want, loaded, own, rule_of
from engine.decide.verify import Verdict
from engine.decide.view import View, view
from engine.decide.wishes import Wish, recommend
from engine.model import ManualScale, Reason, ServiceObservation, WeddingContext
from engine.settings import EngineSettings, FallbackSettings, RuleSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_window, observe
from tests.unit.engine.decide.conftest import ahead_of, seen_of

SERVICE = make_service(desired=10, window=make_window(cpu=0.4))
VIEW = view(SERVICE, NOW_S, EngineSettings().stale_after_s)
NEWEST_S = VIEW.newest_s


def rule(target: Any = 12, evidence: Mapping[str, Any] | None = None, sure: float = 0.8) -> Rule:
    """One that always wants the same."""
    want = Want(target, {"waiting": 831.0} if evidence is None else evidence, sure)
    return lambda *_: want


def nothing(service: ServiceObservation, view: View, now_s: float) -> Want | None:
    return None


def broken(service: ServiceObservation, view: View, now_s: float) -> Want | None:
    raise KeyError("sockets")


def test_what_a_rule_wants_is_a_recommendation_that_names_it() -> None:
    ((one,), notes) = own((OwnRule("work_off", rule(), ()),), SERVICE, VIEW, NOW_S)
    assert (one.service, one.target, one.reason, one.confidence) == ("api", 12, Reason.RULE, 0.8)
    assert one.evidence == {"rule.work_off": 12.0, "waiting": 831.0}
    assert one.trigger_s == NEWEST_S < NOW_S
    assert notes == []
    assert rule_of(one.evidence) == "work_off"
    assert rule_of({"cpu": 0.9}) == ""


def test_a_rule_is_given_the_service_its_figures_and_the_time() -> None:
    given: list[object] = []

    def asking(*arguments: object) -> None:
        given.extend(arguments)

    assert own((OwnRule("one", asking, ()),), SERVICE, VIEW, NOW_S) == ([], [])
    assert given == [SERVICE, VIEW, NOW_S]


def test_without_any_sample_it_was_led_by_the_time() -> None:
    unseen = make_service(desired=10, window=make_window()[:0])
    blind = view(unseen, NOW_S, 45.0)
    ((one,), _) = own((OwnRule("one", rule(), ()),), unseen, blind, NOW_S)
    assert one.trigger_s == NOW_S


@pytest.mark.parametrize(
    ("services", "asked"),
    [((), True), (("api",), True), (("database", "api"), True), (("database",), False)],
)
def test_it_is_asked_about_its_services_alone(services: tuple[str, ...], *, asked: bool) -> None:
    rules = (OwnRule("one", rule(), services), OwnRule("other", rule(), ()))
    wanted, _ = own(rules, SERVICE, VIEW, NOW_S)
    names = [rule_of(one.evidence) for one in wanted]
    assert names == (["one", "other"] if asked else ["other"])


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (broken, "KeyError: 'sockets'"),
        (rule(-1), f"ValueError: it asks for -1 instances, allowed are 0 … {MOST:,}"),
        (rule(MOST + 1), f"ValueError: it asks for {MOST + 1} instances, allowed are 0 … {MOST:,}"),
        (rule(11.5), "ValueError: it asks for 11.5 instances, allowed are 0 … 1,000,000"),
        (rule(math.nan), "ValueError: cannot convert float NaN to integer"),
        (rule(math.inf), "OverflowError: cannot convert float infinity to integer"),
        (rule("many"), "ValueError: invalid literal for int() with base 10: 'many'"),
        (rule(None), "TypeError: int() argument must be"),
        (rule(sure=1.5), "ValueError: its confidence is 1.5, allowed are 0 … 1"),
        (rule(sure=-0.1), "ValueError: its confidence is -0.1, allowed are 0 … 1"),
        (rule(evidence={"waiting": "much"}), "ValueError: could not convert string to float"),
        (lambda *_: 12, "TypeError: cannot unpack"),
        (lambda: None, "TypeError: "),
    ],
)
def test_one_that_fails_says_nothing_and_the_others_go_on(bad: Rule, says: str) -> None:
    rules = (OwnRule("bad", bad, ()), OwnRule("good", rule(), ()), OwnRule("idle", nothing, ()))
    wanted, notes = own(rules, SERVICE, VIEW, NOW_S)
    assert [rule_of(one.evidence) for one in wanted] == ["good"]
    (note,) = notes
    assert note.startswith(f"the rule bad failed ({says}")


@pytest.mark.parametrize("target", [0, MOST, 12.0])
def test_bounds_are_counts(target: float) -> None:
    ((one,), notes) = own((OwnRule("one", rule(target), ()),), SERVICE, VIEW, NOW_S)
    assert (one.target, type(one.target), notes) == (int(target), int, [])


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_bounds_of_confidence(sure: float) -> None:
    ((one,), _) = own((OwnRule("one", rule(sure=sure), ()),), SERVICE, VIEW, NOW_S)
    assert one.confidence == sure


def wish(*rules: OwnRule, forecast: float = 4.0, settings: EngineSettings | None = None,
         scales: tuple[ManualScale, ...] = (), stale: bool = False) -> Wish:  # fmt: skip
    window = make_window(cpu=0.4)
    seen = seen_of(make_service(desired=10, window=window[:0] if stale else window))
    (one,) = recommend(
        [seen], [ahead_of(forecast)], [Verdict(None, -math.inf, -math.inf, -1)],
        observation=observe(seen.service, scales=scales), settings=settings or EngineSettings(),
        rules=rules,
    )  # fmt: skip
    return one


TWELVE = OwnRule("twelve", rule(), ())


def test_the_highest_wins_and_the_others_say_why_they_do_not() -> None:
    chosen = wish(TWELVE).chosen
    assert chosen is not None
    assert (chosen.reason, chosen.target) == (Reason.RULE, 12)
    more = wish(TWELVE, OwnRule("twenty", rule(20), ()))
    assert more.chosen is not None
    assert rule_of(more.chosen.evidence) == "twenty"
    assert [one.why for one in more.declined] == ["the rule twenty asks for as much or more"]
    less = wish(TWELVE, forecast=30.0)
    assert less.chosen is not None
    assert less.chosen.reason is Reason.FORECAST
    assert [one.why for one in less.declined] == ["forecast asks for as much or more"]


def test_it_takes_nothing_away_and_is_no_firmer_than_a_forecast() -> None:
    low = wish(OwnRule("one", rule(1), ())).chosen
    assert low is not None
    assert (low.reason, low.target) == (Reason.FORECAST, 4)
    asked = ManualScale("m1", "api", 6, NOW_S + 60.0, "ann")
    chosen = wish(TWELVE, scales=(asked,)).chosen
    assert chosen is not None
    assert (chosen.reason, chosen.target) == (Reason.MANUAL, 6)


def test_failures_stand_among_the_notes() -> None:
    assert wish(TWELVE).notes == ""
    bad = OwnRule("bad", broken, ())
    assert wish(bad).notes == "the rule bad failed (KeyError: 'sockets')"
    hold = EngineSettings(fallback=FallbackSettings(mode="hold"))
    first, second = wish(bad, settings=hold, stale=True).notes.split("; ")
    assert first.startswith("metrics are stale")
    assert second == "the rule bad failed (KeyError: 'sockets')"


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        ({"rule.work_off": 14.0, "waiting": 831.0, "oldest_s": 2.25},
         "the rule work_off asks for 14 (waiting 831, oldest s 2.25)"),
        ({"rule.work_off": 14.0}, "the rule work_off asks for 14"),
        ({"rule.work_off": 14.0, "bytes": 12345678.0},
         "the rule work_off asks for 14 (bytes 1.235e+07)"),
    ],
)  # fmt: skip
def test_a_decision_says_which_rule_and_by_what(evidence: dict[str, float], says: str) -> None:
    text = explain(
        "api", 10, 14, Reason.RULE,
        evidence=evidence, weddings=WeddingContext(0.0, 0.0, 0.0), notes="",
    )  # fmt: skip
    assert text == f"api: scale out 10 → 14 because {says}."


class Sized:
    """A rule with an option."""

    def __init__(self, target: int = 12) -> None:
        self.target = target

    def __call__(self, service: ServiceObservation, view: View, now_s: float) -> Want | None:
        return Want(self.target)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ours")
    vars(module).update(Sized=Sized, empty=lambda: object())
    monkeypatch.setitem(sys.modules, "ours", module)


@pytest.mark.usefixtures("ours")
def test_the_engine_has_the_rules_of_its_settings() -> None:
    sized = {"factory": "ours:Sized", "options": {"target": 13}, "services": ["api"]}
    settings = EngineSettings.model_validate({"rules": {"sized": sized}})
    plan = Autoscaler(settings).step(observe(SERVICE))
    (action,) = plan.actions
    assert (action.reason, action.to_instances) == (Reason.RULE, 13)
    assert "because the rule sized asks for 13" in action.explanation
    assert Autoscaler().step(observe(SERVICE)).actions == ()


@pytest.mark.usefixtures("ours")
@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"factory": "nowhere_at_all:Rule"}, r"^engine\.rules\.mine\.factory: .*cannot be loaded"),
        ({"factory": "ours:empty"}, r"^engine\.rules\.mine\.factory: .*has no __call__\(\)"),
        ({"factory": "ours:Sized", "options": {"targets": 3}},
         r"^engine\.rules\.mine\.options\.targets: unknown key; did you mean target\?"),
    ],
)  # fmt: skip
def test_one_that_cannot_be_had_is_said_of_its_key(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        loaded({"mine": RuleSettings.model_validate(raw)})


def test_services_that_there_are_not_are_refused() -> None:
    rules = {"mine": {"factory": "ours:Sized", "services": ["api", "databse"]}}
    settings = EngineSettings.model_validate({"rules": rules})
    with pytest.raises(ValueError, match=r'^engine\.rules\.mine\.services: "databse".*database'):
        settings.check(["api", "database"])
    settings.check(["api", "databse"])
    lost = EngineSettings(fallback_by_service={"apy": FallbackSettings()})
    with pytest.raises(ValueError, match=r'^engine\.fallback_by_service: "apy" .*did you mean api'):
        lost.check(["api", "database"])
