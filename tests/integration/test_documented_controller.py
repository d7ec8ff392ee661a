"""The controller that docs/controllers.md shows is a working one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests import warm


def test_the_example_takes_part_in_a_comparison(repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs" / "controllers.md").read_text()
    for language, path in re.findall(r"```(python|yaml)\n# (\S+)\n", text):
        assert language in ("python", "yaml")
        (body,) = re.findall(rf"```{language}\n# {re.escape(path)}\n(.*?)```", text, re.DOTALL)
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(body)
    assert (tmp_path / "margin.py").exists()
    result = warm.run(
        "twin", "compare", "--config-dir", "mine", "controllers=[static,margin]",
        "hpa_targets=[]", "population.simultaneous=20000", "population.duration_s=3600",
        'population.start_utc="18:00"', "output=out", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    (path,) = tmp_path.rglob("comparison.json")
    margin = json.loads(path.read_text())["figures"]["margin"]
    assert margin["decision.actions"]["mean"] > 0
    assert margin["cost.total_usd"]["mean"] > 0.0
