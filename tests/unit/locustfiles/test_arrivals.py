from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from locustfiles.arrivals import ArrivalSchedule
from locustfiles.plan import LoadPlan


def test_the_same_seed_gives_the_same_requests(plan: LoadPlan) -> None:
    assert list(ArrivalSchedule(plan)) == list(ArrivalSchedule(plan))
    other = replace(plan, seed=plan.seed + 1)
    assert list(ArrivalSchedule(other)) != list(ArrivalSchedule(plan))


@given(workers=st.integers(1, 9))
def test_workers_send_together_exactly_what_one_would(plan: LoadPlan, workers: int) -> None:
    shares = [list(ArrivalSchedule(plan, worker, workers)) for worker in range(workers)]
    together = sorted((a for share in shares for a in share), key=lambda a: a.due_s)
    assert together == list(ArrivalSchedule(plan))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) < 0.5 * max(sizes)


def test_requests_are_in_order_of_time_and_counted_as_intended(plan: LoadPlan) -> None:
    schedule = ArrivalSchedule(plan)
    arrivals = list(schedule)
    times = [arrival.due_s for arrival in arrivals]
    assert times == sorted(times)
    assert times[0] >= 0.0
    assert times[-1] < plan.wall_s
    by_service = Counter(arrival.service for arrival in arrivals)
    assert [by_service[i] for i in range(3)] == schedule.intended().sum(axis=1).tolist()
    until = schedule.intended(10.5)
    assert until.shape[1] == 11
    assert until.sum() == sum(time_s < 10.5 for time_s in times)


def test_arrivals_are_poisson_at_the_plans_rate(plan: LoadPlan) -> None:
    """The expected counts between arrivals of a Poisson process are exponential of mean 1."""
    service = plan.services.index("real-time")
    times = [a.due_s for a in ArrivalSchedule(plan) if a.service == service]
    expected = np.concatenate([[0.0], np.cumsum(plan.rates[service]) / plan.speed])
    passed = np.interp(times, np.arange(plan.seconds + 1) / plan.speed, expected)
    assert stats.kstest(np.diff(passed), "expon").pvalue > 1e-3
    assert abs(len(times) - expected[-1]) < 4.5 * np.sqrt(expected[-1])


def test_roles_and_weddings_follow_the_scenario(plan: LoadPlan) -> None:
    arrivals = list(ArrivalSchedule(plan))
    roles = Counter(arrival.role for arrival in arrivals)
    shares = plan.shares.mean(axis=1)
    single = np.diff(shares, axis=1, prepend=0.0)
    for role in ("guest", "vendor"):
        expected = sum(
            rate * single[s, k]
            for s, rate in enumerate(plan.rates.sum(axis=1) / plan.rates.sum())
            for k, kind in enumerate(plan.kinds)
            if kind[0] == role
        )
        assert roles[role] / len(arrivals) == pytest.approx(expected, abs=0.05)
    assert {arrival.wedding for arrival in arrivals} <= set(range(1, len(plan.stage) + 1))


def test_who_answers_an_invitation_is_at_a_wedding_where_people_get_ready(plan: LoadPlan) -> None:
    ready = plan.phases.index("getting_ready")
    for arrival in ArrivalSchedule(plan):
        if arrival.step.path.endswith("/rsvp"):
            minute = int(arrival.due_s * plan.speed) // 60
            assert plan.stage[arrival.wedding - 1, minute] == ready


@pytest.mark.parametrize("speed", [0.5, 7.3, 100.0, 3600.0])
def test_any_speed_keeps_rates_and_shortens_time(plan: LoadPlan, speed: float) -> None:
    short = replace(plan, speed=speed, rates=plan.rates[:, :120], people=plan.people[:2],
                    shares=plan.shares[:, :2], stage=plan.stage[:, :2])  # fmt: skip
    schedule = ArrivalSchedule(short)
    assert schedule.plan.wall_s == pytest.approx(120 / speed)
    expected = short.rates.sum() / speed
    assert abs(schedule.intended().sum() - expected) < 4.5 * np.sqrt(expected) + 2
    assert all(a.due_s < short.wall_s for a in schedule)
