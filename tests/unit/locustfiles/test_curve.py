from __future__ import annotations

from pathlib import Path

import pytest

from locustfiles import curve


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "curve.csv"


@pytest.mark.parametrize(
    ("time_s", "users"), [(0.0, 10), (5.0, 15), (10.0, 20), (15.0, 10), (20.0, 0), (20.1, None)]
)
def test_users_change_linearly_between_rows_and_end_with_the_last(
    file: Path, time_s: float, users: int | None
) -> None:
    file.write_text("time_s,users\n0,10\n10,20\n20,0\n")
    assert curve.read(file).users_at(time_s) == users


def test_times_start_at_the_first_row_and_other_columns_are_passed_over(file: Path) -> None:
    file.write_text("day,time_s,users\nsat,1800000000,4\nsat,1800000060,8\n")
    read = curve.read(file)
    assert read.users_at(0.0) == 4
    assert read.users_at(60.0) == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header time_s,users"),
        ("time,users\n0,1\n1,2\n", "header time_s,users"),
        ("time_s,users\n0,1\n", "at least two rows"),
        ("time_s,users\n0,1\n1,-2\n", "line 3"),
        ("time_s,users\n0,nan\n1,2\n", "line 2"),
        ("time_s,users\n0,1\n1\n", "line 3"),
        ("time_s,users\n0,1\n5,2\n5,3\n", "line 4: time_s 5 does not come after 5"),
    ],
)
def test_what_is_no_curve_is_refused_with_the_line(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(curve.CurveError, match=message):
        curve.read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(curve.CurveError, match=r"nowhere\.csv cannot be read"):
        curve.read(tmp_path / "nowhere.csv")
