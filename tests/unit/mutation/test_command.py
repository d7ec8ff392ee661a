"""Mutants of a toy, tried through the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from mutation import survivors

TOY = '''
    """A toy."""

    STEP = 2


    def grown(size, by):
        """At most ten."""
        total = size + by * STEP
        return min(total, 10)
'''
TESTS = """
    import toy


    def test_growing_ends_at_ten():
        assert toy.grown(1, 2) == 5
        assert toy.grown(8, 2) > 9
"""


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(dedent(TOY))
    (tmp_path / "test_toy.py").write_text(dedent(TESTS))
    (tmp_path / "conftest.py").write_text(
        "from hypothesis import settings\nsettings.register_profile('mutants')\n"
    )
    return tmp_path


ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    # A toy needs no other, and to load them takes longer than to try its mutants.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "_hypothesis_pytestplugin",
}


def run(
    folder: Path, repository: Path, *arguments: str, target: str = "toy.py"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mutation", target, "--tests", "test_toy.py", "--page", "page.md",
         "--limit", "0.5", *arguments],
        cwd=folder, env={"PYTHONPATH": f"{folder}:{repository}"} | ENVIRONMENT,
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def test_what_lives_is_named_until_it_is_listed_with_a_reason(toys: Path, repository: Path) -> None:
    first = run(toys, repository, "--least", "0.5", "--update")
    assert first.returncode == 1, first.stderr
    alive = [line for line in first.stdout.splitlines() if line.startswith("toy.py:")]
    # That it may be eleven is not looked at; all else is, on import and in the function.
    assert alive == ["toy.py:10: grown: min(total, 10)  →  min(total, 11)"]

    page = toys / "page.md"
    assert survivors.NO_REASON in page.read_text()
    page.write_text(page.read_text().replace(survivors.NO_REASON, "It does not matter to a toy."))
    assert run(toys, repository, "--least", "0.5").returncode == 0


def test_a_mutant_that_runs_for_ever_is_noticed_by_its_limit(toys: Path, repository: Path) -> None:
    (toys / "toy.py").write_text("def counted(n):\n    while n:\n        n -= 1\n    return n\n")
    (toys / "test_toy.py").write_text(
        "import toy\n\n\ndef test_counting():\n    assert toy.counted(3) == 0\n"
    )
    ran = run(toys, repository)
    assert ran.returncode == 0, ran.stdout
    total = next(line for line in ran.stdout.splitlines() if line.startswith("all"))
    # For ever: `n += 1`, nothing, `n -= 2` (3, 1, -1, …), `n -= 0`.  `not n`, None: a wrong count.
    # On a machine that is busy one may be ended by the clock before its processor time is used up.
    tried, noticed, limited, alive = map(int, total.split()[1:5])
    assert (tried, noticed + limited, alive) == (6, 6, 0)
    assert noticed >= 2


def test_a_mutant_that_waits_for_ever_is_noticed_long_before_its_limit(
    toys: Path, repository: Path
) -> None:
    (toys / "toy.py").write_text(
        "import queue\n\n\ndef handed_on(n):\n    box = queue.Queue()\n    box.put(n)\n"
        "    return box.get()\n"
    )
    (toys / "test_toy.py").write_text(
        "import toy\n\n\ndef test_handing_on():\n    assert toy.handed_on(3) == 3\n"
    )
    ran = run(toys, repository, "--limit", "1000")  # of which it uses nothing
    assert ran.returncode == 0, ran.stdout
    total = next(line for line in ran.stdout.splitlines() if line.startswith("all"))
    # For ever: nothing is put.  None: a wrong figure.
    assert total.split()[1:5] == ["2", "1", "1", "0"]


def test_only_what_was_changed_since_a_revision_is_tried(toys: Path, repository: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=toy", "-c", "user.email=toy@example.org"]
        subprocess.run(["git", *identity, *words], cwd=toys, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "toys")
    assert "nothing was changed" in run(toys, repository, "--since", "HEAD").stdout
    toy = toys / "toy.py"
    toy.write_text(toy.read_text().replace("min(total, 10)", "min(10, total)"))
    ran = run(toys, repository, "--since", "HEAD")
    assert "4 of 4 mutants tried" in ran.stdout  # max, 11, 9, None
    assert (
        "0 of 4 mutants tried" in run(toys, repository, "--since", "HEAD", "--seconds", "0").stdout
    )


def test_bad_input_is_named(toys: Path, repository: Path) -> None:
    for ran, said in (
        (run(toys, repository, target="nothere.py"), "nothere.py: no such file or folder"),
        (run(toys, repository, "--since", "nosuch"), "--since nosuch"),
    ):
        assert ran.returncode == 2
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr


def test_tests_that_fail_without_any_mutant_are_named(toys: Path, repository: Path) -> None:
    (toys / "test_toy.py").write_text(dedent(TESTS).replace("== 5", "== 6"))
    ran = run(toys, repository)
    assert ran.returncode == 2
    assert "test_toy.py::test_growing_ends_at_ten" in ran.stderr


def test_the_page_is_read_as_it_was_written(tmp_path: Path) -> None:
    keys = [
        ("a.b", "f", "x < 1", "x <= 1", 1),
        ("a.b", "f", "x < 1", "x <= 1", 2),
        ("a.b", "C.m", "raise E('`a`')", "", 1),
        ("a.c", "", "LIMIT = 3", "LIMIT = 4", 1),
    ]
    reasons = {key: f"Reason {number}." for number, key in enumerate(keys)}
    survivors.write(tmp_path / "page.md", keys, reasons)
    assert survivors.read(tmp_path / "page.md") == reasons
    survivors.write(tmp_path / "page.md", keys[:2], {})
    assert survivors.read(tmp_path / "page.md") == {keys[0]: "", keys[1]: ""}
    (tmp_path / "page.md").write_text("## `a`\n\n- something else\n")
    with pytest.raises(ValueError, match="line 3"):
        survivors.read(tmp_path / "page.md")
