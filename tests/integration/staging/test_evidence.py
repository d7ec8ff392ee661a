"""The measurement of orders to the pool, on a stack of its own."""

from __future__ import annotations

import pytest

from tests.integration.staging.conftest import FAST_BOOT
from twin.evidence.measures.orchestration import orders
from twin.staging import parts

pytestmark = [pytest.mark.slow, pytest.mark.load]


@pytest.mark.parametrize("fenced", [True, False])
def test_each_order_is_carried_out_once_and_only_for_who_leads(
    programs: parts.Programs, fenced: bool
) -> None:
    rows = orders(rows=2, seed=3, overrides=FAST_BOOT, fenced=fenced)
    assert [(row["late"], row["again"]) for row in rows] == [(0, 0)] * 2
    assert [row["obeyed"] for row in rows] == [int(not fenced)] * 2
