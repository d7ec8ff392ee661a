"""The forecasters for any series, on series made here."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from engine.model import Calendar, FloatArray, Series
from engine.prediction import smoothing
from engine.prediction.classical import baselines
from engine.prediction.experts import Last
from engine.prediction.forecaster import NO_EVENTS, Forecaster
from engine.prediction.past import SeriesPast
from engine.prediction.scheduled import ScheduledForecaster
from engine.prediction.short_horizon import ShortHorizon, weighted_median
from engine.prediction.smoothing_kernels import innovations, loss, smooth

HOUR_S = 3600.0
START_S = 1_000_000 * 86_400.0 / 100.0
LEADS = (1, 24)
REFIT = 72
"""Steps between two fits, each of which takes most of a second."""


def daily(days: int, seed: int, noise: float = 0.05) -> FloatArray:
    hours = np.arange(24 * days)
    rng = np.random.default_rng(seed)
    level = np.cumsum(rng.normal(0.0, 0.02, len(hours)))
    log_rate = 4.0 + np.sin(2.0 * np.pi * hours / 24.0) + level
    return np.exp(log_rate + rng.normal(0.0, noise, len(hours)))


def with_matches(days: int, seed: int) -> tuple[Series, Calendar]:
    """Load that doubles and trebles for two hours after the starts of events at irregular times."""
    rng = np.random.default_rng(seed)
    starts = np.sort(START_S + HOUR_S * rng.choice(24 * days, 2 * days, replace=False))
    values = daily(days, seed)
    for start_s in starts:
        hour = round((start_s - START_S) / HOUR_S)
        values[hour : hour + 1] *= 2.0
        values[hour + 1 : hour + 2] *= 3.0
    calendar = Calendar(starts, np.ones(len(starts)), ("",) * len(starts), np.zeros(len(starts)))
    return Series("matches", START_S, HOUR_S, values), calendar


def wape(forecast: FloatArray, actual: FloatArray) -> float:
    return float(np.abs(forecast - actual).sum() / actual.sum())


def rolled(
    forecaster: Forecaster, series: Series, calendar: Calendar, first: int
) -> dict[int, FloatArray]:
    """Forecasts of the steps from `first` on, for each lead."""
    by_lead = {lead: np.full(len(series.values), np.nan) for lead in forecaster.leads}
    for origin in range(first - max(forecaster.leads), len(series.values), REFIT):
        forecaster.fit(series, origin, calendar)
        origins = np.arange(origin, min(origin + REFIT, len(series.values)))
        forecast = forecaster.predict(series, origins, calendar)
        for column, lead in zip(forecast.T, forecaster.leads, strict=True):
            inside = origins + lead - 1 < len(series.values)
            by_lead[lead][(origins + lead - 1)[inside]] = column[inside]
    return {lead: values[first:] for lead, values in by_lead.items()}


def everybody() -> list[Forecaster]:
    return [ShortHorizon(LEADS), *baselines(LEADS)]


@pytest.mark.parametrize("which", range(7))
def test_nothing_from_the_origin_on_changes_a_forecast(which: int) -> None:
    series, calendar = with_matches(16, 1)
    scrambled = series.values.copy()
    until, origin = 320, 350
    rng = np.random.default_rng(2)
    scrambled[origin:] = rng.permutation(scrambled[origin:]) * 7.0
    other = Series("matches", START_S, HOUR_S, scrambled)
    forecasts = []
    for measured in (series, other):
        forecaster = everybody()[which]
        forecaster.fit(measured, until, calendar)
        forecasts.append(forecaster.predict(measured, np.arange(until, origin + 1), calendar))
    np.testing.assert_array_equal(forecasts[0], forecasts[1])
    assert np.isfinite(forecasts[0]).all()


def test_the_same_past_gives_the_same_forecast_however_many_origins_are_asked_for() -> None:
    series, calendar = with_matches(14, 3)
    forecaster, again = ShortHorizon(LEADS), ShortHorizon(LEADS)
    forecaster.fit(series, 250, calendar)
    again.fit(series, 250, calendar)
    many = forecaster.predict(series, np.arange(250, 300), calendar)
    one = forecaster.predict(series, np.array([275]), calendar)
    np.testing.assert_allclose(one[0], many[25], rtol=1e-9)
    np.testing.assert_array_equal(again.predict(series, np.arange(250, 300), calendar), many)


def test_what_was_missed_in_event_hours_moves_the_forecast_of_later_ones_alone() -> None:
    starts = START_S + HOUR_S * (12.0 + 24.0 * np.arange(12))
    calendar = Calendar(starts, np.ones(12), ("",) * 12, np.full(12, -np.inf))
    hours = np.arange(24 * 12)
    inside = (hours % 24 >= 12) & (hours % 24 < 15)
    series = Series("load", START_S, HOUR_S, np.where(inside, 115.0, 100.0))
    origins = np.arange(240, 265)
    medians = []
    for booked in (calendar, NO_EVENTS):
        forecaster = ShortHorizon((24,), make=lambda _, __: [Doubtful()])
        forecaster.fit(series, 240, booked)
        medians.append(forecaster.predict(series, origins, booked)[:, 0])
    asked_for = inside[(origins + 23) % 24]
    np.testing.assert_array_equal(medians[0][~asked_for], medians[1][~asked_for])
    missed = np.log(115.0 / 100.0)
    moved = np.log(medians[0] / medians[1])[asked_for]
    assert len(moved) == 3
    # Three days were judged, and a day ahead the shift leans to nothing with 72 hours.
    assert (moved > 0.05 * missed).all()
    assert (moved < 9.0 / (9.0 + 72.0) * missed * (1.0 + 1e-3)).all()


class Doubtful(Last):
    """Expects 100, whatever comes."""

    def track(self, past: SeriesPast) -> FloatArray:
        return np.full(len(past.values), 100.0)


def test_a_calendar_beats_the_best_of_those_who_have_none() -> None:
    series, calendar = with_matches(18, 4)
    first = 24 * 16
    actual = series.values[first:]
    aware = rolled(ShortHorizon(LEADS), series, calendar, first)
    blind = [rolled(f, series, NO_EVENTS, first) for f in everybody()]
    for lead in LEADS:
        best = min(wape(rolled_by_lead[lead], actual) for rolled_by_lead in blind)
        assert wape(aware[lead], actual) < 0.7 * best


@pytest.mark.parametrize("kind", ["daily", "level", "noise", "zeros"])
def test_the_ensemble_is_about_as_good_as_the_best_baseline_on_every_sort(kind: str) -> None:
    rng = np.random.default_rng(5)
    first, leads = 24 * 12, (1, 2)
    hours = first + REFIT - max(leads)  # fitted once
    values = {
        "daily": daily(16, 6)[:hours],
        "level": np.exp(np.cumsum(rng.normal(0.0, 0.1, hours))),
        "noise": rng.gamma(4.0, 10.0, hours),
        "zeros": rng.poisson(0.3, hours).astype(np.float64),
    }[kind]
    series = Series(kind, START_S, HOUR_S, values)
    actual = values[first:]
    own = rolled(ShortHorizon(leads), series, NO_EVENTS, first)
    baseline = [rolled(f, series, NO_EVENTS, first) for f in baselines(leads)]
    for lead in leads:
        others = [by_lead[lead] for by_lead in baseline]
        assert wape(own[lead], actual) <= 1.05 * min(wape(other, actual) for other in others)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(200),
        np.full(200, 5.0),
        np.where(np.arange(200) % 7 == 0, np.nan, 3.0),
        np.concatenate((np.full(100, np.nan), np.arange(100.0))),
        np.arange(30.0),
        np.array([2.0, 3.0, 4.0]),
        -daily(9, 1)[:200],
    ],
)
def test_odd_series_get_a_forecast(values: FloatArray) -> None:
    series = Series("odd", START_S, HOUR_S, values)
    forecaster = ShortHorizon((1, 2))
    forecaster.fit(series, len(values), NO_EVENTS)
    forecast = forecaster.predict(series, np.array([len(values)]), NO_EVENTS)
    assert np.isfinite(forecast).all()


def test_a_series_without_values_is_refused() -> None:
    series = Series("empty", START_S, HOUR_S, np.full(100, np.nan))
    with pytest.raises(ValueError, match="no values"):
        ShortHorizon((1,)).fit(series, 100, NO_EVENTS)


def test_an_event_known_later_is_not_used_before() -> None:
    series, calendar = with_matches(20, 7)
    late = Calendar(calendar.start_s, calendar.size, calendar.kinds, np.full(40, np.inf))
    blind, early = ShortHorizon((1,)), ShortHorizon((1,))
    blind.fit(series, 400, NO_EVENTS)
    early.fit(series, 400, late.known_at(series.start_s))
    origins = np.arange(400, 420)
    np.testing.assert_array_equal(
        blind.predict(series, origins, NO_EVENTS),
        early.predict(series, origins, late.known_at(0.0)),
    )


def test_a_schedule_is_corrected_by_what_is_seen() -> None:
    rng = np.random.default_rng(11)
    hours = 24 * 13
    booked = 50.0 * (1.5 + np.sin(np.arange(hours) / 3.8)) * rng.uniform(0.5, 2.0, hours)
    level = np.exp(np.repeat(rng.normal(0.3, 0.2, 13), 24))
    values = booked * level * np.exp(rng.normal(0.0, 0.03, hours))
    series = Series("booked", START_S, HOUR_S, values)
    leads, first = (1, 2), 24 * 10
    twice = np.vstack((booked, booked))
    own = rolled(ScheduledForecaster(leads, twice), series, NO_EVENTS, first)
    plain = rolled(ScheduledForecaster(leads, twice, learn=False), series, NO_EVENTS, first)
    for lead in leads:
        assert wape(own[lead], values[first:]) < 0.4 * wape(plain[lead], values[first:])
        np.testing.assert_array_equal(plain[lead], booked[first:])


def test_a_schedule_does_not_look_ahead() -> None:
    values, booked = daily(10, 12), daily(10, 13)
    changed = values.copy()
    changed[220:] *= 9.0
    forecasts = []
    for measured in (values, changed):
        series = Series("booked", START_S, HOUR_S, measured)
        forecaster = ScheduledForecaster((1, 24), np.vstack((booked, booked)))
        forecaster.fit(series, 200, NO_EVENTS)
        forecasts.append(forecaster.predict(series, np.arange(200, 221), NO_EVENTS))
    np.testing.assert_array_equal(forecasts[0], forecasts[1])


def test_smoothing_agrees_with_statsmodels() -> None:
    y = np.log(daily(12, 8))
    alpha, beta, phi, gamma = 0.3, 0.05, 0.95, 0.1
    states = smoothing.first(y, ("alpha", "gamma"), (24, 168))
    model = ETSModel(
        y, error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=24,
        initialization_method="known", initial_level=states.level, initial_trend=0.0,
        initial_seasonal=states.season,
    )  # fmt: skip
    theirs = model.smooth(np.array([alpha, beta, gamma, phi]))
    smoothed = np.empty((len(y), 2))
    weights = np.array([alpha, beta, phi, gamma, 0.0, 0.0])
    leads = np.array([1.0, 5.0])
    smooth(y, weights, (states.level, states.season.copy(), np.zeros(1)), (leads, smoothed))
    np.testing.assert_allclose(smoothed[:-1, 0], theirs.fittedvalues[1:], rtol=1e-9)
    np.testing.assert_allclose(smoothed[-1], theirs.forecast(5)[[0, 4]], rtol=1e-9)


def test_the_compiled_loops_say_the_same() -> None:
    y = np.log(daily(20, 9))
    y[100:110] = np.nan
    weights = np.array([0.3, 0.01, 0.9, 0.2, 0.1, 0.4])
    states = smoothing.first(y, smoothing.WEEKLY, (24, 168))
    ahead = np.empty((len(y), 1))
    squared = smooth(y, weights, states.copied(), (np.array([3.0]), ahead))
    missed = y[27:] - ahead[24:-3, 0]
    expected = np.nanmean(np.abs(missed)) - 0.5e-9
    assert loss(y, weights, states.copied(), (3, 1e-9)) == pytest.approx(expected, rel=1e-6)
    surprise = innovations(y, weights, states.copied())
    assert squared == pytest.approx(np.nanmean(surprise[24:] ** 2), rel=1e-9)


def test_effects_of_events_are_recovered() -> None:
    series, calendar = with_matches(60, 10)
    from engine.prediction.past import prepare

    past = prepare(series, len(series.values), calendar, 1, unit=1e-6)
    model = smoothing.fit(past.z, past.columns, smoothing.DAILY, 1, seasons=past.seasons)
    expected = np.log([1.0, 2.0, 3.0, 1.0, 1.0])
    np.testing.assert_allclose(model.effects, expected, atol=0.08)


def test_the_weighted_median_lies_between_its_neighbours() -> None:
    values = np.array([[1.0, 1.0, np.nan], [2.0, 5.0, np.nan], [9.0, 9.0, np.nan]])
    weights = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]) / [3.0, 1.0, 1.0]
    medians = weighted_median(values, weights)
    np.testing.assert_allclose(medians[:2], [2.0, 5.0])
    assert np.isnan(medians[2])
