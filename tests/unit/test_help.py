"""`--help` and a word that is none are answered without loading what the commands need.

Times depend on the machine and on what else it does; which modules are loaded does not.  One
process imports what every command line is read with, and forks for each of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache

import pytest

from engine.__main__ import COMMANDS as OF_THE_ENGINE
from twin.__main__ import COMMANDS as OF_THE_TWIN

HEAVY = (
    "numpy", "scipy", "pandas", "numba", "simpy", "hydra", "omegaconf", "matplotlib", "pyarrow",
    "sklearn", "statsmodels", "jinja2", "locust", "httpx", "ray", "optuna",
    "fastapi", "uvicorn",
)  # fmt: skip
SCRIPT = """
import io, json, os, runpy, sys
import engine.commands.table, twin.runs.lifetimes
lines, heavy = json.load(sys.stdin)
for program, *words in lines:
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = sys.stdout = sys.stderr = io.StringIO()
        sys.argv = [f"python -m {program}", *words]
        code = None
        try:
            runpy.run_module(program, run_name="__main__")
        except SystemExit as end:
            code = end.code
        loaded = sorted(name for name in heavy if name in sys.modules)
        with open(writing, "w") as answer:
            json.dump([said.getvalue(), code, loaded], answer)
        os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        print(answer.read())
    os.waitpid(child, 0)
"""
HELP = [
    ("engine", "--help"),
    ("twin", "--help"),
    ("reports", "--help"),
    *(("twin", name, "--help") for name in OF_THE_TWIN),
    ("engine", "run", "--help"),
]
ASKED = sorted(set(OF_THE_ENGINE) - {"run"})
"""Commands of people who ask an engine."""
NONE = [("engine", "rum"), ("twin", "rum")]


@lru_cache(maxsize=1)
def answers() -> dict[tuple[str, ...], tuple[str, int, list[str]]]:
    """What each command line is answered, the exit code, and the heavy modules loaded for it."""
    lines = [*HELP, *NONE, *(("engine", name, "--help") for name in ASKED)]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps([lines, HEAVY]), capture_output=True,
        text=True, check=True, timeout=600,
    )  # fmt: skip
    given = [json.loads(line) for line in ended.stdout.splitlines()]
    return dict(zip(lines, given, strict=True))


@pytest.mark.parametrize(
    ("program", "arguments"), [(program, list(arguments)) for program, *arguments in HELP]
)
def test_help_loads_nothing_heavy(program: str, arguments: list[str]) -> None:
    said, code, loaded = answers()[program, *arguments]
    assert (code, loaded) == (0, [])
    assert said.startswith("usage: python -m")
    assert " ".join(["python -m", program, *arguments[:-1]]) in said


@pytest.mark.parametrize("program", ["engine", "twin"])
def test_a_command_that_is_none_is_answered_with_the_nearest_at_once(program: str) -> None:
    said, code, loaded = answers()[program, "rum"]
    assert (code, loaded) == (2, [])
    assert '"rum" is not a command; did you mean run?' in said


@pytest.mark.parametrize("name", ASKED)
def test_what_people_ask_an_engine_needs_neither_hydra_nor_a_simulator(name: str) -> None:
    said, code, loaded = answers()["engine", name, "--help"]
    assert (code, set(loaded) - {"numpy"}) == (0, set())
    assert said.startswith("usage: python -m engine ")


def test_the_help_of_a_run_names_the_scenarios_and_the_keys() -> None:
    said, _, _ = answers()["twin", "run", "--help"]
    for word in ("june_peak", "scenario ", "replications: 1", "--config-dir"):
        assert word in said
