"""The engine as it is scales no worse than its baseline; `make baselines` renews that."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import warm


@pytest.mark.slow
def test_no_figure_is_worse_than_its_baseline(repository: Path, tmp_path: Path) -> None:
    baseline = repository / "tests" / "regression" / "baselines" / "guard.json"
    ended = warm.run("twin", "guard", f"baseline={baseline}", f"output={tmp_path}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "No figure got worse" in (tmp_path / "guard.md").read_text(encoding="utf-8")
