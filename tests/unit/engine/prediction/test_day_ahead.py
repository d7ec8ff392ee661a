from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from engine.prediction import artefact, day_ahead
from engine.prediction.artefact import Artefact, ArtefactError
from engine.prediction.calibration import coverage
from engine.prediction.forecaster import LEVELS
from engine.prediction.issues import DAY_H, DAY_S, HOURS, Issues

DAYS, EIGHT = 420, 8 * 3600.0
MEDIAN = LEVELS.index(0.5)


def made(days: int = DAYS, seed: int = 1, missing: bool = False) -> Issues:
    """Weddings in a bump each afternoon; the response drifts and differs from day to day."""
    rng = np.random.default_rng(seed)
    hour = np.arange(HOURS) % DAY_H
    size = 50.0 + 200.0 * ((np.arange(days + 2) + 3) % 7 == 5)
    bump = np.exp(-0.5 * ((hour - 12.0) / 3.0) ** 2)
    day = np.arange(days)[:, None] + (np.arange(HOURS) >= DAY_H)
    weddings = size[day][:, None, :] * bump * np.array([1.0, 3.0])[None, :, None]
    background = np.full((days, 2, HOURS), 5.0)
    effect = 0.3 + 0.0005 * np.arange(days) + 0.05 * rng.standard_normal(days)
    noise = 0.02 * rng.standard_normal((days, 2, DAY_H))
    came = (weddings + background)[:, :, :DAY_H] * np.exp(effect[:, None, None] + noise)
    observed = came.transpose(1, 0, 2).reshape(2, -1)
    if missing:
        observed[:, 50 * DAY_H : 53 * DAY_H] = np.nan
        observed[0, 100 * DAY_H] = 0.0
    return Issues(
        services=("api", "database"),
        issued_s=1.7e9 // DAY_S * DAY_S + EIGHT + DAY_S * np.arange(days),
        weddings=weddings,
        background=background,
        events=weddings[:, 0] / 10.0,
        foreseen=np.abs(rng.standard_normal((days, 3))),
        severity=np.abs(rng.standard_normal(days)),
        observed=observed,
    )


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(day_ahead.BOOSTING, "max_iter", 4)
        patch.setitem(day_ahead.BOOSTING, "max_bins", 15)
        yield


@pytest.fixture(scope="module")
def issues() -> Issues:
    return made()


@pytest.fixture(scope="module")
def model(issues: Issues) -> day_ahead.DayAhead:
    return day_ahead.fit(issues.until(300), seed=3)


def test_it_learns_the_response_and_its_intervals_hold(
    issues: Issues, model: day_ahead.DayAhead
) -> None:
    rows = range(300, DAYS - 2)
    quantiles = model.predict(issues, rows)
    came = issues.outcomes()[300 : DAYS - 2]
    schedule = day_ahead.schedule_only(issues, 0.1)[300 : DAYS - 2]
    for s in range(2):
        wape, alone = (
            np.abs(q[:, s, :, MEDIAN] - came[:, s]).sum() / came[:, s].sum()
            for q in (quantiles, schedule)
        )
        assert wape < 0.07 < alone  # a log-sd of 0.05 a day is in the data: 4 % at the best
        share, _ = coverage(
            quantiles[:, s].reshape(-1, len(LEVELS)), came[:, s].ravel(), np.array(LEVELS)
        )[0.8]
        assert 0.65 < share < 0.92  # of some 120 days
    assert np.all(np.diff(quantiles, axis=3) >= 0.0)
    assert np.all(quantiles > 0.0)


def test_nothing_after_an_issue_changes_its_forecast(
    issues: Issues, model: day_ahead.DayAhead
) -> None:
    row = 330
    rng = np.random.default_rng(9)
    scrambled = replace(
        issues,
        observed=np.concatenate(
            (issues.observed[:, : DAY_H * row], 1e3 * rng.random((2, DAY_H * (DAYS - row)))), axis=1
        ),
        weddings=np.concatenate(
            (issues.weddings[: row + 1], rng.random((DAYS - row - 1, 2, HOURS)))
        ),
        severity=np.concatenate((issues.severity[:row], rng.random(DAYS - row))),
        foreseen=np.concatenate((issues.foreseen[: row + 1], rng.random((DAYS - row - 1, 3)))),
    )
    before, after = model.predict(issues, [row]), model.predict(scrambled, [row])
    assert np.array_equal(before, after)
    assert np.array_equal(before, model.predict(issues.until(row + 1), [row]))
    assert not np.array_equal(model.predict(issues, [row + 1]), model.predict(scrambled, [row + 1]))


def test_asking_for_one_issue_is_asking_for_it_among_all(
    issues: Issues, model: day_ahead.DayAhead
) -> None:
    together = model.predict(issues, range(250, 300))
    assert together[49] == pytest.approx(model.predict(issues, [299])[0], rel=0.02)
    assert model.predict(issues, []).shape == (0, 2, HOURS, len(LEVELS))


def test_the_same_issues_and_seed_give_the_same_bytes(
    issues: Issues, model: day_ahead.DayAhead
) -> None:
    again = day_ahead.fit(made().until(300), seed=3)
    assert artefact.dump(again.artefact()) == artefact.dump(model.artefact())
    assert day_ahead.fingerprint_of(issues) != model.manifest.fingerprint


def test_a_saved_model_forecasts_the_same(issues: Issues, model: day_ahead.DayAhead) -> None:
    content = artefact.dump(model.artefact())
    back = day_ahead.restored(artefact.load(content, day_ahead.KIND, day_ahead.VERSION))
    assert np.array_equal(back.predict(issues, [310]), model.predict(issues, [310]))


def test_missing_hours_and_hours_without_load_are_no_obstacle() -> None:
    issues = made(days=120, missing=True)
    model = day_ahead.fit(issues)
    assert np.isfinite(model.predict(issues)).all()


def test_the_state_of_something_else_is_refused(model: day_ahead.DayAhead) -> None:
    good = model.artefact()
    part = good.state["parts"][0]
    for state in (
        {},
        {"services": ["api"], "parts": []},
        {"services": ["api"], "parts": [{"mean": 1}]},
        {"services": ["api"], "parts": [{**part, "boosters": part["boosters"][1:]}]},
        {"services": ["api"], "parts": [{**part, "boosters": ["x"] * len(LEVELS)}]},
    ):
        with pytest.raises(ArtefactError, match="holds no day-ahead model"):
            day_ahead.restored(Artefact(good.manifest, state))


@pytest.mark.parametrize("days", [0, 1, day_ahead.FEWEST_DAYS - 1])
def test_too_short_a_history_is_refused(days: int) -> None:
    with pytest.raises(ValueError, match=f"history: {days} days are too few to learn from"):
        day_ahead.fit(made(days=70).until(days))


def test_other_services_are_refused(issues: Issues, model: day_ahead.DayAhead) -> None:
    with pytest.raises(ValueError, match="of the services api, database, not of a, b"):
        model.predict(replace(issues, services=("a", "b")))
