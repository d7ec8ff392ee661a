from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.model import BootTime, Call, Response, ServiceSpec, Wedding, WeddingType
from engine.prediction.forecaster import LEVELS
from engine.prediction.similarity import (
    CURVE_BINS,
    NEIGHBOURS,
    PastWeddings,
    Similar,
    WeddingTraits,
)
from engine.prediction.timeline import HOUR_S, timeline
from engine.prediction.wedding_day import (
    HOURS,
    BookedWeddings,
    WeddingDayModel,
    booked,
    size_category,
)
from engine.settings import EngineSettings

PHASES = ("ceremony", "dinner", "party")
HOURS_OF = (0.0, 1.0, 3.0, 6.0)
MEDIAN, Q90 = LEVELS.index(0.5), LEVELS.index(0.9)
NOW_S = dt.datetime(2027, 6, 1, tzinfo=dt.UTC).timestamp()
SERVICES = ("api", "real-time")


def spec(name: str, calls: tuple[Call, ...] = (), boot_s: float = 60.0) -> ServiceSpec:
    return ServiceSpec(
        name=name, min_instances=2, max_instances=500, slots=4, service_s=0.1, service_scv=1.0,
        boot=BootTime(boot_s, 2 * boot_s), warmup_s=10.0, slo_p95_s=0.5, price_per_hour=0.1,
        calls=calls,
    )  # fmt: skip


SPECS = (
    spec("api", (Call("database", 2.0),)),
    spec("database", boot_s=420.0),
    spec("real-time"),
)
RESPONSE = Response(
    services=("api", "database", "real-time"),
    rates=np.full((4, 3, 3), 0.01) * np.array([1.0, 0.0, 3.0]),
    background=np.zeros((24, 3)),
    lateness_mean_s=0.0,
    lateness_sd_s=60.0,
    turnout=1.0,
    unbooked_share=0.0,
    sigma=0.1,
)


def past(count: int, seed: int = 1, days: int = 200) -> PastWeddings:
    """Load follows people, in the hours after the start; each wedding differs by some 20 %."""
    rng = np.random.default_rng(seed)
    traits = WeddingTraits(
        type_id=rng.integers(0, 4, count),
        guests=np.round(np.exp(rng.normal(4.6, 0.5, count))),
        vendors=rng.integers(4, 25, count).astype(float),
        weekday=rng.choice(7, count, p=[0.02, 0.02, 0.02, 0.02, 0.2, 0.67, 0.05]),
        month=rng.integers(1, 13, count),
    )
    shape = np.zeros(CURVE_BINS)
    shape[2:14] = 0.01
    curves = traits.people[:, None, None] * shape * np.array([1.0, 3.0])[:, None]
    curves = curves * np.exp(0.2 * rng.standard_normal(count))[:, None, None]
    return PastWeddings(
        SERVICES, traits, np.sort(rng.integers(0, days, count)), curves.astype(np.float32)
    )


def model(history: PastWeddings) -> WeddingDayModel:
    return WeddingDayModel(history, RESPONSE, PHASES, SPECS, settings=EngineSettings())


def wedding(**changes: object) -> Wedding:
    start = dt.datetime(2027, 6, 19, 16, tzinfo=ZoneInfo("America/New_York")).timestamp()
    times = tuple(start + HOUR_S * hour for hour in HOURS_OF)
    usual = Wedding("w1", "America/New_York", WeddingType.MEDIUM, 100, 12, times)
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def trained() -> WeddingDayModel:
    return model(past(6000))


def test_one_wedding_has_its_load_its_phases_and_its_peak(trained: WeddingDayModel) -> None:
    day = trained.wedding(booked([wedding()], NOW_S))
    assert day.start_s == wedding().phase_start_s[0] - HOUR_S
    assert [day.phase_at(hour) for hour in range(9)] == [
        "", "ceremony", "dinner", "dinner", "party", "party", "party", "", "",
    ]  # fmt: skip
    api = day.quantiles[0]
    people = 114
    assert api[1:7, MEDIAN] == pytest.approx(0.01 * people, rel=0.1)
    assert api[8:, MEDIAN] == pytest.approx(0.0)
    assert day.peaks[0] == ((1, 7),)
    assert np.all(np.diff(day.quantiles, axis=2) >= -1e-9)
    # A log-sd of 0.2 from wedding to wedding is in the data.
    assert api[3, Q90] / api[3, MEDIAN] == pytest.approx(math.exp(1.28 * 0.2), rel=0.2)
    assert day.quantiles[1, :, MEDIAN] == pytest.approx(2.0 * api[:, MEDIAN])  # calls


