"""The guard fails where something got worse, and only there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config.strict import ConfigError
from engine.decide.rails import limits as rails
from engine.decide.recommend import emergency
from engine.settings import LimitSettings
from tests import warm
from tests.composition import settings as composed
from twin.guard import baseline, checking, command, judge, plants, power, runs, worlds
from twin.guard.baseline import WorldBaseline
from twin.guard.errors import GuardError
from twin.guard.judge import Shift
from twin.guard.limits import LIMITS
from twin.guard.plants import LineConfig, Plant
from twin.guard.runs import GuardRow, Task

OVERRIDES = (
    "scenario=flash_crowd",
    "population.simultaneous=4000",
    "population.start_utc=21:00",
    "population.duration_s=900",
    "faults.flash_crowd.at=240",
    "faults.flash_crowd.factor=8",
    "~thresholds",
)
ONE_MORE = Plant(
    "one more",
    "An emergency adds one instance.",
    code=LineConfig(
        says="An emergency adds one instance.",
        module="engine.decide.recommend.emergency",
        before="        spec.name,\n        target,\n        Reason.EMERGENCY,\n        {\n"
        '            "cpu": view.cpu,\n            "request_rate": rate,',
        after="        spec.name,\n        service.ready + 1,\n"
        "        Reason.EMERGENCY,\n        {\n"
        '            "cpu": view.cpu,\n            "request_rate": rate,',
    ),
)


def ran(plant: Plant | None = None, moved: float = 0.0) -> GuardRow:
    return runs.run(Task("small", composed(*OVERRIDES), 1, moved, plant))


@pytest.fixture(scope="module")
def small() -> WorldBaseline:
    """A quarter of an hour with a surge."""
    return WorldBaseline(OVERRIDES, (ran(),), {})


def worse(stored: WorldBaseline, row: GuardRow) -> set[str]:
    return {shift.figure for shift in judge.paired("small", stored, [row]) if shift.worse}


@pytest.mark.parametrize("moved", [0.0, runs.ROUNDING])
def test_the_engine_as_it_is_sets_nothing_off(small: WorldBaseline, moved: float) -> None:
    assert worse(small, ran(moved=moved)) == set()


@pytest.mark.parametrize(
    ("plant", "figure"),
    [
        (Plant("", "", "emergency.confirm", 3), "slo.availability"),
        (Plant("", "", "mode", "recommend_only"), "short.waited_for"),
        (Plant("", "", "capacity.max_utilisation", 0.5), "cost.waited_for_usd"),
        (ONE_MORE, "slo.violation_ratio"),
    ],
    ids=["confirm", "mode", "utilisation", "code"],
)
def test_what_is_planted_is_seen_by_the_figure_that_it_is_about(
    small: WorldBaseline, plant: Plant, figure: str
) -> None:
    assert figure in worse(small, ran(plant))


def test_a_spoiled_line_is_put_right_again() -> None:
    code = emergency.emergency.__code__
    with plants.planted(ONE_MORE):
        assert emergency.emergency.__code__ is not code
    assert emergency.emergency.__code__ is code


def test_a_spoiled_line_is_put_right_again_after_an_error() -> None:
    line = LineConfig(
        says="No step.",
        module="engine.decide.rails.limits",
        before="math.floor(current * (1.0 + settings.step_out) + 1e-9)",
        after="math.floor(current * 1.0 + 1e-9)",
    )
    with (  # noqa: PT012
        pytest.raises(ZeroDivisionError),
        plants.planted(Plant("", "", code=line)),
    ):
        assert rails.step_bounds(100, LimitSettings()) == (70, 101)
        _ = 1 / 0
    assert rails.step_bounds(100, LimitSettings()) == (70, 150)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"module": "engine.nothing"}, "engine.nothing"),
        ({"before": "no such line"}, "0 times"),
        ({"before": "settings"}, "times what is to be spoiled"),
        ({"after": "one\ntwo"}, "not as many lines"),
        ({"after": "if ("}, "no Python"),
        ({"before": "FLAP_S", "module": "engine.decide.rails.limits"}, "0 times"),
        ({"before": "EXEMPT = {Reason.EMERGENCY", "after": "EXEMPT = {Reason.MANUAL"}, "function"),
    ],
)
def test_a_line_that_cannot_be_spoiled_is_refused(change: dict[str, str], says: str) -> None:
    line = {
        "says": "x",
        "module": "engine.decide.rails.limits",
        "before": "max(same + settings.cooldown_in_s, other + settings.flip_hold_s)",
        "after": "until = max(until, other)",
    }
    with pytest.raises(ConfigError, match=says):
        plants.changed_functions(LineConfig(**line | change))


def test_every_knob_of_the_engine_is_planted_or_left_out_with_a_reason() -> None:
    every = plants.read()
    assert {plant.setting for plant in every if plant.setting} <= set(plants.paths())
    assert len([plant for plant in every if plant.setting]) >= 80
    assert len([plant for plant in every if plant.code is not None]) >= 12
    assert len({plant.name for plant in every}) == len(every)


def test_every_plant_is_a_legal_configuration() -> None:
    from twin.config import parse

    plain = composed("scenario=june_peak")
    for plant in plants.read():
        changed = json.loads(json.dumps(plain, default=str))
        plant.change(changed)
        parse(changed)


def test_every_figure_has_a_limit_and_every_limit_a_figure(small: WorldBaseline) -> None:
    assert set(small.rows[0].figures) == set(LIMITS)


def rows(values: list[float], loads: list[float] | None = None, first: int = 0) -> list[GuardRow]:
    return [
        GuardRow(first + k, {"cost.total_usd": value}, {"load": load}, "")
        for k, (value, load) in enumerate(zip(values, loads or [1.0] * len(values), strict=True))
    ]


@pytest.mark.parametrize(
    ("after", "is_worse", "is_better"),
    [(100.0, False, False), (100.4, False, False), (101.0, True, False), (99.0, False, True)],
)
def test_a_pair_is_worse_beyond_the_limit_only(
    after: float, is_worse: bool, is_better: bool
) -> None:
    stored = WorldBaseline((), tuple(rows([100.0])), {})
    (shift,) = judge.paired("w", stored, rows([after]))
    assert (shift.worse, shift.better) == (is_worse, is_better)


def test_chance_widens_the_limit_and_more_pairs_narrow_it() -> None:
    stored = WorldBaseline((), tuple(rows([100.0] * 4)), {"cost.total_usd": 1.0})
    (one,) = judge.paired("w", stored, rows([100.0]))
    (four,) = judge.paired("w", stored, rows([100.0] * 4))
    assert one.allowed == pytest.approx(0.5 + 4.0)
    assert four.allowed == pytest.approx(0.5 + 2.0)


def test_a_figure_that_nobody_measures_any_more_is_worse() -> None:
    stored = WorldBaseline((), tuple(rows([100.0])), {})
    (shift,) = judge.paired("w", stored, [GuardRow(0, {"cost.total_usd": None}, {}, "")])
    assert shift.worse


def test_what_the_load_explains_of_other_seeds_is_no_change() -> None:
    rng = np.random.default_rng(3)
    loads = list(rng.uniform(50.0, 150.0, 12))
    stored = WorldBaseline((), tuple(rows([2.0 * x + rng.normal() for x in loads], loads)), {})
    heavy = rows([2.0 * 200.0], [200.0], first=100)
    (shift,) = judge.unpaired("w", stored, heavy, tests=1)
    assert not shift.worse
    assert shift.allowed < 20.0
    (shift,) = judge.unpaired("w", stored, rows([2.0 * 200.0 + 30.0], [200.0], first=100), tests=1)
    assert shift.worse


def test_more_figures_widen_the_limit_of_each_for_other_seeds() -> None:
    stored = WorldBaseline((), tuple(rows([100.0, 101.0, 99.0, 100.5, 99.5])), {})
    (one,) = judge.unpaired("w", stored, rows([100.0], first=50), tests=1)
    (many,) = judge.unpaired("w", stored, rows([100.0], first=50), tests=300)
    assert many.allowed > 2.0 * one.allowed


def test_a_world_that_is_another_one_is_no_regression(small: WorldBaseline) -> None:
    row = small.rows[0]
    changed = {name: value * 1.01 for name, value in row.controls.items()}
    other = GuardRow(row.seed, row.figures, changed, row.digest)
    with pytest.raises(GuardError, match="the world itself has changed"):
        checking.compared({"small": small}, {"small": [other]})


def test_an_engine_that_fails_fails_the_guard(small: WorldBaseline) -> None:
    verdict = checking.compared({"small": small}, {"small": [GuardRow(1, {}, {}, "", "it raised")]})
    assert not verdict.good
    assert "it raised" in checking.markdown(verdict)


def test_what_is_said_names_world_figure_and_amount(small: WorldBaseline) -> None:
    verdict = checking.compared({"small": small}, {"small": [ran(ONE_MORE)]})
    text = checking.markdown(verdict)
    assert "figures got worse" in text
    assert "| small | `slo.violation_ratio` |" in text
    assert "in 0 of 1 worlds" in text
    same = checking.compared({"small": small}, {"small": [small.rows[0]]})
    assert "No figure got worse" in checking.markdown(same)
    assert "in 1 of 1 worlds" in checking.markdown(same)


def test_a_baseline_comes_back_as_it_was(small: WorldBaseline, tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    baseline.write({"small": small}, path)
    (row,) = baseline.read(path)["small"].rows
    assert row.digest == small.rows[0].digest
    assert row.plain() == small.rows[0].plain()


def test_harm_is_dear_or_lost() -> None:
    plain: dict[str, Any] = {"cost.total_usd": 100.0, "slo.violation_minutes": 1.0}
    before = GuardRow(1, plain, {}, "")
    assert power.harm_of(before, GuardRow(1, plain | {"cost.total_usd": 101.9}, {}, "")) == ()
    assert power.harm_of(before, GuardRow(1, plain | {"cost.total_usd": 102.0}, {}, "")) != ()
    assert power.harm_of(before, GuardRow(1, plain | {"slo.violation_minutes": 2.0}, {}, "")) != ()
    assert power.harm_of(before, GuardRow(1, {}, {}, "", "raised")) != ()


def test_a_trial_fails_by_what_it_misses_and_by_a_false_alarm() -> None:
    trials = [power.Trial(f"p{k}", "", "surge" if k else "", (), ()) for k in range(10)]
    harms = [power.Harm(f"p{k}", "june_peak", ("cost +3 %",)) for k in range(10)]
    quiet = [power.Alarm(1, ())]
    assert power.passed(trials, harms, quiet)
    assert not power.passed(trials[:9], harms[:9], quiet)
    assert power.passed(trials[:9], harms[1:9], quiet)
    assert not power.passed(trials, harms, [power.Alarm(1, ("surge: cost.total_usd",))])
    text = power.markdown(trials, harms, quiet, 3)
    assert "10 regressions planted, 9 seen" in text
    assert "**not seen**" in text


def test_the_seeds_of_the_repeats_are_none_of_the_baselines() -> None:
    repeated = [seed for k in range(1, 101) for seed in power.other_seeds(k, 1)]
    assert len(set(repeated)) == 100
    used = {baseline.seed_of(baseline.SEED, k) for k in range(baseline.REFERENCE)}
    assert not used & set(repeated)


def test_a_run_is_kept_and_taken_from_there(tmp_path: Path) -> None:
    task = Task("small", composed(*OVERRIDES), 1, folder=tmp_path)
    first = runs.run(task)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace(first.digest, "kept"))
    assert runs.run(task).digest == "kept"


def test_the_stored_baseline_is_of_the_packaged_worlds() -> None:
    baseline.check(baseline.read(command.BASELINE), worlds.read().short)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["surg"], "is no world of the guard"),
        (["seeds=0"], "seeds: 0 is not allowed"),
        (["seeds=many"], "seeds: many is not allowed"),
        (["power", "emergency.confrm"], "is no plant"),
        (["power", "harm=some"], "harm:"),
        (["--updte"], "unknown option"),
        (["update", "surge"], "renews all worlds"),
        (["baseline=nowhere.json"], "nowhere.json"),
        (["worlds=nowhere.yaml"], "nowhere.yaml"),
        (["power", "plants=nowhere.yaml"], "nowhere.yaml"),
        (["seeds="], "seeds: is empty"),
    ],
)
def test_bad_words_are_refused(arguments: list[str], says: str) -> None:
    ended = warm.run("twin", "guard", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "mapping"),
        ("short: {}", "short"),
        ("short: {a: {says: x, overrides: []}}", "overrides"),
        ("short: {a: {says: x, overides: [seed=1]}}", "overides"),
        ("short: [", "cannot be read"),
    ],
)
def test_a_bad_file_of_worlds_is_refused(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "worlds.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        worlds.read(path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": 2, "worlds": {}}', '{"schema": 1, "worlds": {"a": 1}}']
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "guard.json"
    path.write_text(content)
    with pytest.raises(GuardError, match="baseline"):
        baseline.read(path)


def test_a_shift_without_a_figure_is_worse() -> None:
    assert Shift("w", "f", 1.0, float("nan"), float("nan"), 1.0).worse
