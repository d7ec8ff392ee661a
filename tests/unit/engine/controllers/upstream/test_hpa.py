"""The HorizontalPodAutoscaler's algorithm, case by case, each worked out by hand."""

from __future__ import annotations

import pytest

from engine.controllers.upstream import hpa as k8s

NOW_S = 100_000.0
SETTINGS = k8s.ManagerFlags()


def pods(count: int, **changes: object) -> list[k8s.Pod]:
    return [k8s.Pod(f"p{i}", **changes) for i in range(count)]  # type: ignore[arg-type]


def using(*usage_m: int, at_s: float = NOW_S) -> dict[str, k8s.Sample]:
    return {f"p{i}": k8s.Sample((used,), at_s, 15.0) for i, used in enumerate(usage_m)}


def cpu(
    who: list[k8s.Pod], samples: dict[str, k8s.Sample], current: int, target: int
) -> k8s.Proposal:
    return k8s.from_pods(
        who, samples, current, target, settings=SETTINGS, now_s=NOW_S, utilization=True
    )


@pytest.mark.parametrize(
    ("usage_m", "target", "replicas", "utilization"),
    [
        ((600, 600, 600), 60, 3, 60),  # on target
        ((659, 659, 659), 60, 3, 65),  # 65/60 = 1.083: within 10 %
        ((669, 669, 669), 60, 3, 66),  # 66/60 = 1.1: still within
        ((670, 670, 670), 60, 4, 67),  # 67/60 = 1.117: ceil(3.35)
        ((540, 540, 540), 60, 3, 54),  # 0.9: within
        ((530, 530, 530), 60, 3, 53),  # 0.883: ceil(2.65) is 3 all the same
        ((300, 300, 300), 60, 2, 30),  # 0.5: ceil(1.5)
        ((1000, 1000, 1000), 50, 6, 100),
        ((0, 0, 0), 50, 0, 0),
        ((999, 999, 998), 100, 3, 99),  # 2996 / 3000 is cut to 99 %
    ],
)
def test_replicas_for_cpu(
    usage_m: tuple[int, ...], target: int, replicas: int, utilization: int
) -> None:
    proposal = cpu(pods(3), using(*usage_m), 3, target)
    assert (proposal.replicas, proposal.utilization) == (replicas, utilization)


def test_pods_that_cannot_be_told_apart_count_as_many() -> None:
    one = [k8s.Pod("p0", count=40)]
    many = pods(40)
    assert cpu(one, using(900), 40, 60) == cpu(many, using(*[900] * 40), 40, 60)


def test_what_is_missing_speaks_against_the_change() -> None:
    # two use 10 % of 50 %: ratio 0.2; the missing ones are taken at 100 %: (20 + 200) / 4 = 55 %,
    # which is beyond the target, so nothing happens
    assert cpu(pods(4), using(100, 100), 4, 50).replicas == 4
    # with one of five missing: (40 + 100) / 5 = 28 %, 0.56 * 5 = 2.8
    assert cpu(pods(5), using(100, 100, 100, 100), 5, 50).replicas == 3
    # ratio 2 with the missing at 0: (100 + 100 + 0) / 3 = 66 %, 66 / 50 * 3 = 3.96
    assert cpu(pods(3), using(1000, 1000), 3, 50).replicas == 4
    # and 1 of 3 alone: 33 % is below the target, against the direction: nothing
    assert cpu(pods(3), using(1000), 3, 50).replicas == 3


def test_what_is_not_ready_dampens_a_rise_and_not_a_fall() -> None:
    booting = [*pods(2), k8s.Pod("b", phase=k8s.PodPhase.PENDING, count=2)]
    # 100 % of 50 %: with two at 0: 50 %, in tolerance
    assert cpu(booting, using(1000, 1000), 4, 50).replicas == 4
    # 20 % of 50 %: 0.4 * 2 ready
    assert cpu(booting, using(200, 200), 4, 50).replicas == 1


