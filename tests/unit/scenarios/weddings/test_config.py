from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from scenarios.weddings.config import DemandConfig, PopulationConfig


def with_value(plain: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(plain)
    *parents, last = path.split("|")
    target = changed
    for key in parents:
        target = target[int(key)] if isinstance(target, list) else target[key]
    target[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("simultaneous", 0, "greater than or equal to 1"),
        ("simultaneous", -5, "greater than or equal to 1"),
        ("simultaneous", 10_000_001, "less than or equal to 10000000"),
        ("duration_s", 840, "greater than or equal to 900"),
        ("duration_s", 930, "multiple of 60"),
        ("start_utc", "24:00", "not a time of day"),
        ("start_utc", "8 am", "not a time of day"),
        ("date", "2027-02-30", "valid date"),
        ("month_weights", [0.0833] * 11, "at least 12 items"),
        ("month_weights", [0.1] * 12, "the shares add up to 1.2000"),
        ("weekday_weights", [0.1] * 7, "the shares add up to 0.7000"),
        ("weekday_weights", [float("nan")] * 7, "finite number"),
        ("time_zones", {"America/New_Yorc": 1.0}, "did you mean America/New_York"),
        ("time_zones", {"America": 1.0}, "not an IANA time zone"),
        ("time_zones", {"../etc/passwd": 1.0}, "not an IANA time zone"),
        ("time_zones", {"America/New_York": 0.5}, "the shares add up to 0.5000"),
        ("ceremony_start", {"16:15": 1.0}, "not on a full or half hour"),
        ("types|luxury|share", 0.5, "types: the shares add up to"),
        ("types|luxury|guests|mean", 700, "outside \\[min, max\\]"),
        ("types|luxury|guests|sd", float("inf"), "finite number"),
        ("end_min", 330, "not after the start of after"),
        ("actual|unbooked_share", 1.5, "less than or equal to 1"),
        ("actual|late_start|mean_min", -10, "must be later than the earliest start"),
        ("surprise", 1, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_population_figure_is_rejected_with_its_reason(
    population_yaml: dict[str, Any], path: str, value: object, says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as error:
        PopulationConfig(**with_value(population_yaml, path, value))
    assert error.value.error_count() == 1 or path == "weekday_weights"


def test_phases_in_reversed_order_are_rejected_by_name(population_yaml: dict[str, Any]) -> None:
    population_yaml["phases"].reverse()
    with pytest.raises(ValidationError, match="phases: party starts at 180 min, which is not aft"):
        PopulationConfig(**population_yaml)


def test_a_phase_listed_twice_is_rejected_by_name(population_yaml: dict[str, Any]) -> None:
    population_yaml["phases"][1]["name"] = "dinner"
    with pytest.raises(ValidationError, match="phases: dinner appears more than once"):
        PopulationConfig(**population_yaml)


def test_a_missing_or_unknown_wedding_type_is_rejected(population_yaml: dict[str, Any]) -> None:
    luxury = population_yaml["types"].pop("luxury")
    with pytest.raises(ValidationError, match="types: luxury missing"):
        PopulationConfig(**population_yaml)
    population_yaml["types"]["royal"] = luxury
    with pytest.raises(ValidationError, match=r"intimate.*medium.*large.*luxury"):
        PopulationConfig(**population_yaml)


def test_an_unquoted_time_of_day_in_yaml_means_the_same(population_yaml: dict[str, Any]) -> None:
    quoted = PopulationConfig(**population_yaml | {"start_utc": "16:30"})
    assert PopulationConfig(**population_yaml | {"start_utc": 990}) == quoted  # YAML 1.1: base 60


def test_a_configuration_survives_the_way_through_json(
    us: PopulationConfig, wedsync: DemandConfig
) -> None:
    assert '"16:30":0.16' in us.model_dump_json()
    assert PopulationConfig.model_validate_json(us.model_dump_json()) == us
    assert PopulationConfig.model_validate(us.model_dump()) == us
    assert DemandConfig.model_validate_json(wedsync.model_dump_json()) == wedsync


def test_the_window_starts_on_the_date_in_utc(population_yaml: dict[str, Any]) -> None:
    config = PopulationConfig(**population_yaml | {"date": "2027-06-19", "start_utc": "08:00"})
    assert config.start_s == 1_813_392_000.0


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("day_sigma", float("nan"), "finite number"),
        ("noise_sigma", -0.1, "greater than or equal to 0"),
        ("usual_unbooked_share", 1.0, "less than or equal to 0.9"),
        ("rates|api|guest|party|rate", 0.5, "rate 0.5 is outside its range"),
        ("rates|api|guest|party|range", [0.02, 0.001], "must rise"),
        ("rates|api|waiter", {}, "unknown role waiter, allowed: couple, guest"),
        ("background|local_hours", [0.0] * 24, "at least one hour must be above 0"),
        ("background|local_hours", [1.0] * 23, "at least 24 items"),
        ("background|requests_per_user_day|chat", {"rate": 1, "range": [0, 2]}, "chat has no"),
    ],
)
def test_a_wrong_demand_figure_is_rejected_with_its_reason(
    demand_yaml: dict[str, Any], path: str, value: object, says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        DemandConfig(**with_value(demand_yaml, path, value))


def test_a_role_without_rates_is_rejected(demand_yaml: dict[str, Any]) -> None:
    del demand_yaml["rates"]["api"]["vendor"]
    with pytest.raises(ValidationError, match=r"rates\.api: vendor missing"):
        DemandConfig(**demand_yaml)


@pytest.mark.parametrize("model", [PopulationConfig, DemandConfig])
def test_every_key_is_documented(model: type[PopulationConfig] | type[DemandConfig]) -> None:
    schema = model.model_json_schema()
    keys = [
        (definition.get("title"), name, body)
        for definition in (schema, *schema["$defs"].values())
        for name, body in definition.get("properties", {}).items()
    ]
    assert keys
    assert [(owner, name) for owner, name, body in keys if "description" not in body] == []


def test_a_configuration_cannot_be_changed(us: PopulationConfig) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        us.simultaneous = 5  # type: ignore[misc]


def test_month_weights_are_the_shares_of_the_published_counts(us: PopulationConfig) -> None:
    # NCHS, US marriages 2000-2009 by month, January first, thousands (provisional counts).
    months = [1253, 1425, 1562, 1722, 2017, 2322, 2330, 2291, 2136, 2080, 1586, 1511]
    assert us.month_weights == pytest.approx([m / sum(months) for m in months], abs=0.0001)


def test_weekday_weights_follow_from_the_two_published_splits(us: PopulationConfig) -> None:
    week = {"mon": 4.0, "tue": 3.3, "wed": 4.0, "thu": 5.0, "fri": 17.0, "sat": 62.0, "sun": 4.4}
    shares = list(week.values())
    expected = [0.10 * s / sum(shares[:4]) for s in shares[:4]]
    expected += [0.90 * s / sum(shares[4:]) for s in shares[4:]]
    assert us.weekday_weights == pytest.approx(expected, abs=0.0001)
