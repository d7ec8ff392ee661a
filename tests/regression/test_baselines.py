"""The engine as it is scales no worse than its baselines; `.ci/guard --update` renews them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm


@pytest.mark.slow
def test_no_figure_is_worse_than_its_baseline(repository: Path) -> None:
    result = subprocess.run(
        [repository / ".ci" / "guard", "june_peak"],
        cwd=repository, capture_output=True, text=True, timeout=800,
        env={**os.environ, "PYTHON": sys.executable},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No figure got worse" in result.stdout


@pytest.mark.slow
def test_a_flash_crowd_is_met_no_worse_than_its_baseline(repository: Path, tmp_path: Path) -> None:
    """The same without the script's cold starts, with the keys that the script gives."""
    script = (repository / ".ci" / "guard").read_text().replace("\\\n", " ")
    (line,) = re.findall(r"-m twin run \"scenario=\$scenario\" (.*) output=", script)
    keys = ("scenario=flash_crowd", *shlex.split(line), "~thresholds", f"output={tmp_path}")
    ran = warm.run("twin", "run", *keys)
    assert ran.returncode == 0, ran.stderr
    baseline = repository / "tests" / "regression" / "baselines" / "flash_crowd.json"
    judged = warm.run("twin", "check", ran.stdout.splitlines()[-1], "--against", str(baseline))
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "No figure got worse" in judged.stdout
