"""When a claim is shown, and above all when it is not."""

from __future__ import annotations

import pytest

from twin.evidence.claims import Claim
from twin.evidence.judgement import MeasuredRows, judge

GOOD = [100, 101, 102, 103, 104, 105]
BAD = [1100, 1101, 1102, 1103, 1104, 1105]
WIDE = [1, 1, 1, 1, 1, 590]  # mean 99, its interval far beyond 200


def rows(values: list[int] | None) -> MeasuredRows:
    if values is None:
        return MeasuredRows(failure="the server was not installed")
    return MeasuredRows(tuple({"ms": value} for value in values))


@pytest.mark.parametrize(
    ("measured", "control", "outcome", "reason"),
    [
        (GOOD, BAD, "shown", ""),
        (BAD, BAD, "not shown", "latency: 1102.5 where at most 200 is allowed"),
        (GOOD, GOOD, "not shown", "the negative control did not fail"),
        (WIDE, BAD, "not shown", "but its interval goes to"),
        (GOOD[:4], BAD, "not shown", "latency: 4 rows are too few; 5 are needed"),
        ([], BAD, "not shown", "there was nothing to measure"),
        (None, BAD, "not shown", "the server was not installed"),
        (GOOD, None, "not shown", "the negative control could not be run"),
        (GOOD, [], "not shown", "the negative control did not fail"),
    ],
)
def test_a_claim_is_shown_by_its_figures_and_by_its_control(
    own: Claim, measured: list[int] | None, control: list[int] | None, outcome: str, *, reason: str
) -> None:
    judged = judge(own, rows(measured), rows(control))
    assert judged["outcome"] == outcome
    assert reason in judged["reason"]
    assert bool(judged["reason"]) == (outcome == "not shown")


def test_what_was_shown_in_the_twin_is_shown_in_simulation_only(own: Claim) -> None:
    simulated = own.model_copy(update={"source": "twin"})
    assert judge(simulated, rows(GOOD), rows(BAD))["outcome"] == "shown in simulation only"


@pytest.mark.parametrize(
    ("misses", "quick_too", "outcome"),
    [
        ((), False, "shown"),
        (("latency",), False, "shown"),
        (("latency", "slowest"), False, "not shown"),
        (("latency", "slowest"), True, "shown"),
    ],
)
def test_a_control_has_to_miss_each_figure_that_it_names(
    own: Claim, misses: tuple[str, ...], quick_too: bool, outcome: str
) -> None:
    assert own.control is not None
    second = own.figures[0].model_copy(
        update={"name": "slowest", "limit": 1000.0 if quick_too else 5000.0}
    )
    claim = own.model_copy(
        update={
            "figures": (*own.figures, second),
            "control": own.control.model_copy(update={"misses": misses}),
        }
    )
    assert judge(claim, rows(GOOD), rows(BAD))["outcome"] == outcome


def test_the_margin_is_what_is_left_to_the_limit(own: Claim) -> None:
    figure = judge(own, rows(GOOD), rows(BAD))["figures"][0]
    assert figure["margin"] == pytest.approx(200.0 - figure["high"])
    assert (figure["value"], figure["n"], figure["kept"]) == (102.5, 6, True)
