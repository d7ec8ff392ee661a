"""A quarter of an hour of the live engine with every port in trouble, from its start to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_engine_lives_through_every_fault_of_every_port(tmp_path: Path) -> None:
    # In a process of its own, because its clocks are replaced.
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tools.soak", "--hours", "0.25", "--round", "300",
         "--output", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=800,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    assert "the engine ended with 0" in run.stdout
    assert "not judged  tasks: 2 looks are judged, 3 are needed" in run.stdout
    looks = json.loads((tmp_path / "soak.json").read_text())
    assert len(looks) == 3
    assert all(one["tasks"] > 5 and one["sockets"] > 2 for one in looks)
