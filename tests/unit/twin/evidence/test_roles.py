"""Tries of the table of roles: what is right is found right, and each wrong cell is found."""

from __future__ import annotations

import pytest

from engine.api.application import openapi
from engine.security import roles as engine_roles
from engine.security.roles import TABLE
from twin.evidence.claims import read
from twin.evidence.measures.requests import OPEN, OPERATIONS, SAME, over_http
from twin.evidence.measures.roles import agreed, tries

CLAIM = read()["4.1"][0]
MATRIX = CLAIM.options("quick", control=False)["matrix"]


def test_each_cell_is_tried_alone_and_none_is_wrong() -> None:
    rows = tries(rows=len(agreed(MATRIX)), seed=3, matrix=MATRIX, http=False)
    assert {(row["roles"], row["permission"], row["extent"], row["state"]) for row in rows} == {
        tuple(cell) for cell in agreed(MATRIX)
    }
    assert sum(row["opened"] + row["closed"] for row in rows) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_principals_of_every_sort_get_what_was_agreed(seed: int) -> None:
    rows = tries(rows=4000, seed=seed, matrix=MATRIX, http=False)
    assert sum(row["opened"] + row["closed"] for row in rows) == 0
    assert rows == tries(rows=4000, seed=seed, matrix=MATRIX, http=False)


@pytest.mark.slow
def test_each_role_gets_over_http_what_was_agreed_and_nobody_else_gets_anything() -> None:
    rows = over_http(agreed(MATRIX), [engine_roles.PlatformState.WEDDING_DAY])
    assert [row for row in rows if row["opened"] or row["closed"]] == []
    tried = {(row["roles"], row["operation"]) for row in rows}
    assert len(tried) == len(OPERATIONS) * (len(engine_roles.Role) + 1)


def test_it_is_said_of_each_operation_of_the_api_who_may_ask_for_it() -> None:
    places = {
        of_method["operationId"]
        for methods in openapi()["paths"].values() for of_method in methods.values()
    }  # fmt: skip
    assert {name.partition(SAME)[0] for name in (*OPERATIONS, *OPEN)} == places


def test_the_control_is_seen_and_leaves_the_table_as_it_was() -> None:
    options = CLAIM.options("quick", control=True)
    rows = tries(rows=1400, seed=1, http=False, **options)
    assert sum(row["opened"] for row in rows) > 0
    assert engine_roles.TABLE is TABLE


@pytest.mark.parametrize("cell", sorted(TABLE)[::40])
def test_a_cell_that_is_closed_is_seen(
    monkeypatch: pytest.MonkeyPatch, cell: engine_roles.Cell
) -> None:
    monkeypatch.setattr("twin.evidence.measures.roles.TABLE", TABLE - {cell})
    rows = tries(rows=1944, seed=1, matrix=MATRIX, http=False)
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
