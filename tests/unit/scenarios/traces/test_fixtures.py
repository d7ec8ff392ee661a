from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from scenarios.traces import fixtures
from scenarios.traces.fixtures import FixturesError


def written(folder: Path, text: str, name: str = "fixtures.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_football_fixture_list_is_a_calendar(tmp_path: Path) -> None:
    text = (
        "kickoff_utc,stage,group,team1,team2,venue\n"
        '1998-07-12T19:00Z,Final,,,,"Stade de France, Paris"\n'
        '1998-06-10T15:30Z,Group Matches,Group A,Brazil,Scotland,"Stade de France, Paris"\n'
    )
    calendar = fixtures.read(written(tmp_path, text))
    assert calendar.kinds == ("Group Matches", "Final")
    np.testing.assert_array_equal(calendar.start_s, [897492600.0, 900270000.0])
    np.testing.assert_array_equal(calendar.size, [1.0, 1.0])
    assert np.all(calendar.known_s == -math.inf)


def test_sizes_are_relative_and_late_entries_unknown_before(tmp_path: Path) -> None:
    rows = ("1970-01-02,100,a,", "1970-01-03,300,b,1970-01-02", "1970-01-04,100,a,")
    text = "\n".join(("start,size,kind,booked", *rows))
    calendar = fixtures.read(written(tmp_path, text))
    np.testing.assert_array_equal(calendar.size, [1.0, 3.0, 1.0])
    assert calendar.known_at(0.0).kinds == ("a", "a")
    assert calendar.known_at(86_400.0) is calendar


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no events"),
        ("start\n", "holds no events"),
        ("team,venue\nA,B\n", "no column for the start"),
        ("start,size\n1998-01-01,1\nsoon,1\n", r'line 3: "soon" is not a time'),
        ("start,size\n1998-01-01,-1\n", r'line 2: "-1" is not allowed'),
        ("start,size\n1998-01-01,big\n", r'line 2: "big" is not allowed'),
        ("size,start\n1\n", r"line 2: has no start"),
    ],
)
def test_what_is_no_calendar_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FixturesError, match=said):
        fixtures.read(written(tmp_path, text))


def test_a_calendar_is_known_by_its_name_and_its_start(tmp_path: Path) -> None:
    good = written(tmp_path, "start\n1998-01-01\n", "fixtures-1998.csv")
    assert fixtures.is_calendar(good)
    assert not fixtures.is_calendar(written(tmp_path, "start\n1998-01-01\n", "events.csv"))
    assert not fixtures.is_calendar(written(tmp_path, "x\n1\n", "fixtures.csv"))