@pytest.mark.parametrize(
    ("ready", "start_age_s", "transition_age_s", "sample_age_s", "counts"),
    [
        (True, 60.0, 30.0, 0.0, True),  # young, sampled a window (15 s) after getting ready
        (True, 60.0, 30.0, 15.0, True),
        (True, 60.0, 30.0, 16.0, False),
        (False, 60.0, 30.0, 0.0, False),
        (True, 301.0, 0.0, 500.0, True),  # older than 5 min: whatever the sample
        (False, 400.0, 380.0, 0.0, False),  # never ready: became unready within 30 s of its start
        (False, 400.0, 300.0, 0.0, True),  # was ready once
    ],
)
def test_when_a_pod_is_too_young(
    ready: bool, start_age_s: float, transition_age_s: float, sample_age_s: float, *, counts: bool
) -> None:
    pod = k8s.Pod(
        "p0", start_s=NOW_S - start_age_s, ready=ready, transition_s=NOW_S - transition_age_s
    )
    groups = k8s.group([pod], using(500, at_s=NOW_S - sample_age_s), True, SETTINGS, now_s=NOW_S)
    assert (groups.ready == 1) is counts
    assert (groups.unready == frozenset({"p0"})) is not counts
    memory = k8s.group([pod], using(500, at_s=NOW_S - sample_age_s), False, SETTINGS, now_s=NOW_S)
    assert memory.ready == 1  # only CPU is misled by a start


def test_what_goes_or_has_failed_does_not_count() -> None:
    gone = [*pods(2), k8s.Pod("x", deleted=True), k8s.Pod("y", phase=k8s.PodPhase.FAILED)]
    samples = using(600, 600) | {"x": k8s.Sample((9000,), NOW_S, 15.0)}
    assert cpu(gone, samples, 2, 60).replicas == 2


def test_without_samples_or_requests_there_is_no_proposal() -> None:
    with pytest.raises(k8s.MetricError, match="did not receive"):
        cpu(pods(3), {}, 3, 60)
    with pytest.raises(k8s.MetricError, match="missing request for cpu of p0"):
        cpu(pods(1, requests_m=(None,)), using(100), 1, 60)
    with pytest.raises(k8s.MetricError, match="no metrics returned matched"):
        cpu(pods(1), {"stranger": k8s.Sample((5,), NOW_S, 15.0)}, 1, 60)


def test_values_and_averages() -> None:
    assert k8s.from_value([30_000], pods(3), 3, 20_000, settings=SETTINGS).replicas == 5  # 1.5 * 3
    assert (
        k8s.from_value([21_000], pods(3), 3, 20_000, settings=SETTINGS).replicas == 3
    )  # in tolerance
    assert (
        k8s.from_value([21_000], [], 0, 20_000, settings=SETTINGS).replicas == 2
    )  # none from zero
    assert k8s.from_value([10**30], pods(3), 3, 1, settings=SETTINGS).replicas == k8s.MOST_REPLICAS
    assert k8s.from_average([70_000], 3, 20_000, SETTINGS) == k8s.Proposal(4, 23_334)
    assert k8s.from_average([61_000], 3, 20_000, SETTINGS).replicas == 3


@pytest.mark.parametrize(
    ("current", "desired", "expected"),
    [
        (1, 100, (4, "ScaleUpLimit")),  # at least 4
        (10, 100, (20, "ScaleUpLimit")),  # at most twice
        (30, 100, (50, "TooManyReplicas")),
        (10, 1, (2, "TooFewReplicas")),
        (10, 15, (15, "DesiredWithinRange")),
    ],
)
def test_limits_without_behavior(current: int, desired: int, expected: tuple[int, str]) -> None:
    assert k8s.clamp(current, desired, 2, 50, settings=SETTINGS) == expected


@pytest.mark.parametrize(
    ("policies", "select", "current", "desired", "expected"),
    [
        (((False, 4, 15),), "Max", 10, 30, 14),
        (((False, 4, 15), (True, 100, 15)), "Max", 10, 30, 20),
        (((False, 4, 15), (True, 100, 15)), "Min", 10, 30, 14),
        (((False, 4, 15), (True, 100, 15)), "Disabled", 10, 30, 10),
        (((True, 15, 15),), "Max", 10, 30, 12),  # 11.5 is rounded up
    ],
)
def test_rates_up(
    policies: tuple[tuple[bool, int, int], ...], select: str, current: int, desired: int,
    *, expected: int,
) -> None:  # fmt: skip
    rules = k8s.Rules(0.0, tuple(k8s.Rate(*p) for p in policies), k8s.Policy(select))
    memory = k8s.HpaMemory([])
    got, _ = k8s.clamp_by(
        current, desired, 1, 99, behavior=k8s.Behavior(up=rules), memory=memory, now_s=NOW_S
    )
    assert got == expected


