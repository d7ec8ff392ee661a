"""Sweeps: joblib, Ray, Optuna; nothing is done twice, and all of it ends in one table."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests import warm

TINY = (
    "population.simultaneous=100",
    "population.duration_s=1800",
    'population.start_utc="18:00"',
    "output=out",
)
HERE = "hydra.launcher.n_jobs=1"
"""One job after the other, in the command's own process: fresh ones take longer than the jobs."""


def twin(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm.run("twin", "run", "-m", *arguments, *TINY, cwd=folder)


def done(folder: Path) -> dict[str, float]:
    """Finished runs and when their files were written."""
    return {path.name: path.stat().st_mtime for path in (folder / "done").glob("*.json")}


@pytest.mark.slow
def test_a_sweep_goes_on_without_doing_anything_twice(tmp_path: Path) -> None:
    first = twin("seed=1", "controller=hpa", "sweep.name=s", HERE, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    sweep = tmp_path / "out" / "sweeps" / "s"
    before = done(sweep)
    assert len(before) == 1
    again = twin("seed=1,2", "controller=engine,hpa", "sweep.name=s", HERE, folder=tmp_path)
    assert again.returncode == 0, again.stderr
    after = done(sweep)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
    records = list((tmp_path / "out").rglob("summary.json"))
    assert len(records) == 4
    table = pd.read_parquet(sweep / "sweep.parquet")
    assert sorted(zip(table["seed"], table["controller"], strict=True)) == [
        (seed, name) for seed in "12" for name in ("engine", "hpa")
    ]
    for row in table.to_dict("records"):
        summary = json.loads((tmp_path / row["record"] / "summary.json").read_text())
        assert summary["seed"] == int(row["seed"])
        assert summary["cost"]["total_usd"] == row["cost.total_usd"]
    text = (sweep / "report.md").read_text()
    assert "4 runs over seed, controller." in text
    assert (sweep / "report.html").read_text().count("<svg") >= 1


SLOWED = """
import time
from pathlib import Path

from engine.controllers.static import Static


class Slowed(Static):
    def step(self, observation):
        if any(Path("out/sweeps/s/done").glob("*.json")):
            time.sleep(0.05)
        return super().step(observation)
"""
"""Once a job is done the others take their time, so that there are some whenever one looks."""


@pytest.mark.slow
def test_an_interrupted_sweep_keeps_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "slowed.py").write_text(SLOWED)
    controller = tmp_path / "mine" / "controller" / "slowed.yaml"
    controller.parent.mkdir(parents=True)
    controller.write_text("name: slowed\nfactory: slowed:Slowed\noptions: {}\n")
    command = [sys.executable, "-m", "twin", "run", "-m", "--config-dir", "mine",
               "controller=slowed", f"seed={','.join(map(str, range(40)))}", "sweep.name=s",
               *TINY]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    sweep = tmp_path / "out" / "sweeps" / "s"
    deadline = time.monotonic() + 300
    while not done(sweep) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "same sweep.name" in said
    kept = done(sweep)
    assert 0 < len(kept) < 40
    for path in (sweep / "done").glob("*.json"):
        assert json.loads(path.read_text())["figures"]


def test_what_is_wrong_in_a_sweep_is_said(tmp_path: Path) -> None:
    result = twin("seed=1,-2", HERE, folder=tmp_path)
    assert result.returncode == 2
    assert "seed: -2 is not allowed" in result.stderr
    assert "Traceback" not in result.stderr


def test_tuning_sees_the_training_scenarios_alone(tmp_path: Path) -> None:
    if importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        pytest.skip("Optuna is not installed: pip install 'wedtwin[tune]'")
    result = twin(
        "experiment=tune_engine", "hydra.sweeper.n_trials=2", HERE,
        "sweep.scenarios=[june_peak,slow_boot]", folder=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    sweep = tmp_path / "out" / "sweeps" / "tune_engine"
    table = pd.read_parquet(sweep / "sweep.parquet")
    assert sorted(table["scenario"]) == ["june_peak"] * 2 + ["slow_boot"] * 2
    assert table["engine.forecast.risk"].nunique() == 2
    assert "best_params" in (sweep / "optimization_results.yaml").read_text()


@pytest.mark.slow
def test_a_sweep_on_a_ray_cluster_of_several_processes(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'wedtwin[ray]'")
    result = twin(
        "hydra/launcher=ray", "hydra.launcher.num_cpus=2", "seed=1,2", "sweep.name=s",
        folder=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    table = pd.read_parquet(tmp_path / "out" / "sweeps" / "s" / "sweep.parquet")
    assert sorted(table["seed"]) == ["1", "2"]
    alone = warm.run("twin", "run", "seed=2", *TINY, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    summary = json.loads((tmp_path / alone.stdout.splitlines()[-1] / "summary.json").read_text())
    by_ray = table[table["seed"] == "2"]["cost.total_usd"].iloc[0]
    assert summary["cost"]["total_usd"] == by_ray