def test_similar_weddings_are_found_by_size_type_vendors_weekday_and_month() -> None:
    history = past(3000)
    traits = history.traits
    neighbours = Similar(history).find(traits.taken(np.arange(20)))
    near, far = neighbours.rows, np.arange(3000)
    assert near.shape == (20, NEIGHBOURS)
    assert np.array_equal(near[:, 0], np.arange(20))  # each is most similar to itself
    for row in range(20):
        own = traits.people[row]
        assert np.median(abs(np.log(traits.people[near[row]] / own))) < np.median(
            abs(np.log(traits.people[far] / own))
        )
    same_type = (traits.type_id[near] == traits.type_id[:20, None]).mean()
    assert same_type > 0.5  # a quarter by chance
    assert neighbours.weight.sum(axis=1) == pytest.approx(1.0)


def test_confidence_follows_from_the_number_and_closeness_of_similar_weddings() -> None:
    one = booked([wedding()], NOW_S)
    sure, less, hardly = (model(past(n)).wedding(one).confidence for n in (30_000, 600, 3))
    assert 1.0 >= sure > less > hardly >= 0.0
    strange = booked([wedding(guests=10_000)], NOW_S)
    assert model(past(6000)).wedding(strange).confidence < 1e-6


def test_a_day_is_the_sum_of_its_weddings_and_surer_than_each() -> None:
    trained = model(past(6000))
    many = [wedding(id=f"w{i}") for i in range(400)]
    day = trained.day(booked(many, NOW_S), wedding().phase_start_s[0] - 2 * HOUR_S)
    one = trained.wedding(booked(many[:1], NOW_S))
    assert day.weddings == 400
    total, single = day.quantiles[0, 3], one.quantiles[0, 3]
    assert total[MEDIAN] == pytest.approx(400 * single[MEDIAN], rel=0.08)
    assert total[Q90] / total[MEDIAN] < single[Q90] / single[MEDIAN]
    assert day.in_phase[3].tolist() == [0.0, 400.0, 0.0]
    assert day.phase_at(2) == "ceremony"


def test_everybody_elses_load_is_on_top_of_it(trained: WeddingDayModel) -> None:
    one = booked([wedding()], NOW_S)
    base = np.full((3, HOURS), 50.0)
    with_base = trained.wedding(one, base)
    assert with_base.quantiles - trained.wedding(one).quantiles == pytest.approx(50.0)
    assert np.all(with_base.needed >= trained.wedding(one).needed)


def test_what_drifted_lately_is_taken_into_account_once() -> None:
    history = past(6000)
    curves = history.curves.copy()
    curves[history.day >= 140] *= 1.5  # some weeks ago everybody began to do half as much again
    drifted = model(replace(history, curves=curves))
    one = booked([wedding()], NOW_S)
    ratio = drifted.wedding(one).quantiles[0, 3] / model(history).wedding(one).quantiles[0, 3]
    assert ratio[MEDIAN] == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_zone": "Europe/Nowhere"}, r'"w1": time_zone: "Europe/Nowhere" is not an IANA'),
        ({"time_zone": ""}, 'time_zone: "" is not'),
        ({"guests": -1}, r"guests: -1 is not allowed \(0 … 100,000\)"),
        ({"guests": 200_000}, "guests: 200000 is not allowed"),
        ({"vendors": -3}, "vendors: -3 is not allowed"),
        ({"phase_start_s": (3.0, 2.0, 5.0, 6.0)}, "phase_start_s: the times have to rise"),
        ({"phase_start_s": (1e12,)}, "phase_start_s: 1 times are not allowed"),
        ({"phase_start_s": (1.8e9, math.nan, 1.9e9, 2e9)}, "the times have to rise"),
        ({"phase_start_s": (1.0, 2.0, 3.0, 4.0)}, "date: was over at 1970-01-01 00:00 UTC, before"),
    ],
)
def test_a_wedding_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        booked([wedding(**changes)], NOW_S)


def test_ids_that_appear_twice_are_refused() -> None:
    with pytest.raises(ValueError, match='wedding "w1": id: appears more than once'):
        booked([wedding(), wedding(id="w2"), wedding()], NOW_S)


@pytest.mark.parametrize("guests", [0, 10_000])
def test_extreme_sizes_have_a_forecast(trained: WeddingDayModel, guests: int) -> None:
    day = trained.wedding(booked([wedding(guests=guests)], NOW_S))
    assert day.quantiles[0, 3, MEDIAN] == pytest.approx(0.01 * (14 + guests), rel=0.25)


