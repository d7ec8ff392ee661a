"""What is wrong on a command line is said before anything is imported that works.

Times depend on the machine and on what else it does; which modules are loaded does not.  One
process imports what every command reads its words with, later what it validates them with, and
forks for each of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKS = (
    "scipy", "pandas", "numba", "simpy", "matplotlib", "pyarrow", "sklearn", "statsmodels",
    "jinja2", "locust", "httpx", "ray", "optuna", "holidays", "psycopg", "redis", "skops",
    "cryptography",
)  # fmt: skip
"""What simulates, learns, draws or talks to others."""
CALCULATES = ("numpy", "engine.model")
"""What a configuration is validated with: not needed for a key that is not there."""

SCRIPT = """
import importlib, io, json, os, runpy, sys
groups, watched = json.load(sys.stdin)
for needed, words in [(module, words) for module, cases in groups for words in cases]:
    importlib.import_module(needed)
    sys.stdout.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = sys.stdout = sys.stderr = io.StringIO()
        sys.argv = ["python -m", *words[1:]]
        code = None
        try:
            runpy.run_module(words[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
        loaded = [name for name in watched if name in sys.modules]
        os.write(writing, json.dumps([said.getvalue(), code, loaded]).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        print(answer.read().decode())
    os.waitpid(child, 0)
"""

KEYS = {
    "twin run seeed=1": "seeed: unknown key; did you mean seed",
    "twin run seed=1,2": "seed=1,2: is several values",
    "twin run =5": '"=5" cannot be read',
    "twin compare controllers=[hpaa]": 'controllers: "hpaa" is not allowed',
    "twin plan mnths=3": "mnths: unknown key; did you mean months",
    "twin forecast day dat=2026-01-01": "dat: unknown key; did you mean date?",
    "twin learn seedd=3": "seedd: unknown key; did you mean seed",
    "twin hunt --replay /nosuch": "--replay: /nosuch: there is no such file",
    "twin check /nosuch": "/nosuch/summary.json: is missing",
    "twin staging up nosuch=1": "nosuch: unknown key",
    "twin evidence 9.9": "9.9: no such claim",
    "twin evidence key=/nosuch": "key: /nosuch cannot be read",
    "engine run seeed=1": "seeed: unknown key; did you mean seed?",
    "reports /nosuch": "/nosuch: is not a folder",
    "reports --nosuch": "usage: python -m reports FOLDER",
}
VALUES = {
    "twin run seed=abc": 'seed: "abc" is not allowed',
    "twin run output=/proc/x": "output: /proc/x cannot be written",
    "twin run scenario=trace trace.path=/nosuch.csv": "trace.path: /nosuch.csv: No such file",
    "twin compare scenario=trace trace.path=/nosuch.csv": "trace.path: /nosuch.csv: No such file",
    "twin plan months=99": "plan.months: 99 is not allowed (1 … 12)",
    "twin forecast day model=/nosuch": "model: /nosuch: there is no such file",
    "twin forecast season season=wnter": "did you mean winter?",
    "twin learn out=/proc/x/y": "out: /proc/x cannot be written",
    "twin backtest data=/ calendar=/nosuch": "calendar: /nosuch: No such file",
    "twin validate validation.calibration=/nosuch": "validation.calibration: /nosuch: there is no",
    "twin staging up port=99999999": "port: 99999999 is not allowed",
    "twin staging demo demo.scenario=june_peek": "demo.scenario: \"june_peek\" is not allowed",
    "twin staging demo demo.output=/proc/x": "demo.output: /proc/x cannot be written",
    "engine run live.duration_s=-1": "live.duration_s: -1 is not allowed",
    "engine run live.state=/proc/x": "live.state: /proc/x cannot be written",
    "engine floor api x": "usage: python -m engine floor",
}  # fmt: skip
USERS = Path(__file__).parents[2] / "locustfiles" / "wedsync.py"
LOADS = {
    f"locust --headless -f {USERS} --host http://127.0.0.1:1 {words}": answer
    for words, answer in {
        "--scenario june_peek": 'scenario: "june_peek" is not allowed',
        "--override seeed=1": "seeed: unknown key",
        "--seed -1": "argument --seed: '-1' is not allowed",
        "--override seed": '--override: "seed" is not allowed, write KEY=VALUE',
    }.items()
}
LOCUSTS_OWN = ("locust", "jinja2")
Answers = dict[str, tuple[str, int, list[str]]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """For each command line what is said, the exit code, and what was loaded for it."""
    lines = [*KEYS, *VALUES, *LOADS]
    groups = [
        (module, [line.split() for line in cases])
        for module, cases in (
            ("engine.config.composition", KEYS), ("twin.config", {**VALUES, **LOADS}),
        )
    ]  # fmt: skip
    asked = [groups, [*WORKS, *CALCULATES]]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(asked), capture_output=True, text=True,
        check=True, timeout=600, cwd=tmp_path_factory.mktemp("nothing"),
    )  # fmt: skip
    each = [json.loads(line) for line in ended.stdout.splitlines()]
    return {line: tuple(answer) for line, answer in zip(lines, each, strict=True)}


@pytest.mark.parametrize(("line", "words"), KEYS.items())
def test_a_word_that_is_none_is_named_before_anything_calculates(
    answers: Answers, line: str, words: str
) -> None:
    said, code, loaded = answers[line]
    assert words in said
    assert (code, loaded) == (2, [])


@pytest.mark.parametrize(("line", "words"), VALUES.items())
def test_a_value_that_is_not_allowed_is_named_before_anything_works(
    answers: Answers, line: str, words: str
) -> None:
    said, code, loaded = answers[line]
    assert words in said
    assert (code, sorted(set(loaded) - set(CALCULATES))) == (2, [])


@pytest.mark.parametrize(("line", "words"), LOADS.items())
def test_what_a_load_test_cannot_do_is_named_before_its_day_is_realised(
    answers: Answers, line: str, words: str
) -> None:
    said, code, loaded = answers[line]
    assert words in said
    assert (code, sorted(set(loaded) - {*CALCULATES, *LOCUSTS_OWN})) == (2, [])
