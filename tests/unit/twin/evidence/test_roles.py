"""Tries of the table of roles: what is right is found right, and each wrong cell is found."""

from __future__ import annotations

import pytest

from engine.security import roles as engine_roles
from engine.security.roles import TABLE
from twin.evidence.claims import read
from twin.evidence.measures.roles import agreed, tries

CLAIM = read()["4.1"][0]
MATRIX = CLAIM.options("quick", control=False)["matrix"]


def test_each_cell_is_tried_alone_and_none_is_wrong() -> None:
    rows = tries(rows=len(agreed(MATRIX)), seed=3, matrix=MATRIX)
    assert {(row["roles"], row["permission"], row["extent"], row["state"]) for row in rows} == {
        tuple(cell) for cell in agreed(MATRIX)
    }
    assert sum(row["opened"] + row["closed"] for row in rows) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_principals_of_every_sort_get_what_was_agreed(seed: int) -> None:
    rows = tries(rows=4000, seed=seed, matrix=MATRIX)
    assert sum(row["opened"] + row["closed"] for row in rows) == 0
    assert rows == tries(rows=4000, seed=seed, matrix=MATRIX)


def test_the_control_is_seen_and_leaves_the_table_as_it_was() -> None:
    options = CLAIM.options("quick", control=True)
    rows = tries(rows=1400, seed=1, **options)
    assert sum(row["opened"] for row in rows) > 0
    assert engine_roles.TABLE is TABLE


@pytest.mark.parametrize("cell", sorted(TABLE)[::40])
def test_a_cell_that_is_closed_is_seen(
    monkeypatch: pytest.MonkeyPatch, cell: engine_roles.Cell
) -> None:
    monkeypatch.setattr("twin.evidence.measures.roles.TABLE", TABLE - {cell})
    rows = tries(rows=1368, seed=1, matrix=MATRIX)
    assert [tuple(cell)] == [
        (row["roles"], row["permission"], row["extent"], row["state"])
        for row in rows if row["closed"]
    ]  # fmt: skip


def test_a_matrix_that_leaves_a_cell_out_or_has_it_twice_is_refused() -> None:
    lines = [line for line in MATRIX.splitlines() if line.strip()]
    with pytest.raises(ValueError, match="is missing"):
        agreed("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match="not allowed there"):
        agreed("\n".join([*lines, lines[-1]]))
