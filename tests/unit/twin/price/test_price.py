"""What the rules cost: arguments, the catalogue, and the arithmetic from runs to prices."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.strict import ConfigError
from tests.composition import settings
from twin.config import parse
from twin.price import command, rules, worth
from twin.price.command import PricedDay
from twin.price.pricing import variants
from twin.price.worth import RunFigures


def runs(*costs: float, bad: float = 0.0, ready: float | None = 1.0) -> list[RunFigures]:
    return [
        RunFigures(
            {
                worth.COST: cost,
                worth.VIOLATION: bad,
                worth.MINUTES: 100.0 * bad,
                worth.READY: ready,
                worth.ACTIONS: 1.0,
                worth.REVERSALS: 2.0,
            },
            days=0.5,
        )
        for cost in costs
    ]


def test_every_rule_and_every_threat_makes_a_legal_configuration() -> None:
    base = settings()
    for name, rule in rules.read().items():
        bare, spoiled = rules.without(base, [rule]), rules.threatened(base, rule.threat)
        assert parse(bare) != parse(base), name
        assert parse(spoiled).faults or parse(spoiled).population != parse(base).population, name
    assert base == settings()


def test_without_all_rules_each_of_them_is_out() -> None:
    bare = rules.without(settings(), rules.read().values())
    assert bare["engine"]["capacity"]["survive_zone_loss"] == "none"
    assert bare["engine"]["limits"]["stabilisation_s"] == 0
    assert {one["min_instances"] for one in bare["platform"]["services"].values()} == {1}


def test_a_trace_keeps_its_own_hours() -> None:
    traced = settings() | {"trace": {"path": "load.csv"}}
    threat = rules.read()["zone_to_spare"].threat
    assert threat.population
    assert rules.threatened(traced, threat)["population"] == traced["population"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rules: {}", "rules"),
        ("rules: {spare: {says: a, threat: {says: b}}}", "says nothing"),
        ("[]", "has to be a mapping"),
        ("rules: {spare: {says: a, engine: {x: 1}}}", "threat"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=says):
        rules.read(file)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["scenario=june_paek"], 'scenario: "june_paek" is not allowed'),
        (["scenario=[]"], "scenario: is empty"),
        (["rules=[zone_to_spar]"], 'rules: "zone_to_spar" is not allowed'),
        (["seeds=0"], "seeds: 0 is not allowed"),
        (["weddings=[0]"], "weddings: 0 is not allowed"),
        (["threats=maybe"], "threats: maybe is not allowed"),
        (["controller=hpa"], "it is the engine whose rules are priced"),
        (["replications=3"], "write seeds=N"),
        (["population.simultaneous=9"], r"write weddings=\[N,…\]"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_allowed(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        command.read(words)


def test_places_are_every_scenario_at_every_size() -> None:
    options = command.read(["scenario=[june_peak,quiet_tuesday]", "weddings=[10,20]", "seed=4"])
    every = command.places(options)
    assert [place.name for place in every] == [
        "june_peak @ 10", "june_peak @ 20", "quiet_tuesday @ 10", "quiet_tuesday @ 20",
    ]  # fmt: skip
    assert {place.engine["seed"] for place in every} == {4}
    for place in every:
        assert place.engine["controller"]["name"] == "engine"
        assert {name: own["controller"]["name"] for name, own in place.bounds.items()} == {
            name: name for name in command.BOUNDS
        }


def test_rules_are_taken_out_one_by_one_and_one_after_the_other() -> None:
    base = settings()
    options = command.read(["rules=[zone_to_spare,cooldown]"])
    names = [(v.threat, v.name) for v in variants(PricedDay("here", base, {}), options)]
    assert names == [
        ("", "engine"),
        ("", "without zone_to_spare"), ("", "without cooldown"),
        ("", "before cooldown"), ("", "before zone_to_spare"),
        ("zone_to_spare", "engine"), ("zone_to_spare", "without zone_to_spare"),
        ("cooldown", "engine"), ("cooldown", "without cooldown"),
    ]  # fmt: skip
    by_name = {v.name: v.settings for v in variants(PricedDay("here", base, {}), options)}
    both = by_name["before zone_to_spare"]["engine"]
    assert both["capacity"]["survive_zone_loss"] == "none"
    assert both["limits"]["cooldown_in_s"] == 15
    assert by_name["before cooldown"]["engine"]["capacity"] == base["engine"]["capacity"]


def test_the_waterfall_adds_up_to_the_engine() -> None:
    place = worth.of_place(
        {
            "engine": runs(60.0, 62.0),
            "clairvoyant": runs(40.0, 41.0),
            "clairvoyant_within_rules": runs(55.0, 56.0),
            worth.alone("a"): runs(50.0, 52.0),
            worth.alone("b"): runs(59.0, 61.0),
            worth.before("b"): runs(57.0, 60.0),
            worth.before("a"): runs(45.0, 47.0),
        },
        ["a", "b"],
    )
    bars = {bar["name"]: bar["usd_a_day"]["mean"] for bar in place["waterfall"]}
    assert bars == {"clairvoyant": 81.0, "not knowing": 11.0, "a": 25.0, "b": 5.0}
    assert sum(bars.values()) == place["contestants"]["engine"]["usd_a_day"]["mean"] == 122.0
    assert place["rules"]["a"]["usd_a_day"]["mean"] == 20.0
    assert place["ratios"]["clairvoyant"]["mean"] == pytest.approx(0.5 * (60 / 40 + 62 / 41))


@pytest.mark.parametrize(
    ("own", "bare", "word"),
    [
        (runs(60, 61), runs(60, 61, bad=0.01), "pays"),
        (runs(60, 61), runs(70, 71), "pays"),
        (runs(60, 61), runs(50, 51), "costs"),
        (runs(60, 61, bad=0.01), runs(60, 61), "harms"),
        (runs(60, 61, ready=0.5), runs(60, 61, bad=0.01, ready=1.0), "trades"),
        (runs(60, 61), runs(60, 61), "nothing"),
        (runs(60, 61), runs(60.001, 60.999), "nothing"),
        (runs(60, 61, 62), runs(60.5, 61.5, 62.5, bad=1e-7), "pays"),
        (runs(60, 61), runs(50, 75), "unsure"),  # the two seeds say different things
        (runs(60), runs(50), "costs"),  # with one seed the difference itself counts
        (runs(60, ready=None), runs(60, ready=None), "nothing"),
    ],
)
def test_the_verdict_is_on_what_is_sure(
    own: list[RunFigures], bare: list[RunFigures], word: str
) -> None:
    assert worth.of_threat(own, bare)["verdict"] == word


def test_a_rule_is_idle_only_where_no_day_and_no_threat_tells_it_apart() -> None:
    same, dearer = worth.difference(runs(60), runs(60)), worth.difference(runs(60), runs(50))
    places = [
        {"rules": {"a": same, "b": same, "c": dearer}, "threats": {"a": same, "b": dearer}},
        {"rules": {"a": same, "b": same, "c": same}, "threats": {}},
    ]
    assert worth.idle(places, ["a", "b", "c"]) == ["a"]


def carried(cut: float | None, usd: float = 10.0) -> list[RunFigures]:
    (run,) = runs(usd)
    return [RunFigures({**run.figures, worth.CUT: cut}, run.days)]


def test_ceremonies_that_were_not_cut_are_worth_their_price() -> None:
    result = worth.difference(carried(2.0, 11.0), carried(9.0))
    assert result["ceremonies_saved"]["mean"] == 14.0  # of half a day
    assert result["usd_a_day"]["mean"] == 2.0
    assert worth.verdict(result) == worth.PAYS
    assert worth.verdict(worth.difference(carried(9.0), carried(2.0))) == worth.HARMS
    assert worth.verdict(worth.difference(carried(2.0), carried(2.0))) == worth.NOTHING


def test_where_no_platform_tells_of_ceremonies_there_is_nothing_to_save() -> None:
    for own, bare in ((carried(None), carried(None)), (runs(10.0), runs(10.0))):
        result = worth.difference(own, bare)
        assert result["ceremonies_saved"] is None
        assert worth.verdict(result) == worth.NOTHING
