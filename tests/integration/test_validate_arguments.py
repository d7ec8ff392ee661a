"""What `twin validate` refuses: before it starts anything, and with the name of the setting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["validation.calibration=/nowhere"], "validation.calibration"),
        (["levels=[5]"], "levels"),
        (["validation.levels=[]", "validation.events=[]"], "validation.levels"),
        (["validation.closed.seconds=7"], "validation.closed.seconds"),
        (["platform=nothing"], "platform"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_started(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "twin", "validate",
            f"output={tmp_path}", f"folder={tmp_path / 'stack'}", *arguments,
        ],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "stack").exists()
