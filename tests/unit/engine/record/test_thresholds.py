"""Limits on figures: one grammar, refused before the run, judged by one rule after it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.record.schema.load import LoadFigures
from engine.record.schema.paths import RunScope, figures_of, of_kind, possible
from engine.record.schema.summary import (
    Conservation,
    Cost,
    CountedPercentiles,
    Decision,
    Figures,
    Percentiles,
    Prediction,
    Service,
    Slo,
    Threshold,
    UserRequests,
    Weddings,
)
from engine.record.schema.thresholds import ThresholdConfig, check, judge, path_of

TWIN = RunScope(
    world="twin",
    services=("api", "file.storage"),
    resolution="fluid",
    horizons=("300", "7200"),
    faults=("outage",),
    reasons=("cpu", "emergency"),
)
LIVE = replace(TWIN, world="live", resolution="requests", faults=())
NOTHING = Percentiles(p50=None, p95=None, p99=None, max=None)


def figures(
    *, p95_s: float | None = 0.2, emergencies: int = 0, wape: float | None = 0.1
) -> Figures:
    service = Service(
        p50_s=0.1, p95_s=p95_s, p99_s=0.3, slo_p95_s=0.5, cpu_mean=0.5, cpu_max=0.9,
        instances_max=3, instance_hours=3.0, cost_usd=1.5, violation_ratio=0.001,
        under_provisioned_share=0.0, over_provisioned_share=1.0,
    )  # fmt: skip
    return Figures(
        weddings=Weddings(total=0, peak_simultaneous=0, peak_at=""),
        requests=UserRequests(
            total=10, peak_rate_per_s=2.0, served=10, failed=0, shed=0, timed_out=0, retried=0
        ),
        slo=Slo(violation_ratio=0.001, violation_minutes=0, availability=1.0),
        services={"api": service, "file.storage": service},
        cost=Cost(total_usd=3.0, per_wedding_usd=None),
        decision=Decision(
            steps=4, cycles=4, actions=0, flaps=0, by_reason={"cpu": 2},
            trigger_to_execution_s=NOTHING,
            emergency_s=CountedPercentiles(count=emergencies, **dict(NOTHING)),
            compute_s=NOTHING,
        ),
        prediction={"300": Prediction(wape=wape, coverage_80=0.8, pinball=0.1)},
        conservation=Conservation(checked=True, worst_relative_error=0.0),
    )  # fmt: skip


def limit(text: str) -> ThresholdConfig:
    return ThresholdConfig.model_validate(text)


@pytest.mark.parametrize(
    ("text", "metric", "sign", "figure"),
    [
        ("slo.availability >= 0.9999", "slo.availability", ">=", 0.9999),
        ("slo.availability>=.5", "slo.availability", ">=", 0.5),
        ("  cost.total_usd < 1e3 ", "cost.total_usd", "<", 1000.0),
        ("services.file.storage.p95_s == -2.5E-1", "services.file.storage.p95_s", "==", -0.25),
        ("prediction.300.wape <= +1.", "prediction.300.wape", "<=", 1.0),
        ("services.größe/1.p95_s > 0", "services.größe/1.p95_s", ">", 0.0),
    ],
)
def test_a_limit_is_read(text: str, metric: str, sign: str, figure: float) -> None:
    assert limit(text) == ThresholdConfig(metric=metric, operator=sign, limit=figure)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "fast enough", "slo.x", "slo.x <=", "slo.x => 1", "slo.x <= 1e", "slo.x <= nan",
     "slo.x <= inf", "slo.x <= 1 2", "slo x <= 1", "<= 1", "slo.x <= 1_0", "slo.x <= --1"],
)  # fmt: skip
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError, match=r"slo\.availability >= 0\.9999"):
        limit(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["<=", ">", "=="]))
def test_every_number_that_json_writes_is_one_of_a_limit(figure: float, sign: str) -> None:
    read = limit(f"slo.availability {sign} {json.dumps(figure)}")
    assert (read.operator, read.limit) == (sign, figure)


@pytest.mark.parametrize(
    ("scope", "metric", "message"),
    [
        (TWIN, "slo.availabilty", "did you mean slo.availability"),
        (TWIN, "slo.no", "there are slo.violation_ratio, slo.violation_minutes"),
        (TWIN, "slo", "is not in the summary"),
        (TWIN, "no", "its sections are weddings, requests"),
        (TWIN, "services.apo.p95_s", "did you mean services.api.p95_s"),
        (TWIN, "services.api.p96_s", "services.api.p95_s"),
        (TWIN, "services.api", "is not in the summary"),
        (TWIN, "prediction.900.wape", "did you mean prediction.300.wape"),
        (TWIN, "prediction.300.wappe", "did you mean prediction.300.wape"),
        (TWIN, "prediction.300", "prediction.300.wape"),
        (replace(TWIN, horizons=()), "prediction.300.wape", "is not in the summary"),
        (TWIN, "faults.other.fired", "faults.outage.fired"),
        (TWIN, "decision.by_reason.boredom", "is not in the summary"),
        (TWIN, "scenario", "is not in the summary"),
        (TWIN, "live.restarts", "only a live run has it"),
        (TWIN, "decision.stages.accepted_to_served_s.p50", "only a live run has it"),
        (TWIN, "replications.cost.total_usd.high", "only a run with replications has it"),
        (replace(TWIN, resolution="request"), "api.unverified_share", "resolution request"),
        (LIVE, "elasticity.instability", "only a run of the twin has it"),
        (LIVE, "slo.violation_minutes", "only a run of the twin has it"),
        (LIVE, "violation_minutes", "only a run of the twin has it"),
        (LIVE, "services.api.under_provisioned_share", "only a run of the twin has it"),
        (LIVE, "conservation.worst_relative_error", "only a run of the twin has it"),
        (LIVE, "replications.cost.total_usd.high", "only a run of the twin has it"),
        (LIVE, "faults.outage.fired", "is not in the summary of a live run"),
    ],
)  # fmt: skip
def test_a_figure_that_cannot_be_is_refused_before_the_run(
    scope: RunScope, metric: str, message: str
) -> None:
    with pytest.raises(ValueError, match=r"^thresholds\.mine: ") as refused:
        check([("mine", ThresholdConfig(metric=metric, operator="<=", limit=1.0))], scope)
    assert message in str(refused.value)
    assert f'"{metric}"' in str(refused.value)


@pytest.mark.parametrize("scope", [TWIN, LIVE, replace(TWIN, replicated=True)])
def test_every_figure_that_can_be_is_accepted_and_never_fails_to_be_judged(scope: RunScope) -> None:
    limits = [
        (path, ThresholdConfig(metric=path, operator="<=", limit=0.0)) for path in possible(scope)
    ]
    check(limits, scope)
    assert len(judge(limits, figures(), possible(scope))) == len(limits)


def test_every_figure_that_is_could_be() -> None:
    assert {*figures_of(figures())} <= {*possible(TWIN)}


@pytest.mark.parametrize(
    ("metric", "path"),
    [
        ("violation_ratio", "slo.violation_ratio"),
        ("api.p95_s", "services.api.p95_s"),
        ("file.storage.cpu_max", "services.file.storage.cpu_max"),
        ("shed", "requests.shed"),
        ("slo.availability", "slo.availability"),
    ],
)
def test_the_same_may_be_left_out_everywhere(metric: str, path: str) -> None:
    assert path_of(metric, possible(TWIN), "") == path
    assert path_of(metric, possible(LIVE), "") == path
    if not metric.endswith("cpu_max"):
        assert path_of(metric, of_kind(LoadFigures, TWIN), "") == path


@pytest.mark.parametrize(
    ("text", "value", "outcome"),
    [
        ("api.p95_s <= 0.2", 0.2, "passed"),
        ("api.p95_s < 0.2", 0.2, "failed"),
        ("api.p95_s >= 0.3", 0.2, "failed"),
        ("api.p95_s > 0.1", 0.2, "passed"),
        ("slo.violation_minutes == 0", 0, "passed"),
        ("decision.by_reason.cpu <= 1", 2, "failed"),
        ("decision.by_reason.emergency == 0", 0, "passed"),  # none: that is a count, not a hole
    ],
)
def test_a_limit_is_judged(text: str, value: float, outcome: str) -> None:
    (judged,) = judge([("mine", limit(text))], figures(), possible(TWIN))
    assert (judged.name, judged.metric, judged.value) == ("mine", text.split()[0], value)
    assert (judged.outcome, judged.reason) == (outcome, None)


@pytest.mark.parametrize("sign", ["<=", "<", ">=", ">", "=="])
@pytest.mark.parametrize("scope", [TWIN, LIVE])
@pytest.mark.parametrize(
    ("metric", "summary", "counts", "outcome"),
    [
        # there was nothing to judge: no emergency, no action, no wedding, no request
        ("decision.emergency_s.p95", figures(), {}, "not judged"),
        ("decision.trigger_to_execution_s.max", figures(), {}, "not judged"),
        ("cost.per_wedding_usd", figures(), {}, "not judged"),
        ("api.p95_s", figures(p95_s=None), {"services.api.requests": 0.0}, "not judged"),
        # there was, and nobody measured it
        ("decision.emergency_s.p95", figures(emergencies=3), {}, "failed"),
        ("decision.compute_s.p95", figures(), {}, "failed"),
        ("api.p95_s", figures(p95_s=None), {"services.api.requests": 5.0}, "failed"),
        ("api.p95_s", figures(p95_s=None), {}, "failed"),
        ("prediction.300.wape", figures(wape=None), {}, "failed"),
        ("prediction.7200.wape", figures(), {}, "failed"),
    ],
)
def test_an_empty_figure_is_not_judged_if_there_was_nothing_to_judge_else_failed(
    metric: str,
    summary: Figures,
    counts: dict[str, float],
    outcome: str,
    *,
    scope: RunScope,
    sign: str,
) -> None:
    """Whichever way the limit is, and in whichever world."""
    limits = [("mine", limit(f"{metric} {sign} 1"))]
    (judged,) = judge(limits, summary, possible(scope), counts)
    assert judged.value is None
    assert judged.outcome == outcome
    assert judged.passed is (None if outcome == "not judged" else False)
    assert (judged.reason is not None) is (outcome == "not judged")


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_a_figure_that_is_no_number_is_a_hole_and_costs_no_record(broken: float) -> None:
    summary = figures(p95_s=broken)
    assert summary.services["api"].p95_s is None
    (judged,) = judge([("a", limit("api.p95_s >= 0"))], summary, possible(TWIN))
    assert judged.outcome == "failed"


@pytest.mark.parametrize(
    ("value", "passed", "outcome"),
    [(0.1, True, "passed"), (0.1, False, "failed"), (None, False, "failed"),
     (None, True, "not judged"), (None, None, "not judged")],
)  # fmt: skip
def test_a_record_that_knew_two_outcomes_is_read(
    value: float | None, passed: bool | None, outcome: str
) -> None:
    old = {"name": "a", "metric": "m", "operator": "<", "limit": 1.0, "value": value}
    read = Threshold.model_validate({**old, "passed": passed})
    assert read.outcome == outcome
    written = read.model_dump(mode="json")
    kept = {"passed": True, "failed": False}.get(outcome)
    assert (written["outcome"], written["passed"]) == (outcome, kept)
    assert Threshold.model_validate(written) == read
