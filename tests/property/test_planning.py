"""What a plan has to be for any load: as cheap as can be, within its risk, and never surprising."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.decide.callgraph import critical_services
from engine.decide.recommend.forecast import needed
from engine.decide.sizing import Sizing, Sizings, risk_score, sizing
from engine.forecast.schedule import Curve
from engine.model import BootTime, Call, ServiceSpec
from engine.planning.needs import Horizon, Staffing, joint_peaks, quantile, staffing
from engine.planning.optimise import alternatives, cheapest, option, plan_of
from engine.planning.profile import Profile
from engine.planning.purchase import (
    Offer,
    best_base,
    bill,
    cost_by_path,
    hours_used,
    usage,
)
from engine.prediction.timeline import instances_needed
from engine.settings import CapacitySettings, EngineSettings, ForecastSettings
from tests.unit.engine.decide.conftest import alone

PATHS, DAYS = 40, 6
NOTHING = Profile(np.zeros((1, 48)), np.zeros(48), np.zeros((1, 24)))
HORIZON = Horizon(
    profiles=[NOTHING] * DAYS,
    month=np.array([0, 0, 0, 1, 1, 1]),
    week=np.zeros(DAYS, dtype=np.int64),
    reach=np.eye(1),
)
HOURS = float(HORIZON.hours)

sizings = st.builds(
    Sizing,
    instances_per_rate=st.floats(0.01, 2.0),
    spread=st.floats(0.0, 2.0),
    utilisation=st.floats(0.3, 0.97),
    zones=st.integers(1, 4),
    room=st.floats(0.0, 3.0) | st.just(math.inf),
    held=st.just(0.5),
)
discounts = st.floats(0.0, 0.9)
risks = st.floats(0.0, 0.5)


def offer(discount: float, term_hours: float = 100.0) -> Offer:
    reserved = 1.0 - discount
    return Offer(1.0, reserved, term_hours, reserved, reserved)


@st.composite
def loads(draw: st.DrawFn, services: int = 1) -> np.ndarray:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    level = draw(st.floats(0.0, 60.0))
    shape = (services, PATHS, HORIZON.hours)
    wave = 1.0 + np.sin(np.arange(HORIZON.hours) / 4.0)
    return level * wave * rng.lognormal(0.0, draw(st.floats(0.0, 0.8)), shape)


def peaks_of(load: np.ndarray, risk: float) -> np.ndarray:
    tops = np.maximum.reduceat(load, [0, 72], axis=2)
    return joint_peaks(tops, risk)


@given(loads(), sizings, discounts, risks)
def test_no_other_base_is_cheaper(
    load: np.ndarray, sizing: Sizing, discount: float, risk: float
) -> None:
    used = usage(load[0], HORIZON, Staffing(sizing, 1.05, 1), peaks_of(load, risk)[0])
    terms = offer(discount)
    best = bill(used, terms, HOURS, best_base(used, terms, HOURS)).total_usd
    others = [bill(used, terms, HOURS, n).total_usd for n in range(used.most + 1)]
    assert best <= min(others) + 1e-9 * max(others)


@given(loads(), sizings, discounts, risks)
def test_the_plan_is_no_dearer_than_what_it_could_have_been(
    load: np.ndarray, sizing: Sizing, discount: float, risk: float
) -> None:
    used = usage(load[0], HORIZON, Staffing(sizing, 1.0, 2), peaks_of(load, risk)[0])
    choice = option(1.0, used, offer(discount), HOURS)
    plan = cheapest({"a": [choice]})
    assert plan is not None
    others = alternatives({"a": choice}, HOURS)
    for cost in (others.on_demand_usd, others.static_on_demand_usd, others.static_reserved_usd):
        assert plan.total_usd <= cost * (1.0 + 1e-9)


@given(load=loads(), sizing=sizings, discount=discounts, one=risks, other=risks)
def test_less_risk_never_costs_less_nor_has_lower_limits(
    load: np.ndarray, sizing: Sizing, discount: float, one: float, *, other: float
) -> None:
    low, high = sorted((one, other))
    plans = [
        option(
            1.0,
            usage(load[0], HORIZON, Staffing(sizing, 1.1, 1), peaks_of(load, risk)[0]),
            offer(discount),
            HOURS,
        )
        for risk in (low, high)
    ]
    careful, bold = plans
    assert np.all(careful.used.maximum >= bold.used.maximum)
    assert careful.bill.total_usd >= bold.bill.total_usd * (1.0 - 1e-9)


@given(loads(services=3), risks)
def test_all_services_together_keep_to_the_risk(load: np.ndarray, risk: float) -> None:
    tops = np.maximum.reduceat(load, [0, 72], axis=2)
    peaks = joint_peaks(tops, risk)
    exceeded = np.any(tops > peaks[:, None, :], axis=0).mean(axis=0)
    assert np.all(exceeded <= risk + 1e-9)
    # no limit is lower than it would have to be for its service alone
    for service in range(3):
        assert np.all(peaks[service] >= quantile(tops[service], 1.0 - risk) - 1e-9)


@given(loads(), sizings, discounts)
def test_hours_and_costs_add_up(load: np.ndarray, sizing: Sizing, discount: float) -> None:
    used = usage(load[0], HORIZON, Staffing(sizing, 1.0, 1), peaks_of(load, 0.1)[0])
    assert math.isclose(used.by_month.sum(), HOURS, rel_tol=1e-9)
    assert np.allclose(used.by_path.sum(axis=1), HOURS)
    assert np.all(np.diff(hours_used(used.by_month.sum(axis=0))) <= 1e-9)
    terms = offer(discount)
    base = best_base(used, terms, HOURS)
    mean = cost_by_path(used, terms, HOURS, base).mean()
    assert math.isclose(mean, bill(used, terms, HOURS, base).total_usd, rel_tol=1e-9, abs_tol=1e-9)


@given(
    load=loads(services=2), sizing=sizings, discount=discounts, share=st.floats(0.4, 1.1),
    forbidden=st.integers(0, 3),
)  # fmt: skip
def test_within_a_quota_no_other_choice_of_sizes_is_cheaper(
    load: np.ndarray, sizing: Sizing, discount: float, share: float, *, forbidden: int
) -> None:
    peaks = peaks_of(load, 0.1)
    options = {}
    for i, name in enumerate(("a", "b")):
        options[name] = []
        for factor in (1.0, 0.5, 2.0, 4.0):
            other = sizing._replace(
                instances_per_rate=sizing.instances_per_rate / (1.03 * factor - 0.03),
            )
            used = usage(load[i], HORIZON, Staffing(other, 1.0, 1), peaks[i])
            options[name].append(option(factor, used, offer(discount).times(factor), HOURS))
    options["a"][forbidden] = replace(options["a"][forbidden], allowed=False)
    free = cheapest(options)
    assert free is not None
    quota = float(int(share * free.quota))
    plan = cheapest(options, quota)
    feasible = [
        chosen
        for pair in itertools.product(*options.values())
        if (chosen := plan_of(dict(zip(options, pair, strict=True)))).quota <= quota
        and all(choice.allowed for choice in pair)
    ]
    if not feasible:
        assert plan is None
        return
    assert plan is not None
    assert plan.quota <= quota
    least = min(chosen.total_usd for chosen in feasible)
    assert plan.total_usd <= least * (1.0 + 1e-6) + 1e-9


specs = st.builds(
    ServiceSpec,
    name=st.just("api"),
    min_instances=st.integers(0, 20),
    max_instances=st.just(1_000_000),
    slots=st.integers(1, 200),
    service_s=st.floats(0.001, 5.0),
    service_scv=st.floats(0.0, 16.0),
    boot=st.just(BootTime(60.0, 120.0)),
    warmup_s=st.just(0.0),
    slo_p95_s=st.just(1.0),
    price_per_hour=st.just(1.0),
    user_facing=st.booleans(),
)
settings_of_the_engine = st.builds(
    EngineSettings,
    capacity=st.builds(
        CapacitySettings,
        zones=st.integers(1, 6),
        survive_zone_loss=st.sampled_from(["all", "critical", "none"]),
        max_utilisation=st.floats(0.3, 0.97),
        max_utilisation_deferred=st.floats(0.3, 0.97),
    ),
    forecast=st.builds(
        ForecastSettings, risk=st.floats(0.001, 0.4), risk_deferred=st.floats(0.001, 0.4)
    ),
)


@given(
    spec=specs, called=st.booleans(), settings=settings_of_the_engine, load=loads(),
    noise=st.floats(0.0, 0.4),
)  # fmt: skip
def test_the_plan_buys_what_the_engine_will_ask_for(
    spec: ServiceSpec, called: bool, settings: EngineSettings, load: np.ndarray, *, noise: float
) -> None:
    users = replace(spec, name="users", user_facing=True, calls=(Call("api", 1.0),))
    platform = [spec, users] if called else [spec]
    peaks = load[0].max(axis=0)[:2] * 100.0
    used = usage(load[0], HORIZON, staffing(spec, platform, settings, noise), peaks)
    # what the engine asks for when it expects these peaks, as far off as the noise
    critical = "api" in critical_services(platform)
    size = sizing(spec, settings.capacity, critical=critical)
    score = risk_score(settings.forecast, critical=critical)
    nothing = np.zeros_like(peaks)
    curve = Curve(nothing, nothing, np.full_like(peaks, noise), peaks, nothing, 60.0)
    one = np.ones((1, 1))
    need = needed(alone(curve), Sizings.of((size,)), one, score * one)[0]
    asked = np.maximum(need, spec.min_instances)
    np.testing.assert_array_equal(used.maximum, asked)
    # and what the forecast of a day announces
    likely = curve.rate(score)[None]
    announced = instances_needed(likely, peaks[None], [spec], settings)
    if not called:
        np.testing.assert_array_equal(announced[0], asked)
    # each by itself as all at once
    each = [size.needed(*pair) for pair in zip(likely[0].tolist(), peaks.tolist(), strict=True)]
    np.testing.assert_array_equal(np.maximum(each, spec.min_instances), asked)