@pytest.mark.parametrize(
    ("policies", "select", "expected"),
    [
        (((False, 3, 60),), "Max", 7),
        (((False, 3, 60), (True, 50, 60)), "Max", 5),
        (((False, 3, 60), (True, 50, 60)), "Min", 7),
        (((True, 25, 60),), "Max", 7),  # 7.5 is cut
        (((True, 100, 60),), "Max", 2),  # the lowest that may be
    ],
)
def test_rates_down(
    policies: tuple[tuple[bool, int, int], ...], select: str, expected: int
) -> None:
    rules = k8s.Rules(0.0, tuple(k8s.Rate(*p) for p in policies), k8s.Policy(select))
    got, _ = k8s.clamp_by(
        10, 1, 2, 99, behavior=k8s.Behavior(down=rules), memory=k8s.HpaMemory([]), now_s=NOW_S
    )
    assert got == expected


def test_changes_of_the_period_use_the_rate_up() -> None:
    rules = k8s.Rules(0.0, (k8s.Rate(False, 5, 60.0),))
    memory = k8s.HpaMemory(
        [], ups=[k8s.ScaleEvent(3, NOW_S - 30.0), k8s.ScaleEvent(9, NOW_S - 61.0)]
    )
    # 10 now, 7 a minute ago: at most 12
    assert (
        k8s.clamp_by(10, 20, 1, 99, behavior=k8s.Behavior(up=rules), memory=memory, now_s=NOW_S)[0]
        == 12
    )


def test_stabilisation_takes_the_highest_of_five_minutes() -> None:
    memory = k8s.HpaMemory([(8, NOW_S - 400.0), (6, NOW_S - 200.0)])
    target = k8s.ScaleTarget(10, 1, 99)
    verdict = k8s.reconcile(target, [k8s.Proposal(3, 0)], memory, SETTINGS, now_s=NOW_S)
    assert verdict.replicas == 6
    assert verdict.reasons["AbleToScale"] == "SucceededRescale"
    assert memory.log == [(3, NOW_S), (6, NOW_S - 200.0)]


def test_the_first_look_remembers_the_count_as_it_is() -> None:
    memory = k8s.HpaMemory()
    target = k8s.ScaleTarget(10, 1, 99)
    verdict = k8s.reconcile(target, [k8s.Proposal(3, 0)], memory, SETTINGS, now_s=NOW_S)
    assert (verdict.replicas, verdict.reasons["AbleToScale"]) == (10, "ScaleDownStabilized")


def test_metrics_that_fail_forbid_only_the_way_down() -> None:
    failed = k8s.MetricError("FailedGetExternalMetric", "gone")

    def verdict(*proposals: k8s.Proposal | k8s.MetricError) -> k8s.Reconciled:
        target = k8s.ScaleTarget(5, 1, 99)
        return k8s.reconcile(target, proposals, k8s.HpaMemory([]), SETTINGS, now_s=NOW_S)

    assert verdict(k8s.Proposal(3, 0), failed).replicas == 5
    assert verdict(k8s.Proposal(3, 0), failed).failed
    assert verdict(k8s.Proposal(8, 0), failed).replicas == 8
    assert verdict(failed, failed).replicas == 5
    assert verdict(k8s.Proposal(3, 0), k8s.Proposal(6, 0)).replicas == 6


@pytest.mark.parametrize(("current", "expected"), [(0, 0), (1, 3), (12, 9)])
def test_out_of_bounds_is_put_right_at_once(current: int, expected: int) -> None:
    target = k8s.ScaleTarget(current, 3, 9)
    verdict = k8s.reconcile(target, [], k8s.HpaMemory(), SETTINGS, now_s=NOW_S)
    assert verdict.replicas == expected
