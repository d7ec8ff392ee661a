"""The engine as it is scales no worse than its baselines; `.ci/guard --update` renews them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["june_peak", "flash_crowd"])
def test_no_figure_is_worse_than_its_baseline(scenario: str, repository: Path) -> None:
    result = subprocess.run(
        [repository / ".ci" / "guard", scenario],
        cwd=repository, capture_output=True, text=True, timeout=800,
        env={**os.environ, "PYTHON": sys.executable},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "No figure got worse" in result.stdout
