from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import ROLES, DemandConfig, PopulationConfig
from scenarios.weddings.demand import arrivals, realise, response
from scenarios.weddings.population import Population, generate

Seeded = Callable[[int], StreamOf]
SERVICES = ("api", "database", "file-storage", "real-time", "ai-services")


@pytest.fixture
def certain(demand_yaml: dict[str, Any]) -> DemandConfig:
    """The shipped table without the day's factor and without noise."""
    return DemandConfig(**demand_yaml | {"day_sigma": 0.0, "noise_sigma": 0.0})


def test_the_shipped_table_gives_the_peak_and_the_mix_that_it_claims(
    saturday: Population, certain: DemandConfig, streams: Seeded
) -> None:
    demand = realise(saturday, certain, streams(1))
    total = demand.rates.sum(axis=0)
    peak = int(total.argmax())
    per_wedding = total[peak] / demand.in_progress.max()
    assert per_wedding == pytest.approx(2.6, abs=0.15)  # 260,000/s at 100,000 weddings
    mix = dict(zip(demand.services, demand.rates[:, peak] / total[peak], strict=True))
    assert mix["real-time"] == pytest.approx(0.67, abs=0.015)
    assert mix["api"] == pytest.approx(0.31, abs=0.015)
    assert mix["file-storage"] == pytest.approx(0.02, abs=0.004)
    assert peak / 3600 + 8 == pytest.approx(21.7, abs=0.7)  # hours UTC


def test_uploads_lie_between_what_guests_share_and_what_sellers_claim(
    us: PopulationConfig, wedsync: DemandConfig
) -> None:
    edges = [phase.start_min for phase in us.phases] + [us.end_min]
    figures = [wedsync.rates["file-storage"]["guest"][name] for name in us.phase_names]
    uploads = np.dot([figure.rate for figure in figures], 60 * np.diff(edges))
    assert 0.77 * 28 * 0.39 < uploads < 28


def test_rates_are_people_times_the_table(
    us: PopulationConfig, certain: DemandConfig, streams: Seeded
) -> None:
    population = generate(us, streams(2))
    demand = realise(population, certain, streams(2))
    prior = response(certain, us, demand.services)
    for tick in (9_000, 50_000, 70_000):
        expected = np.zeros(len(demand.services))
        for row in np.flatnonzero(population.happens):
            phase = int(np.searchsorted(population.actual_s[row], tick, side="right")) - 1
            if 0 <= phase < len(population.phases):
                expected += population.participants_actual[row] @ prior.rates[:, phase, :]
        hour = ((population.start_s + tick) % 86_400) / 3600
        middles = np.arange(24) + 0.5
        expected += [np.interp(hour, middles, b, period=24) for b in prior.background.T]
        assert demand.rates[:, tick] == pytest.approx(expected, rel=1e-9)


def test_phases_load_the_services_differently(wedsync: DemandConfig) -> None:
    def loudest(service: str, role: str) -> str:
        return max(wedsync.rates[service][role].items(), key=lambda item: item[1].rate)[0]

    assert loudest("real-time", "guest") == "ceremony"
    assert loudest("api", "vendor") == "getting_ready"
    assert loudest("file-storage", "guest") in ("cocktail_hour", "party")


def test_the_hidden_day_and_the_noise_are_as_large_as_configured(
    us: PopulationConfig, certain: DemandConfig, wedsync: DemandConfig, streams: Seeded
) -> None:
    population = generate(us.model_copy(update={"simultaneous": 5}), streams(1))
    plain = realise(population, certain, streams(1)).rates
    days = np.array([realise(population, wedsync, streams(s)).rates / plain for s in range(40)])
    factor = days.mean(axis=2)
    assert factor.mean() == pytest.approx(1.0, abs=0.03)
    assert np.log(factor).std() == pytest.approx(wedsync.day_sigma, rel=0.25)
    noise = np.log(days[:, 0] / factor[:, :1])
    assert noise.std() == pytest.approx(wedsync.noise_sigma, rel=0.1)
    lag = round(wedsync.noise_time_s)
    correlation = np.mean(noise[:, lag:] * noise[:, :-lag]) / noise.var()
    assert correlation == pytest.approx(np.exp(-1), abs=0.06)


