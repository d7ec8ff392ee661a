"""What is taken out of errors as the chance of counting is bounded, whatever is shown."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from engine.forecast import schedule
from engine.forecast.counting import Counting, counting
from engine.memory import ResponseMemory
from engine.settings import ForecastSettings
from tests.unit.engine.conftest import NOW_S, make_outlook

SETTINGS = ForecastSettings()
rates = st.lists(
    st.one_of(st.floats(0.0, 1e9), st.sampled_from([math.nan, math.inf, -1.0])), max_size=5
)


@given(rates, st.one_of(st.floats(0.0, 1e4), st.just(math.nan)), st.integers(1, 3))
def test_it_is_finite_and_no_more_than_the_samples_may_have(
    shown: list[float], spacing_s: float, of: int
) -> None:
    seen = counting(shown, spacing_s, of)
    assert 0.0 <= seen.share <= 1.0
    assert 0.0 <= seen.variance <= 0.2
    assert 0.0 <= seen.scatter < math.inf


samples = st.lists(
    st.tuples(st.floats(-1.5, 1.5), st.floats(0.0, 0.5), st.floats(0.0, 0.5)),
    min_size=1, max_size=40,
)  # fmt: skip


@given(samples, st.floats(0.01, 0.4), st.floats(0.0, 1.0))
def test_an_interval_is_never_narrower_than_the_least_nor_wider_than_without_it(
    shown: list[tuple[float, float, float]], sigma: float, share: float
) -> None:
    outlook = make_outlook(1000.0, sigma=sigma)
    plain, own = ResponseMemory(), ResponseMemory()
    for k, (departure, variance, scatter) in enumerate(shown):
        at_s, rate = NOW_S + 300.0 * k, 1000.0 * math.exp(departure)
        chance = Counting(variance, scatter, share)
        plain = schedule.observe(plain, outlook, 0, rate, sample_s=at_s, settings=SETTINGS)
        own = schedule.observe(
            own, outlook, 0, rate, sample_s=at_s, settings=SETTINGS, chance=chance
        )
        assert own.horizon_variance == plain.horizon_variance
        assert all(0.0 <= taken <= 0.5 for taken in own.counted)
        without, with_it = (
            schedule.curve(memory, outlook, 0, at_s, reach_s=7200.0, settings=SETTINGS).sd
            for memory in (plain, own)
        )
        assert (with_it >= schedule.MIN_SD).all()
        assert (with_it <= without).all()
        plain, own = issued(plain, outlook, at_s), issued(own, outlook, at_s)


def issued(memory: ResponseMemory, outlook: object, at_s: float) -> ResponseMemory:
    """The same medians for both: what is judged must not differ by what is taken out."""
    mean = math.log(1000.0) + memory.level
    lines = tuple((*line, (at_s + h, mean)) for line, h in zip(
        memory.issued, schedule.HORIZONS_S, strict=True))  # fmt: skip
    return memory._replace(issued=lines, issued_s=at_s)
