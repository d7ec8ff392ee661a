"""What is learned of events whose load is known: rates, lateness, and how wrong it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.forecast.outlook import Grid, event_load, outlook
from engine.model import BootTime, Call, Schedule, ServiceSpec
from engine.prediction import event_learning, event_model
from engine.prediction.event_learning import LearnedEvents, PastLoad
from engine.prediction.event_model import EventModel

DAYS, STEP_S = 42, 300.0
START_S = 1_780_272_000.0  # 1 June 2026
BOOT = BootTime(5.0, 8.0)
SPECS = (
    ServiceSpec("api", 1, 90, 2, 0.1, 1.0, BOOT, 1.0, 0.5, 0.1, calls=(Call("database", 2.0),)),
    ServiceSpec("database", 1, 90, 2, 0.1, 1.0, BOOT, 1.0, 0.5, 0.1),
)
DOCUMENT = {
    "noun": "matches",
    "phases": [{"name": "before", "starts_s": -3600}, {"name": "during", "starts_s": 0}],
    "ends_s": 7200,
    "usual": {"guest": 100, "vendor": 10},
    "rates": {"api": {"guest": {"before": 0.01, "during": 0.04}, "vendor": {"before": 0.1}}},
    "background": {"api": [20.0 + 10.0 * (h > 7) for h in range(24)]},
    "lateness_mean_s": 900,
    "lateness_sd_s": 600,
    "sigma": 0.1,
}
TRUE = event_model.of_document(DOCUMENT, ["api", "database"])


def assumed(factor: float = 2.0) -> EventModel:
    """Twice as much as there is, and nothing is late."""
    response = replace(
        TRUE.response, rates=factor * TRUE.response.rates,
        background=0.0 * TRUE.response.background, lateness_mean_s=0.0, lateness_sd_s=60.0,
    )  # fmt: skip
    return replace(TRUE, response=response)


def events(rng: np.random.Generator) -> Schedule:
    starts_s = START_S + 86_400.0 * np.repeat(np.arange(DAYS), 8) + rng.uniform(3e4, 8e4, 8 * DAYS)
    people = np.column_stack(
        [rng.integers(50, 400, len(starts_s)), rng.integers(2, 30, len(starts_s))]
    )
    return Schedule(
        TRUE.phases, TRUE.roles, starts_s[:, None] + np.array(TRUE.offsets_s),
        people.astype(float), np.zeros(len(starts_s), dtype=np.bool_),
    )  # fmt: skip


def came(schedule: Schedule, rng: np.random.Generator, noise: float = 0.05) -> PastLoad:
    """What such events really brought."""
    grid = Grid(START_S, round(DAYS * 86_400.0 / STEP_S), STEP_S)
    shown = outlook(
        event_load(schedule, TRUE.response, grid), TRUE.response, SPECS, grid, issued_s=START_S
    )
    load = shown.load * np.exp(noise * rng.standard_normal(shown.load.shape))
    load[:, 500:520] = np.nan
    return PastLoad(("api", "database"), START_S, STEP_S, load)


@pytest.fixture(scope="module")
def learned() -> LearnedEvents:
    rng = np.random.default_rng(1)
    schedule = events(rng)
    return event_learning.learn(schedule, came(schedule, rng), assumed(), SPECS, held_out=0.25)


def test_rates_background_and_lateness_are_found(learned: LearnedEvents) -> None:
    response, true = learned.model.response, TRUE.response
    assert response.rates[:, :, 0] == pytest.approx(true.rates[:, :, 0], rel=0.15, abs=0.004)
    assert response.background[:, 0] == pytest.approx(true.background[:, 0], rel=0.1)
    # All of the database's load is calls of the api, which the outlook adds by itself.
    assert float(response.rates[:, :, 1].max()) * 300 < 1.0
    assert response.lateness_mean_s == pytest.approx(900.0, abs=300.0)
    assert response.sigma == pytest.approx(0.05, abs=0.03)


def test_it_says_what_it_is_wrong_by_on_what_it_has_not_seen(learned: LearnedEvents) -> None:
    for one in learned.errors:
        assert 0.02 < one.wape < 0.07  # the noise itself is 4 %
        assert abs(one.bias) < 0.02
        assert one.last_week > 5 * one.wape
    assert learned.held_out_days == pytest.approx(DAYS / 4)


def test_with_events_of_another_year_nothing_is_learned_from_them() -> None:
    rng = np.random.default_rng(1)
    load = came(events(rng), rng)
    blind = event_learning.learn(events(rng), load, assumed(), SPECS, held_out=0.25)
    assert min(one.wape for one in blind.errors) > 0.12


def test_what_history_cannot_tell_apart_stays_as_it_was_assumed() -> None:
    rng = np.random.default_rng(2)
    schedule = events(rng)
    people = schedule.participants.copy()
    people[:, 1] = people[:, 0] / 10.0  # always a tenth
    alike = replace(schedule, participants=people)
    outcome = event_learning.learn(alike, came(alike, rng), assumed(), SPECS, held_out=0.25)
    guest, vendor = outcome.model.response.rates[:, 0, 0]
    assert vendor / guest == pytest.approx(10.0, rel=0.5)
    assert outcome.errors[0].wape < 0.07


def test_a_model_is_the_same_after_it_was_written_and_read(
    learned: LearnedEvents, tmp_path: object
) -> None:
    document = event_model.document(learned.model, {"days": 42.0})
    again = event_model.of_document(document, ["api", "database"])
    assert np.array_equal(again.response.rates[:, :, 0], learned.model.response.rates[:, :, 0])
    assert again.response.lateness_mean_s == learned.model.response.lateness_mean_s
    assert again.phases == learned.model.phases
    assert document["learned"] == {"days": 42.0}


@pytest.mark.parametrize(
    ("days", "load", "said"),
    [
        (15, 5.0, "there are 15 days, of which 25% are held out; at least 14 have to be left"),
        (30, 0.0, "there is no load in it"),
    ],
)
def test_too_little_history_is_refused(days: int, load: float, said: str) -> None:
    past = PastLoad(("api",), START_S, 3600.0, np.full((1, 24 * days), load))
    with pytest.raises(ValueError, match=said):
        event_learning.learn(
            events(np.random.default_rng(1)), past, assumed(), SPECS, held_out=0.25
        )
