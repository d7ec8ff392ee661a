from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest

from engine.record.schema.load import LoadFigures
from locustfiles.plan import LoadPlan
from locustfiles.results import sentence
from locustfiles.tally import Tally, note
from locustfiles.verdict import Generator, LimitError, check, judge, limit, summarise

DUE = 200


def summary(
    plan: LoadPlan,
    *,
    sent: int = DUE,
    failed: int = 0,
    late: int = 0,
    dropped: int = 0,
    felt_s: float = 0.1,
    partial: bool = False,
) -> LoadFigures:
    """All requests of the api: `sent` of 200 went out."""
    tally = Tally()
    api = plan.services.index("api")
    cell = tally.cell(0, api)
    cell.counts |= {"sent": sent, "failed": failed, "ok": sent - failed, "late": late,
                    "dropped": dropped}  # fmt: skip
    for _ in range(sent - failed):
        note(cell.felt, felt_s)
        note(cell.answered, felt_s / 2)
    intended = np.zeros((len(plan.services), 1), dtype=np.int64)
    intended[api] = DUE
    return summarise(
        plan, tally, intended, Generator(1, 0, 5, 100, [0.3]), host="http://127.0.0.1",
        started=dt.datetime(2027, 6, 19, tzinfo=dt.UTC), lasted_s=1.0, partial=partial,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("case", "text", "verdict"),
    [
        ({}, "violation_ratio <= 0.001", "passed"),
        ({}, "slo.violation_ratio <= 0.001", "passed"),
        ({}, "api.p95_s <= 0.5", "passed"),
        ({}, "services.api.p95_s < 0.05", "failed"),
        ({}, "requests.sent >= 200", "passed"),
        ({}, "generator.late_ratio <= 0", "passed"),
        ({"failed": 1}, "violation_ratio <= 0.001", "failed"),
        ({"failed": 1}, "availability >= 0.99", "passed"),
        ({"failed": DUE}, "api.p95_s <= 0.5", "failed"),  # nothing was answered: not a pass
        ({}, "real-time.p95_s <= 0.5", "not judged"),  # nothing was asked
        # a system so slow that requests were held until nobody waited any more
        ({"sent": 150, "dropped": 50}, "violation_ratio <= 0.001", "failed"),
        # the generator's own doing is no verdict on the system
        ({"late": 100}, "api.p95_s < 0.05", "not judged"),
        ({"late": 100}, "api.p95_s < 0.5", "passed"),
        ({"sent": 150}, "violation_ratio <= 0.001", "not judged"),
    ],
)
def test_a_limit_is_judged(plan: LoadPlan, case: dict[str, Any], text: str, verdict: str) -> None:
    judged = judge(summary(plan, **case), [limit(text)])
    assert judged.verdict == verdict
    assert judged.thresholds[0].metric == text.split()[0]


def test_what_coordinated_omission_would_have_hidden_is_a_figure(plan: LoadPlan) -> None:
    hidden = summary(plan).coordinated_omission["api"]
    assert hidden.felt_p95_s == pytest.approx(0.1, rel=0.02)
    assert hidden.answered_p95_s == pytest.approx(0.05, rel=0.02)
    assert hidden.hidden_p95_s == pytest.approx(0.05, rel=0.04)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("violation_ratio", "give a figure, an operator and a number"),
        ("api.p95_s <= fast", "is not allowed"),
        ("api.p95_s <= 1e", "is not allowed"),
        ("api.p96_s <= 1", "not in the summary of a load test; did you mean .*api.p95_s"),
        ("slo <= 1", "not in the summary of a load test"),
    ],
)
def test_a_limit_that_cannot_be_judged_is_named(plan: LoadPlan, text: str, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        check([limit(text)], plan.services)


def test_an_exception_in_a_user_class_fails_the_test_whatever_its_figures_are(
    plan: LoadPlan,
) -> None:
    kept = [limit("violation_ratio <= 0.001")]
    assert judge(summary(plan), kept).verdict == "passed"
    figures = summary(plan).model_copy(update={"exceptions": {"Guest: KeyError: 'couple'": 3}})
    judged = judge(figures, kept)
    assert judged.verdict == "failed"
    assert "KeyError: 'couple', 3 times" in sentence(judged)


def test_what_was_not_judged_for_want_of_requests_is_not_laid_on_the_generator(
    plan: LoadPlan,
) -> None:
    judged = judge(summary(plan), [limit("real-time.p95_s <= 0.5")])
    assert (judged.verdict, judged.nothing_to_judge) == ("not judged", True)
    assert sentence(judged) == "Nothing was sent that a limit speaks of, so no limit was judged."
    both = judge(summary(plan), [limit("real-time.p95_s <= 0.5"), limit("availability >= 0.9")])
    assert (both.verdict, both.nothing_to_judge) == ("passed", False)
    assert [one.outcome for one in both.thresholds] == ["not judged", "passed"]
