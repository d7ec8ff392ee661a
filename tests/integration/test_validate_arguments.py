"""What `twin validate` refuses: before it starts anything, and with the name of the setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import warm


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
    done = warm.run(
        "twin", "validate", f"output={tmp_path}", f"folder={tmp_path / 'stack'}", *arguments
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "stack").exists()
