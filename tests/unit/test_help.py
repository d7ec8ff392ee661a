"""`--help` and a word that is none are answered without loading what the commands need.

Times depend on the machine and on what else it does; which modules are loaded does not.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.__main__ import COMMANDS as OF_THE_ENGINE
from twin.__main__ import COMMANDS as OF_THE_TWIN

HEAVY = (
    "numpy", "scipy", "pandas", "numba", "simpy", "hydra", "omegaconf", "matplotlib", "pyarrow",
    "sklearn", "statsmodels", "jinja2", "locust", "httpx", "ray", "optuna",
    "fastapi", "uvicorn",
)  # fmt: skip
SCRIPT = """
import runpy, sys
sys.argv = ["python -m {program}", *{arguments!r}]
code = None
try:
    runpy.run_module("{program}", run_name="__main__")
except SystemExit as end:
    code = end.code
loaded = sorted(name for name in {heavy!r} if name in sys.modules)
print("LOADED", code, *loaded)
"""


def answered(program: str, *arguments: str) -> tuple[str, int, list[str]]:
    """What is said, the exit code, and the heavy modules that were loaded for it."""
    script = SCRIPT.format(program=program, arguments=list(arguments), heavy=HEAVY)
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600
    )
    said, _, last = ended.stdout.rpartition("LOADED ")
    code, *loaded = last.split()
    return said + ended.stderr, int(code), loaded


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("engine", ["--help"]),
        ("twin", ["--help"]),
        ("reports", ["--help"]),
        *(("twin", [name, "--help"]) for name in OF_THE_TWIN),
        *(("engine", [name, "--help"]) for name in OF_THE_ENGINE if name in ("run",)),
    ],
)
def test_help_loads_nothing_heavy(program: str, arguments: list[str]) -> None:
    said, code, loaded = answered(program, *arguments)
    assert (code, loaded) == (0, [])
    assert said.startswith("usage: python -m")
    assert " ".join(["python -m", program, *arguments[:-1]]) in said


@pytest.mark.parametrize("program", ["engine", "twin"])
def test_a_command_that_is_none_is_answered_with_the_nearest_at_once(program: str) -> None:
    said, code, loaded = answered(program, "rum")
    assert (code, loaded) == (2, [])
    assert '"rum" is not a command; did you mean run?' in said


@pytest.mark.parametrize("name", sorted(set(OF_THE_ENGINE) - {"run"}))
def test_what_people_ask_an_engine_needs_neither_hydra_nor_a_simulator(name: str) -> None:
    said, code, loaded = answered("engine", name, "--help")
    assert (code, set(loaded) - {"numpy"}) == (0, set())
    assert said.startswith("usage: python -m engine ")


def test_the_help_of_a_run_names_the_scenarios_and_the_keys() -> None:
    said, _, _ = answered("twin", "run", "--help")
    for word in ("june_peak", "scenario ", "replications: 1", "--config-dir"):
        assert word in said
