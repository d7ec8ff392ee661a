"""What claims come to, all together and as time goes by."""

from __future__ import annotations

import pytest

from engine.record.schema.claims import Outcome, outcome_on, readiness


def test_a_result_expires() -> None:
    assert outcome_on("2027-06-01", "shown", "2027-06-01") == "shown"
    assert outcome_on("2027-06-02", "shown", "2027-06-01") == "expired"
    assert outcome_on("2027-06-02", "not shown", "2027-06-01") == "not shown"


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([("shown", True)], "ready"),
        ([("shown", True), ("shown in simulation only", True)], "ready, but"),
        ([("shown", True), ("not shown", False)], "ready, but"),
        ([("shown", True), ("not shown", True)], "not ready"),
        ([("shown", True), ("expired", True), ("not shown", False)], "not ready"),
    ],
)
def test_the_verdict_is_that_of_the_weakest(
    outcomes: list[tuple[Outcome, bool]], expected: str
) -> None:
    assert readiness(outcomes) == expected
