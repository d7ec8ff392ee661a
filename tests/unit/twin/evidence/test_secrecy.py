"""Figures that somebody tries to read: none can be, and in plain text all are seen to be."""

from __future__ import annotations

from typing import Any

import pytest

from twin.evidence.claims import read
from twin.evidence.measures.secrecy import KINDS, tries

CLAIM = read()["4.3"][0]


def sums(**options: Any) -> dict[str, dict[str, int]]:
    """Of each kind, how many were readable, let in and lost, of two tries."""
    totals: dict[str, dict[str, int]] = {}
    for row in tries(rows=2 * len(KINDS), seed=2, **options):
        kind = totals.setdefault(row["kind"], {})
        for name in ("readable", "let_in", "lost"):
            if row[name] is not None:
                kind[name] = kind.get(name, 0) + row[name]
    return totals


def test_nothing_is_readable_nobody_is_let_in_and_who_may_gets_his_figure() -> None:
    assert sums() == {
        "asked of the engine": {"readable": 0, "lost": 0},
        "asked of Prometheus": {"readable": 0, "lost": 0},
        "kept": {"readable": 0}, "plain text": {"let_in": 0}, "TLS 1.2": {"let_in": 0},
        "a stranger's certificate": {"let_in": 0},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_the_control_is_seen_on_the_way_and_in_the_files() -> None:
    totals = sums(**CLAIM.options("quick", control=True))
    for kind in ("asked of the engine", "asked of Prometheus", "kept"):
        assert totals[kind]["readable"] == 2
    assert totals["plain text"]["let_in"] == 2
