"""Worse only if certainly, and by more than the margin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from twin.check import command as check
from twin.check import regression
from twin.check.regression import BaselineError, Runs

WORLD: dict[str, Any] = {"scenario": {"name": "small"}, "population": {"simultaneous": 10}}


def runs(costs: list[float], world: dict[str, Any] = WORLD, figure: str = "cost.total_usd") -> Runs:
    return Runs("engine", world, {seed: {figure: cost} for seed, cost in enumerate(costs)})


BASE = [100.0, 120.0, 90.0, 110.0, 105.0]


@pytest.mark.parametrize(
    ("after", "worse", "better"),
    [
        (BASE, False, False),
        ([cost * 1.005 for cost in BASE], False, False),  # certain, but within 1 %
        ([cost * 1.03 for cost in BASE], True, False),
        ([cost * 0.95 for cost in BASE], False, True),
        ([140.0, 100.0, 95.0, 120.0, 106.0], False, False),  # +7 %, but it may be chance
    ],
)
def test_when_a_cost_is_worse(after: list[float], worse: bool, better: bool) -> None:
    (change,) = regression.compare(runs(BASE), runs(after))
    assert (change.worse, change.better) == (worse, better)


def test_availability_is_worse_when_it_is_lower() -> None:
    before = runs([1.0, 1.0, 1.0], figure="slo.availability")
    after = runs([0.999, 0.999, 0.9991], figure="slo.availability")
    (change,) = regression.compare(before, after)
    assert change.worse
    (back,) = regression.compare(after, before)
    assert back.better


def test_one_pair_proves_nothing() -> None:
    (change,) = regression.compare(runs([100.0]), runs([200.0]))
    assert not change.worse
    assert change.bound is None
    text = regression.markdown([change], runs([100.0]), runs([200.0]))
    assert "run with replications" in text


def test_only_common_seeds_count() -> None:
    before, after = runs(BASE), Runs("engine", WORLD, {3: {"cost.total_usd": 110.0}})
    (change,) = regression.compare(before, after)
    assert change.difference == 0.0
    with pytest.raises(BaselineError, match="no seed is in both"):
        regression.compare(before, Runs("engine", WORLD, {99: {}}))


def test_other_worlds_cannot_be_compared() -> None:
    other = {"scenario": {"name": "small"}, "population": {"simultaneous": 20}}
    with pytest.raises(BaselineError, match=r"population\.simultaneous was 10 and is 20"):
        regression.compare(runs(BASE), runs(BASE, other))


def test_a_key_that_is_null_is_as_good_as_not_there() -> None:
    later = {**WORLD, "trace": None}
    assert regression.compare(runs(BASE), runs(BASE, later))
    with pytest.raises(BaselineError, match="trace is only in one of them"):
        regression.compare(runs(BASE), runs(BASE, {**WORLD, "trace": {"path": "t.csv"}}))


def test_a_baseline_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "base.json"
    regression.write(runs(BASE), path)
    assert regression.read(path) == runs(BASE)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 9}', '{"schema": 1}'])
def test_what_is_no_baseline_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    path.write_text(text)
    with pytest.raises(BaselineError, match=r"base\.json"):
        regression.read(path)
    with pytest.raises(BaselineError, match="No such file"):
        regression.read(tmp_path / "none.json")


def record(folder: Path, costs: list[float]) -> Path:
    """The least that is a run record with replications."""
    import pandas as pd
    import yaml

    folder.mkdir()
    rows = [{"replication": k, "seed": k, "cost.total_usd": c} for k, c in enumerate(costs)]
    nothing = dict.fromkeys(("p50", "p95", "p99", "max"))
    pd.DataFrame(rows).to_parquet(folder / "replications.parquet")
    limit = {"name": "cost", "metric": "cost.total_usd", "operator": "<=", "limit": 1e9,
             "value": costs[0], "passed": True}  # fmt: skip
    summary = {
        "schema": 1, "scenario": "small", "controller": "engine", "seed": 0, "resolution": "fluid",
        "world": "twin", "started_at": "2027-06-19T00:00:00+00:00", "partial": False,
        "versions": {}, "command": "", "services": {}, "prediction": {}, "thresholds": [limit],
        "weddings": {"total": 0, "peak_simultaneous": 0, "peak_at": ""},
        "requests": {"total": 0, "peak_rate_per_s": 0.0, "served": 0, "failed": 0, "shed": 0,
                     "timed_out": 0},
        "slo": {"violation_ratio": 0.0, "violation_minutes": 0, "availability": 1.0},
        "cost": {"total_usd": costs[0], "per_wedding_usd": 0.0},
        "decision": {"cycles": 0, "actions": 0, "by_reason": {}, "compute_s": nothing,
                     "trigger_to_execution_s": nothing, "emergency_s": {"count": 0, **nothing}},
        "conservation": {"checked": True, "worst_relative_error": 0.0},
        "simulation": {"wall_s": 1.0, "simulated_s": 1.0, "speedup": 1.0, "peak_rss_mib": 1.0},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.yaml").write_text(yaml.safe_dump(WORLD | {"engine": {"cycle_s": 15}}))
    return folder


def test_check_against_a_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base.json"
    old, new = record(tmp_path / "old", BASE), record(tmp_path / "new", [c * 1.1 for c in BASE])
    assert check.run([str(old), "--against", str(base)]) == 2
    assert check.run([str(old), "--against", str(base), "--update"]) == 0
    assert check.run([str(old), "--against", str(base)]) == 0
    text = tmp_path / "what.md"
    assert check.run([str(new), "--against", str(base), "--markdown", str(text)]) == 1
    assert "**1 of 1 figures got worse.**" in text.read_text()
    assert check.run([str(new), "--against", str(old)]) == 1  # a record does as well
    assert check.run([str(new), "--against", str(base), "--update"]) == 0
    assert "✗ worse" in capsys.readouterr().out  # the difference is shown before it is taken over
    assert check.run([str(new), "--against", str(base)]) == 0
    assert check.run([str(new), "--update"]) == 2
    nowhere = tmp_path / "nowhere" / "what.md"
    assert check.run([str(new), "--against", str(base), "--markdown", str(nowhere)]) == 2


def test_a_figure_of_the_baseline_that_nobody_measures_any_more_is_not_green() -> None:
    before = runs(BASE)
    after = Runs("engine", WORLD, {seed: {"cost.total_usd": None} for seed in before.by_seed})
    assert regression.compare(before, after) == []
    assert regression.gone(before, after) == ["cost.total_usd"]
    assert "1 of the baseline are not there any more" in regression.markdown([], before, after)
    assert regression.gone(before, before) == []
    assert regression.gone(after, before) == []  # it has come
    assert regression.gone(before, Runs("hpa", WORLD, after.by_seed)) == []  # it has no forecasts


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        (["passed"], 0),
        (["passed", "not judged"], 0),
        (["not judged"], 1),
        (["not judged", "not judged"], 1),
        (["failed", "not judged"], 1),
    ],
)
def test_a_check_is_not_green_where_no_limit_was_judged(
    outcomes: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = record(tmp_path / "r", BASE)
    content = json.loads((folder / "summary.json").read_text())
    first = content["thresholds"][0]
    content["thresholds"] = [{**first, "outcome": outcome} for outcome in outcomes]
    (folder / "summary.json").write_text(json.dumps(content))
    assert check.run([str(folder)]) == code
    said = capsys.readouterr()
    assert said.out.count("not judged  cost:") == outcomes.count("not judged")
    assert ("not judged" in said.err) is ("not judged" in outcomes)
