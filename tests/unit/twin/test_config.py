"""Wrong configurations: the message names the key and what is allowed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from engine.config.strict import ConfigError
from tests import composition
from twin.config import parse

SCENARIOS = (
    "june_peak",
    "quiet_tuesday",
    "flash_crowd",
    "zone_outage",
    "late_bookings",
    "metrics_blackout",
    "slow_boot",
    "retry_storm",
)

DAILY = {"cron": "0 8 * * *", "time_zone": "Europe/Rome", "duration_s": 3600}


def raw(*overrides: str) -> dict[str, Any]:
    return composition.settings(*overrides)


def put(config: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    *parents, last = path.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    return config


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_is_valid_and_named_like_its_file(scenario: str) -> None:
    assert parse(raw(f"scenario={scenario}")).scenario.name == scenario


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("seed", -1, "seed: -1 is not allowed (0 …"),
        ("seed", 1.5, "seed: 1.5 is not allowed (0 …"),
        (
            "resolution",
            "exact",
            "resolution: \"exact\" is not allowed ('fluid', 'request' or 'hybrid')",
        ),
        (
            "population.simultaneous",
            -5,
            "population.simultaneous: -5 is not allowed (1 … 10,000,000)",
        ),
        ("population.simultaneous", "many", 'population.simultaneous: "many" is not allowed'),
        ("telemetry.lag_s", math.nan, "telemetry.lag_s: NaN is not allowed (0 … 300)"),
        ("telemetry.lag_s", math.inf, "telemetry.lag_s: inf is not allowed (0 … 300)"),
        ("telemetry.los", 0.1, "telemetry.los: unknown key; did you mean loss"),
        (
            "engine.limits.step_out",
            0,
            "engine.limits.step_out: 0 is not allowed (more than 0 … 10)",
        ),
        (
            "engine.limits.cooldown",
            3,
            "engine.limits.cooldown: unknown key; did you mean cooldown_in_s or cooldown_out_s",
        ),
        (
            "engine.limits.cooldown_s",
            120,
            "engine.limits.cooldown_s: unknown key; did you mean cooldown_in_s or cooldown_out_s",
        ),
        ("engine.sample_s", 7, "engine.sample_s: 7 has to equal telemetry.interval_s 5"),
        (
            "platform.services.api.min_instances",
            30_000,
            "api: min_instances 30000 is above max_instances",
        ),
        ("platform.services.api.boot.p95_s", 1, "p95_s 1 is below median_s 60"),
        ("platform.services.api.thresholds.cpu_down", 0.9, "cpu_down 0.9 is above cpu_up 0.75"),
        (
            "platform.services.api.calls",
            {"databas": {"per_request": 1}},
            "databas, which is not a service",
        ),
        ("platform.services.database.calls", {"api": {"per_request": 1}}, "form a cycle"),
        ("population.time_zones", {"America/New_Yorck": 1.0}, "America/New_Yorck"),
        (
            "approval",
            "maybe",
            "approval: \"maybe\" is not allowed ('automatic' or 'never' or 0 … 86,400)",
        ),
        ("approval", -3, "approval: -3 is not allowed"),
        ("thresholds", {"x": "fast enough"}, "thresholds.x: give a path, an operator and a figure"),
        ("faults", {"f": {"kind": "flood"}}, "faults.f.kind: "),
        (
            "faults",
            {"f": {"kind": "zone_loss", "zone": 7, "at": 0, "duration_s": 60}},
            "faults.f.zone: 7 is not allowed (0 … 2)",
        ),
        (
            "faults",
            {"f": {"kind": "zone_loss", "zone": 0, "at": "noon", "duration_s": 60}},
            "faults.f",
        ),
        (
            "faults",
            {
                "f": {
                    "kind": "slow_service",
                    "service": "apis",
                    "factor": 2,
                    "at": 0,
                    "duration_s": 60,
                }
            },
            "did you mean api",
        ),
        (
            "operator.floors",
            [{"service": "apj", "instances": 3, "expires_s": 9}],
            'operator.floors.service: "apj"',
        ),
        (
            "operator.scales",
            [{"service": "apj", "instances": 3, "expires_s": 9}],
            'operator.scales.service: "apj"',
        ),
        ("operator.scales", [{"service": "api", "instances": 3}], "operator.scales.0.expires_s"),
        (
            "operator.floors",
            [{"service": "api", "instances": 3}],
            "operator.floors.0: expires_s is missing (or give a schedule)",
        ),
        (
            "operator.floors",
            [{"service": "api", "instances": 3, "schedule": {**DAILY, "cron": "0 25 * * *"}}],
            'operator.floors.0.schedule.cron: "0 25 * * *" is not allowed (bad hour',
        ),
        (
            "operator.pauses",
            [{"schedule": {**DAILY, "time_zone": "Europe/Rom"}}],
            'operator.pauses.0.schedule.time_zone: "Europe/Rom" is not allowed',
        ),
        ("controller.name", "../evil", "controller.name"),
        ("outptu", "x", "outptu: unknown key; did you mean output"),
    ],
)
def test_what_is_wrong_is_said(path: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(put(raw(), path, value))
    assert said in str(caught.value)


def test_what_is_tried_is_the_window_that_will_run() -> None:
    """A quarter of an hour of a trace may be idle where the whole window is not."""
    trace = {"scenario": "trace", "trace.path": "load.csv", "trace.duration_s": 36_000}
    config = parse(raw(*(f"{key}={value}" for key, value in trace.items())))
    assert config.small().trace == config.trace
    assert config.small().population.duration_s == 900


def test_phases_in_the_wrong_order_are_named() -> None:
    config = raw()
    phases = config["population"]["phases"]
    phases[1], phases[2] = phases[2], phases[1]
    with pytest.raises(ConfigError, match=r"population.*ceremony starts at 0 min.*cocktail_hour"):
        parse(config)


def test_every_wrong_key_is_listed_at_once() -> None:
    config = put(put(raw(), "seed", -1), "telemetry.loss", 2)
    with pytest.raises(ConfigError) as caught:
        parse(config)
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_key_is_named() -> None:
    config = raw()
    del config["platform"]["services"]["api"]["slots"]
    with pytest.raises(ConfigError, match=r"platform\.services\.api\.slots: is missing"):
        parse(config)


@pytest.mark.parametrize("root", ["twin", "live"])
def test_hydra_leaves_the_logging_as_it_is(root: str) -> None:
    """Its own setting would silence all loggers that are there by then, ours among them."""
    with initialize_config_module("conf", version_base="1.3"):
        hydra = compose(root, return_hydra_config=True).hydra
    for config in (hydra.job_logging, hydra.hydra_logging):
        assert config.root is None
        assert not config.disable_existing_loggers
