"""Rows that are tries: somebody asks for something, and the matrix says what he should be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice, product
from typing import Any
from unittest import mock

import numpy as np

from engine.security import roles as engine_roles
from engine.security.roles import (
    TABLE,
    Cell,
    Extent,
    Permission,
    PlatformState,
    Principal,
    Role,
    Situation,
    refusal,
)
from scenarios.streams import Streams
from twin.evidence.measures.requests import over_http

NOW_S = 1_813_437_000.0
SERVICES = {Extent.STATELESS: ("api", "guest"), Extent.STATEFUL: ("database", "storage"),
            Extent.PLATFORM: ("",)}  # fmt: skip
"""Services of each extent that is tried."""

LIMITED, EXPIRED = 0.4, 0.1
"""Shares of the principals that are limited to services, or expired."""


def tries(
    *, rows: int, seed: int, matrix: str, also: str = "", http: bool = True
) -> list[dict[str, Any]]:
    """`rows` tries; columns `opened` and `closed`, 1 or 0.

    With `http` first requests to the engine's API (`over_http`), then each cell by its role alone,
    then whatever is drawn.  `also` is a cell (permission, role, extent, state) that the engine's
    table has besides.
    """
    cells = agreed(matrix)
    stream = Streams(seed)("evidence.roles")
    table = TABLE | {_cell(also)} if also else TABLE
    with mock.patch.object(engine_roles, "TABLE", table):
        made = over_http(cells) if http else []
        made += [
            _row(Principal("pat", frozenset({cell[0]})), SERVICES[cell[2]][0], cell[1:], may)
            for cell, may in islice(cells.items(), max(rows - len(made), 0))
        ]
        made += [_drawn(cells, stream) for _ in range(rows - len(made))]
    return made


def agreed(matrix: str) -> dict[Cell, bool]:
    """The cells of a matrix in text: a heading, then permission, role and a triple an extent.

    Raises ValueError for one that does not have each cell that there is, once.
    """
    cells: dict[Cell, bool] = {}
    for line in matrix.splitlines()[1:]:
        if not line.strip():
            continue
        permission, role, *triples = line.split()
        for extent, triple in zip(Extent, triples, strict=True):
            for state, mark in zip(PlatformState, triple, strict=True):
                cell = (Role(role), Permission(permission), extent, state)
                if cell in cells or mark not in "x-":
                    raise ValueError(f"matrix: {' '.join(cell)}: {mark} is not allowed there")
                cells[cell] = mark == "x"
    missing = set(product(Role, Permission, Extent, PlatformState)) - set(cells)
    if missing:
        raise ValueError(f"matrix: {' '.join(min(missing))} is missing, of {len(missing)}")
    return cells


def _drawn(cells: Mapping[Cell, bool], stream: np.random.Generator) -> dict[str, Any]:
    roles = frozenset(role for role in Role if stream.random() < 0.25)
    every = [name for names in SERVICES.values() for name in names if name]
    limits = (
        frozenset(name for name in every if stream.random() < 0.5)
        if stream.random() < LIMITED
        else None
    )
    is_over = stream.random() < EXPIRED
    expires_s = NOW_S - stream.exponential(3600.0) if is_over else math.inf
    permission = list(Permission)[int(stream.integers(len(Permission)))]
    extent = list(Extent)[int(stream.integers(len(Extent)))]
    state = list(PlatformState)[int(stream.integers(len(PlatformState)))]
    service = SERVICES[extent][int(stream.integers(len(SERVICES[extent])))]
    may = (
        any(cells[role, permission, extent, state] for role in roles)
        and (limits is None or service in limits)
        and not is_over
    )
    principal = Principal("pat", roles, limits, expires_s=expires_s)
    return _row(principal, service, (permission, extent, state), may)


def _row(
    principal: Principal,
    service: str,
    asked: tuple[Permission, Extent, PlatformState],
    may: bool,
) -> dict[str, Any]:
    permission, extent, state = asked
    situation = Situation(state, stateful=extent is Extent.STATEFUL)
    allowed = refusal(principal, permission, service, situation, now_s=NOW_S) == ""
    return {
        "roles": " ".join(sorted(principal.roles)), "permission": permission.value,
        "extent": extent.value, "state": state.value,
        "opened": int(allowed and not may), "closed": int(may and not allowed),
    }  # fmt: skip


def _cell(text: str) -> Cell:
    permission, role, extent, state = text.split()
    return Role(role), Permission(permission), Extent(extent), PlatformState(state)
