"""Every benchmark says how it is used, at once, and refuses what it does not understand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


def run(benchmark: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "importtime", str(benchmark), *arguments],
        cwd=benchmark.parents[1], capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda path: path.stem)
def test_help_says_how_it_is_used_before_anything_heavy_is_imported(benchmark: Path) -> None:
    asked = run(benchmark, "--help")
    assert asked.returncode == 0
    assert asked.stdout.startswith(f"usage: {benchmark.name}")
    loaded = {line.rpartition("|")[2].strip() for line in asked.stderr.splitlines()}
    assert loaded.isdisjoint({"numba", "scipy", "pandas", "sklearn", "simpy", "locust", "hydra"})


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda path: path.stem)
def test_an_unknown_option_is_refused(benchmark: Path) -> None:
    asked = run(benchmark, "--nosuch")
    assert asked.returncode == 2
    assert "--nosuch" in asked.stderr
    assert asked.stdout == ""


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("exposition", ["--requests", "0"], "--requests and --repeats have to be at least 1"),
        ("load_generator", ["--repeats", "-1"], "have to be at least 1"),
        ("load_generator", ["--requests", "many"], "invalid int value: 'many'"),
        ("plan_backtest", ["--seeds", "0"], "--seeds has to be at least 1"),
        ("plan_backtest", ["--date", "2027-13-01"], "2027-13-01"),
        ("scenario_table", ["--scenarios", "june_peak,june_pike"], "june_pike is not one of"),
        ("scenario_table", ["--seeds", "0"], "--seeds has to be at least 1"),
        ("twin_speed", ["--repeats", "0"], "--repeats has to be at least 1"),
        ("engine_step", ["5"], "unrecognized arguments: 5"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_measured(
    name: str, arguments: list[str], says: str
) -> None:
    benchmark = next(path for path in BENCHMARKS if path.stem == name)
    asked = run(benchmark, *arguments)
    assert asked.returncode == 2
    assert says in asked.stderr
    assert "Traceback" not in asked.stderr
