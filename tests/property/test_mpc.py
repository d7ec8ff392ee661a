"""What must hold of the controller that plans, whatever it is shown."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from engine.controllers.mpc import Mpc
from engine.decide.rails.limits import step_bounds
from engine.model import Observation, ServiceSpec
from engine.settings import EngineSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

SETTINGS = EngineSettings()

figure = st.one_of(st.floats(0.0, 1.0), st.just(math.nan), st.just(math.inf))
moments = st.lists(
    st.fixed_dictionaries(
        {
            "cpu": figure,
            "rate": st.one_of(st.floats(0.0, 1e7), st.just(math.nan), st.just(0.0)),
            "p95_s": figure,
            "error_rate": figure,
            "queue": st.one_of(st.floats(0.0, 1e6), st.just(math.nan)),
            "age_s": st.sampled_from([0.0, 3.0, 44.0, 600.0]),
            "samples": st.sampled_from([0, 1, 2, 12]),
            "booked": st.one_of(st.just(0.0), st.floats(0.0, 1e6)),
            "booting_share": st.floats(0.0, 1.0),
            "rest_s": st.sampled_from([5.0, 15.0, 300.0, 7200.0, -600.0, 1e5]),
        }
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def specs(draw: st.DrawFn) -> ServiceSpec:
    least = draw(st.sampled_from([0, 1, 3, 2000]))
    service_s = draw(st.sampled_from([0.005, 0.1, 2.0]))
    return make_spec(
        min_instances=least,
        max_instances=least + draw(st.sampled_from([0, 1, 50, 20_000])),
        slots=draw(st.sampled_from([1, 10, 128])),
        service_s=service_s,
        service_scv=draw(st.sampled_from([0.0, 1.0, 2.5])),
        slo_p95_s=service_s * draw(st.sampled_from([0.5, 1.1, 5.0])),
        price_per_hour=draw(st.sampled_from([0.0, 0.1, 50.0])),
    )


def shown(spec: ServiceSpec, desired: int, now_s: float, m: dict) -> Observation:
    figures = {key: m[key] for key in ("cpu", "rate", "p95_s", "error_rate", "queue", "age_s")}
    window = make_window(now_s, **figures, samples=m["samples"])
    booting = int(desired * m["booting_share"])
    service = make_service(
        spec, desired=desired, ready=desired - booting, booting=booting, window=window
    )
    return observe(service, now_s=now_s, outlook=make_outlook(m["booked"], services=(spec.name,)))


@given(specs(), st.integers(0, 25_000), moments, st.sampled_from([1e-7, 5e-4, 100.0]))
def test_no_count_is_out_of_bounds_and_no_step_too_large_and_all_is_the_same_again(
    spec: ServiceSpec, begin: int, those: list[dict], usd: float
) -> None:
    one, again = (Mpc(SETTINGS, usd_per_missed_request=usd) for _ in range(2))
    now_s, desired = NOW_S, min(begin, spec.max_instances + 5)
    for m in those:
        seen = shown(spec, desired, now_s, m)
        plan = one.step(seen)
        assert repr(plan) == repr(again.step(seen))
        assert one.snapshot() == again.snapshot()
        again.restore(one.snapshot())
        for action in plan.actions:
            assert action.from_instances == desired
            assert all(math.isfinite(figure) for figure in action.evidence.values())
            least, most = step_bounds(max(desired, spec.min_instances), SETTINGS.limits)
            desired = action.to_instances
            assert spec.min_instances <= desired <= spec.max_instances
            assert min(least, spec.max_instances) <= desired <= most
        now_s += m["rest_s"]
