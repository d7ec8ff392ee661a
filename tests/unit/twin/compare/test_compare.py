"""Paired figures, the Pareto front, losses and elasticity, on small made-up runs."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from engine.config.strict import ConfigError
from engine.record.figures import carried_out, flaps, reversals
from twin.compare import command, verdict
from twin.compare.contest import Run
from twin.compare.elasticity import elasticity, longest_run
from twin.runs.workers import spread


def run(name: str, number: int, cost: float, bad: float) -> Run:
    return Run(name, number, number, {"cost.total_usd": cost, "slo.violation_ratio": bad}, None)


RUNS = [
    run("engine", 0, 90.0, 0.01), run("engine", 1, 180.0, 0.02),
    run("hpa", 0, 100.0, 0.03), run("hpa", 1, 200.0, 0.03),
]  # fmt: skip


def test_differences_are_taken_replication_by_replication() -> None:
    pair = verdict.paired(RUNS)["engine"]["hpa"]
    ratio = pair["cost_ratio"]
    # in each of the two the ratio is 0.9, so there is nothing uncertain in it
    assert ratio["mean"] == pytest.approx(0.9)
    assert ratio["high"] - ratio["low"] == pytest.approx(0.0, abs=1e-12)
    assert pair["cost_difference"]["mean"] == pytest.approx(-15.0)
    assert pair["violation_difference"]["mean"] == pytest.approx(-0.015)
    assert "hpa" not in verdict.paired(RUNS)["hpa"]


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ({"a": (1.0, 0.5), "b": (2.0, 0.1), "c": (2.5, 0.2)}, ["a", "b"]),
        ({"a": (1.0, 0.1), "b": (2.0, 0.1)}, ["a"]),
        ({"a": (1.0, 0.1), "b": (1.001, 0.1)}, ["a", "b"]),  # as good as the same
        ({"a": (1.0, 0.1), "bound": (0.5, 0.0)}, ["a"]),
    ],
)
def test_the_front(points: dict[str, tuple[float, float]], front: list[str]) -> None:
    summary = {
        name: {"cost.total_usd": {"mean": cost}, "slo.violation_ratio": {"mean": bad}}
        for name, (cost, bad) in points.items()
    }
    assert verdict.pareto(summary, ["bound"]) == front


def test_losses_are_unbroken_and_name_the_services() -> None:
    bad = np.zeros(10)
    bad[2:4], bad[7] = (50.0, 20.0), 5.0
    api = pd.DataFrame(
        {"time_s": 60.0 * np.arange(1, 11), "service": "api", "user_facing": True, "bad": bad,
         "done": 100.0}
    )  # fmt: skip
    jobs = api.assign(service="jobs", user_facing=False, bad=100.0)
    losses = verdict.losses(pd.concat([api, jobs]))
    assert [(loss["from_s"], loss["to_s"]) for loss in losses] == [(120.0, 240.0), (420.0, 480.0)]
    assert losses[0]["worst_share"] == 0.5
    assert losses[0]["requests"] == 70
    assert losses[0]["services"] == ["api"]


def test_elasticity_by_hand() -> None:
    needed = np.array([10.0, 10.0, 20.0, 20.0])
    ready = np.array([10.0, 15.0, 10.0, 20.0])
    figures = elasticity(ready, needed, per_minute=1)
    assert figures["accuracy_under"] == pytest.approx(0.5 / 4)
    assert figures["accuracy_over"] == pytest.approx(0.5 / 4)
    assert figures["timeshare_under"] == figures["timeshare_over"] == 0.25
    # need: still, up, still; supply: up, down, up
    assert figures["instability"] == 1.0
    assert set(elasticity(np.zeros(0), np.zeros(0), 12).values()) == {0.0}


def test_reversals_are_counted_of_each_service_within_half_an_hour_of_what_was_accepted() -> None:
    steps = [
        ("api", 0.0, 5, 7), ("api", 1800.0, 7, 6), ("api", 3601.0, 6, 8), ("api", 3700.0, 8, 9),
        ("web", 100.0, 5, 4), ("web", 200.0, 4, 6), ("web", 300.0, 6, 5), ("db", 0.0, 1, 2),
    ]  # fmt: skip
    rows = [
        {"kind": "action", "service": name, "time_s": time_s, "from_instances": one,
         "to_instances": other, "accepted_s": time_s + 1.0}
        for name, time_s, one, other in sorted(steps, key=lambda step: step[1])
    ]  # fmt: skip
    lost = rows[-1] | {"time_s": 3800.0, "to_instances": 3, "accepted_s": float("nan")}
    declined = rows[-1] | {"kind": "declined", "time_s": 3800.0, "to_instances": 3}
    assert reversals(carried_out([*rows, lost, declined])) == {"api": 1, "web": 2}


def test_flaps_and_longest_run() -> None:
    def step(time_s: float, service: str, start: int, end: int) -> dict[str, object]:
        return {"time_s": time_s, "service": service, "from_instances": start, "to_instances": end}

    actions = [
        step(0.0, "a", 1, 2), step(10.0, "b", 5, 4), step(300.0, "a", 2, 1), step(900.0, "a", 1, 3),
        step(2000.0, "a", 3, 2), step(2010.0, "a", 2, 1),
    ]  # fmt: skip
    assert flaps(actions) == 2
    assert longest_run([True, False, True, True, False]) == 2
    assert longest_run([]) == 0


def test_the_command_line_is_taken_apart() -> None:
    question = command.read(["scenario=zone_outage", "controllers=[engine, kpa]", "seed=3"])
    assert question.controllers == ("engine", "kpa")
    assert question.overrides == ("scenario=zone_outage", "seed=3")
    assert command.read(["hpa_targets=[]"]).hpa_targets == ()
    assert command.read([]).controllers == command.EVERYBODY


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("controllers=[engine,engine]", "controllers: each one once"),
        ("controllers=[en gine]", "controllers:"),
        ("hpa_targets=[0]", "hpa_targets: 0 is not allowed (1 … 100, whole)"),
        ("hpa_targets=[a]", "hpa_targets:"),
        ("kpa_delays=[3601]", "kpa_delays: 3601 is not allowed (0 … 3,600, whole)"),
        ("kpa_delays=[a]", "kpa_delays:"),
        ("controller=hpa", "write controllers=[…]"),
        ("--nothing", "--nothing: unknown option"),
        ("--config-dir=/not/there", "--config-dir: /not/there is no folder"),
    ],
)
def test_what_is_wrong_in_it_is_said(argument: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        command.read([argument])
    assert said in str(caught.value)


def test_unknown_controllers_and_keys_are_named() -> None:
    for arguments, said in (
        (["controllers=[hpaa]"], 'controllers: "hpaa" is not allowed'),
        (["sceario=x"], "sceario"),
    ):
        with pytest.raises(ConfigError) as caught:
            list(command.contestants(command.read(arguments)))
        assert said in str(caught.value)


def test_hpa_comes_with_its_front() -> None:
    configs = dict(command.contestants(command.read(["controllers=[hpa]", "hpa_targets=[60,70]"])))
    assert list(configs) == ["hpa", "hpa@70"]  # 60 is its own
    assert configs["hpa@70"]["controller"]["options"]["target_cpu"] == 70


def test_kpa_comes_with_longer_delays_before_it_scales_down() -> None:
    configs = dict(command.contestants(command.read(["controllers=[kpa]", "kpa_delays=[0,600]"])))
    assert list(configs) == ["kpa", "kpa@600s"]  # 0 is its own
    assert configs["kpa@600s"]["controller"]["options"]["scale_down_delay_s"] == 600
    assert list(dict(command.contestants(command.read(["controllers=[kpa]"])))) == [
        "kpa", "kpa@300s", "kpa@900s",
    ]  # fmt: skip
    assert list(
        dict(command.contestants(command.read(["controllers=[kpa]", "kpa_delays=[]"])))
    ) == ["kpa"]


def test_work_is_spread_and_its_errors_come_back() -> None:
    assert dict(spread(math.sqrt, [9.0, 16.0, 25.0], workers=2)) == {0: 3.0, 1: 4.0, 2: 5.0}
    assert list(spread(math.sqrt, [])) == []
    with pytest.raises(ValueError, match=r"math domain|nonnegative"):
        list(spread(math.sqrt, [1.0, -1.0], workers=2))