def test_arrivals_are_whole_numbers_around_the_rates_and_repeat_with_the_seed(
    us: PopulationConfig, wedsync: DemandConfig, streams: Seeded
) -> None:
    demand = realise(generate(us, streams(1)), wedsync, streams(1))
    counts = arrivals(demand, streams(1))
    assert counts.shape == demand.rates.shape
    assert counts.dtype == np.float64
    assert np.array_equal(counts, np.rint(counts))
    assert counts.min() >= 0
    score = (counts - demand.rates).sum() / np.sqrt(demand.rates.sum())
    assert abs(score) < 4
    assert counts.tobytes() == arrivals(demand, streams(1)).tobytes()
    assert counts.tobytes() != arrivals(demand, streams(2)).tobytes()


def test_the_noise_of_one_service_does_not_depend_on_the_others(
    us: PopulationConfig, demand_yaml: dict[str, Any], streams: Seeded
) -> None:
    population = generate(us.model_copy(update={"simultaneous": 20}), streams(1))
    both = realise(population, DemandConfig(**demand_yaml), streams(1))
    del demand_yaml["rates"]["api"], demand_yaml["background"]["requests_per_user_day"]["api"]
    without_api = realise(population, DemandConfig(**demand_yaml), streams(1))
    assert without_api.services == both.services[1:]
    assert np.array_equal(without_api.rates, both.rates[1:])


def test_the_prior_is_the_table_and_not_the_day(
    us: PopulationConfig, wedsync: DemandConfig
) -> None:
    prior = response(wedsync, us, SERVICES)
    assert prior.rates.shape == (len(ROLES), len(us.phases), len(SERVICES))
    party = wedsync.rates["real-time"]["guest"]["party"].rate
    assert prior.rates[ROLES.index("guest"), 4, SERVICES.index("real-time")] == party
    assert np.all(prior.rates[:, :, SERVICES.index("database")] == 0)
    assert np.all(prior.background[:, SERVICES.index("ai-services")] == 0)
    late = us.actual.model_copy(update={"unbooked_share": 0.25})
    surprised = response(wedsync, us.model_copy(update={"actual": late}), SERVICES)
    assert surprised.unbooked_share == prior.unbooked_share == wedsync.usual_unbooked_share


def test_the_prior_lateness_and_turnout_match_what_usually_happens(
    saturday: Population, us: PopulationConfig, wedsync: DemandConfig
) -> None:
    prior = response(wedsync, us, SERVICES)
    late_s = (saturday.actual_s - saturday.booked_s)[saturday.happens]
    assert late_s.mean() == pytest.approx(prior.lateness_mean_s, abs=15)
    assert late_s.std() == pytest.approx(prior.lateness_sd_s, rel=0.03)
    booked = saturday.participants_booked[saturday.happens].sum()
    come = saturday.participants_actual.sum()
    assert come / booked == pytest.approx(prior.turnout, abs=0.004)


def test_background_is_busiest_in_the_local_evening(
    population_yaml: dict[str, Any], wedsync: DemandConfig
) -> None:
    eastern = PopulationConfig(**population_yaml | {"time_zones": {"America/New_York": 1.0}})
    background = response(wedsync, eastern, SERVICES).background
    busiest = np.argsort(background[:, 0])[-3:]
    assert sorted(busiest) == [1, 2, 3]  # 21:00-24:00 in New York is 01:00-04:00 UTC in June
    figure = wedsync.background.requests_per_user_day["api"].rate
    a_day = 3600 * background[:, 0].sum()
    assert a_day == pytest.approx(wedsync.background.users * figure)


def test_a_table_for_other_phases_is_refused(
    us: PopulationConfig, wedsync: DemandConfig, streams: Seeded
) -> None:
    renamed = (*us.phases[:-1], us.phases[-1].model_copy(update={"name": "brunch"}))
    other = us.model_copy(update={"phases": renamed, "simultaneous": 3})
    with pytest.raises(ValueError, match=r"demand\.rates\.api\.couple: has the phases .*brunch"):
        realise(generate(other, streams(1)), wedsync, streams(1))


def test_a_service_that_the_platform_does_not_have_is_refused(
    us: PopulationConfig, wedsync: DemandConfig
) -> None:
    with pytest.raises(ValueError, match=r"demand\.rates: real-time is not a service"):
        response(wedsync, us, ("api", "file-storage"))


def test_compiled_noise_agrees_with_the_reference() -> None:
    z = np.random.default_rng(2).standard_normal(400)
    expected = kernels.autoregressive_reference(z, 0.97, 0.3)
    assert kernels.autoregressive(z, 0.97, 0.3) == pytest.approx(expected, abs=1e-12)
