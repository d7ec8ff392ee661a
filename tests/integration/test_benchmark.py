"""`python -m twin benchmark`, from the command line."""

from __future__ import annotations

from pathlib import Path

from tests import warm


def test_a_folder_that_is_no_benchmark_ends_with_its_key_and_without_a_traceback(
    tmp_path: Path,
) -> None:
    for words, key in ((("nab", "data=nowhere"), "data: nowhere"), (("nob", "data=."), "nab")):
        ended = warm.run("twin", "benchmark", *words, cwd=tmp_path)
        assert ended.returncode == 2
        assert key in ended.stderr
        assert "Traceback" not in ended.stderr


def test_series_that_experts_marked_are_judged_and_kept(tmp_path: Path) -> None:
    rows = [f"2026-01-{1 + k // 24:02d}T{k % 24:02d}:00:00,{10 + k % 3},0" for k in range(96)]
    rows[80] = "2026-01-04T08:00:00,900,1"
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "one.csv").write_text("timestamp,value,label\n" + "\n".join(rows) + "\n")
    ended = warm.run("twin", "benchmark", "microsoft", "data=group", "output=out", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / ended.stdout.strip() / "benchmark.json").is_file()
    assert "thresholds of 2026" in ended.stderr
