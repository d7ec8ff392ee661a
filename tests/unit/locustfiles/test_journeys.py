from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locustfiles import journeys

HOUR_S = 3600.0


def day(rates: list[float], lengths_s: list[float]) -> journeys.Day:
    """One role, one service, the phases numbered."""
    return journeys.Day(
        phases=tuple(str(number) for number in range(len(rates))),
        length_s=np.array(lengths_s),
        roles=("guest",),
        services=("api",),
        rates=np.array([[rates]]),
        people={"guest": 100.0},
    )


@pytest.fixture(scope="module")
def wedding_day() -> journeys.Day:
    return journeys.load()


def test_the_packaged_day_has_all_phases_and_people_of_the_population(
    wedding_day: journeys.Day,
) -> None:
    assert wedding_day.phases[0] == "getting_ready"
    assert wedding_day.phases[-1] == "after"
    assert wedding_day.duration_s == 11 * HOUR_S  # from 4 h before the ceremony to 7 h after it
    assert 100 < wedding_day.people["guest"] < 120
    assert wedding_day.people["couple"] == 2


def test_every_role_has_a_step_for_every_service_and_phase(wedding_day: journeys.Day) -> None:
    for role in wedding_day.roles:
        for service in wedding_day.services:
            for phase in wedding_day.phases:
                steps = journeys.STEPS[role][service]
                assert any(not step.phases or phase in step.phases for step in steps)


def test_steps_name_only_phases_that_exist(wedding_day: journeys.Day) -> None:
    named = {
        phase
        for services in journeys.STEPS.values()
        for steps in services.values()
        for step in steps
        for phase in step.phases
    }
    assert named <= set(wedding_day.phases)


@pytest.mark.parametrize(
    ("moment_s", "phase"), [(0.0, 0), (99.0, 0), (100.0, 1), (149.0, 1), (150.0, 0), (1600.0, 1)]
)
def test_phase_at_a_moment(moment_s: float, phase: int) -> None:
    assert day([1.0, 1.0], [100.0, 50.0]).phase_at(moment_s) == phase


@pytest.mark.parametrize(
    ("moment_s", "effort", "speed", "pause_s"),
    [
        (0.0, 2.0, 1.0, 20.0),  # 2 / 0.1 within the first phase
        (90.0, 2.0, 1.0, 62.0),  # 1 used up in 10 s, nothing for 50 s, then 1 at 0.5/s
        (120.0, 0.5, 1.0, 31.0),  # starts in the phase without requests
        (0.0, 62.0, 1.0, 270.0),  # a day is worth 60, then 2 in the first phase again
        (
            90.0,
            2.0,
            10.0,
            9.8,
        ),  # phases ten times shorter: 0.1 in 1 s, 5 s of nothing, 1.9 at 0.5/s
    ],
)
def test_pause_uses_up_the_effort_at_the_rate_of_each_phase(
    moment_s: float, effort: float, speed: float, pause_s: float
) -> None:
    uneven = day([0.1, 0.0, 0.5], [100.0, 50.0, 100.0])
    assert uneven.pause_s("guest", moment_s, effort, speed=speed) == pytest.approx(pause_s)


@given(
    moment_s=st.floats(0.0, 1e6),
    effort=st.floats(0.0, 200.0),
    speed=st.floats(0.1, 1000.0),
)
def test_the_rates_passed_through_in_a_pause_add_up_to_its_effort(
    moment_s: float, effort: float, speed: float
) -> None:
    rates, lengths_s = [0.1, 0.0, 0.5], [100.0, 50.0, 100.0]

    def requests_until(time_s: float) -> float:
        """Requests expected in [0, time_s) of wedding time, at one request rate per such second."""
        days, rest_s = divmod(time_s, 250.0)
        return days * 60.0 + float(np.interp(rest_s, [0, 100, 150, 250], [0, 10, 10, 60]))

    pause_s = day(rates, lengths_s).pause_s("guest", moment_s, effort, speed=speed)
    passed = requests_until(moment_s + pause_s * speed) - requests_until(moment_s)
    assert pause_s >= 0.0
    assert passed / speed == pytest.approx(effort, rel=1e-6, abs=1e-6)


def test_requests_come_at_the_rates_of_the_table(wedding_day: journeys.Day) -> None:
    rng = np.random.Generator(np.random.Philox(7))
    expected = float(wedding_day.rates[wedding_day.roles.index("vendor")].sum(axis=0)[1])
    start_s = float(wedding_day.length_s[0])
    pauses = [
        wedding_day.pause_s("vendor", start_s, float(effort), speed=1e-9)
        for effort in rng.exponential(size=20_000)
    ]
    assert 1.0 / np.mean(pauses) == pytest.approx(expected, rel=0.03)


def test_services_are_chosen_by_their_rates(wedding_day: journeys.Day) -> None:
    rng = np.random.Generator(np.random.Philox(8))
    moment_s = float(wedding_day.length_s[:4].sum()) + 1.0  # at the party
    drawn = [wedding_day.step("guest", moment_s, rng) for _ in range(20_000)]
    rates = wedding_day.rates[wedding_day.roles.index("guest"), :, 4]
    uploads = rates[wedding_day.services.index("file-storage")] / rates.sum()
    assert np.mean([step.photo for step in drawn]) == pytest.approx(uploads, rel=0.1)


def test_a_role_without_any_request_is_an_error_and_not_an_endless_pause() -> None:
    with pytest.raises(ValueError, match="guest never makes a request"):
        day([0.0, 0.0], [10.0, 10.0]).pause_s("guest", 0.0, 1.0, speed=1.0)


def test_configuration_is_found_as_package_data() -> None:
    assert (resources.files("conf") / "demand" / "wedsync.yaml").is_file()