@pytest.mark.parametrize(
    ("date", "zone"),
    [
        ("2028-02-29T16:00", "America/New_York"),  # a leap day
        ("2027-11-07T00:30", "America/New_York"),  # the hour comes twice
        ("2028-03-12T01:00", "America/New_York"),  # an hour is left out
        ("2027-12-31T22:00", "Pacific/Honolulu"),  # ends in another year
    ],
)
def test_odd_dates_have_an_ordinary_forecast(
    trained: WeddingDayModel, date: str, zone: str
) -> None:
    start = dt.datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone)).timestamp()
    times = tuple(start + HOUR_S * hour for hour in HOURS_OF)
    one = booked([wedding(time_zone=zone, phase_start_s=times)], NOW_S)
    day = trained.wedding(one)
    hours = [hour for hour in range(HOURS) if day.phase_at(hour)]
    assert len(hours) in (6, 7)  # six hours, as the clock on the wall may jump and time does not
    total = day.quantiles[0, :, MEDIAN].sum()
    assert total == pytest.approx(6 * 0.01 * 114, rel=0.15)


def test_an_empty_history_leaves_the_table_and_no_confidence() -> None:
    nothing = past(0)
    day = model(nothing).wedding(booked([wedding()], NOW_S))
    assert day.confidence == 0.0
    assert day.similar == 0.0
    assert day.quantiles[0, 3, MEDIAN] == pytest.approx(0.01 * 114)
    many = model(nothing).day(
        booked([wedding(), wedding(id="w2")], NOW_S), wedding().phase_start_s[0]
    )
    assert many.quantiles[0, 2, MEDIAN] == pytest.approx(2 * 0.01 * 114)


def test_one_past_wedding_is_a_history_that_nobody_trusts() -> None:
    day = model(past(1)).wedding(booked([wedding()], NOW_S))
    assert np.isfinite(day.quantiles).all()
    assert day.confidence < 0.2


def test_a_day_without_a_wedding_needs_the_least(trained: WeddingDayModel) -> None:
    day = trained.day(booked([], NOW_S), NOW_S)
    assert day.weddings == 0
    assert np.all(day.quantiles == 0.0)
    assert np.all(day.needed == 2)
    assert day.steps == ()
    assert day.peaks[0] == ()


def test_a_hundred_thousand_weddings_of_one_day_are_no_more_than_a_few_searches(
    trained: WeddingDayModel,
) -> None:
    rng = np.random.default_rng(5)
    count = 100_000
    begin = NOW_S + 1800.0 * rng.integers(0, 24, count)
    weddings = BookedWeddings(
        begin[:, None] + HOUR_S * np.array(HOURS_OF),
        WeddingTraits(
            rng.integers(0, 4, count),
            np.round(np.exp(rng.normal(4.6, 0.5, count))),
            rng.integers(4, 25, count).astype(float),
            np.full(count, 5),
            np.full(count, 6),
        ),
    )
    day = trained.day(weddings, NOW_S)
    assert day.weddings == count
    requests = day.quantiles[0, :, MEDIAN].sum()
    people = weddings.traits.people[begin + 6 * HOUR_S <= NOW_S + 24 * HOUR_S].sum()
    assert requests > 0.9 * people * 0.01 * 6


def test_size_categories() -> None:
    sizes = [size_category(guests) for guests in (0, 50, 51, 100, 101, 250, 251, 10_000)]
    assert sizes == ["small"] * 2 + ["medium"] * 2 + ["large"] * 2 + ["very large"] * 2


def test_the_timeline_has_everything_ready_in_time_and_keeps_to_the_limits() -> None:
    settings = EngineSettings()
    needed = np.full((3, HOURS), 2.0)
    needed[:, 10:14] = np.array([120.0, 60.0, 9.0])[:, None]
    steps = timeline(needed, SPECS, 0.0, settings)
    assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)
    for row, service in enumerate(SPECS):
        own = [step for step in steps if step.service == service.name]
        for before, after in pairwise(own):
            assert after.from_instances == before.to_instances
            assert after.at_s - before.at_s >= settings.limits.cooldown_out_s
        for step in own:
            if step.to_instances > step.from_instances:
                most = math.ceil(step.from_instances * (1.0 + settings.limits.step_out))
                assert step.to_instances <= most
                assert step.ready_s <= step.for_s + 1e-6 or step.for_s > 10 * HOUR_S
        for hour in range(HOURS):
            standing = 2
            for step in own:
                up = step.to_instances > step.from_instances
                if (step.ready_s if up else step.at_s) <= hour * HOUR_S:
                    standing = step.to_instances
            assert standing >= needed[row, hour], (service.name, hour)
        assert own[-1].to_instances <= 3  # and nothing stays for nothing
