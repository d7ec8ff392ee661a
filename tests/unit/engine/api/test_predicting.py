"""Predictions: asked of another process, kept, shared, late, broken; and a day that is prepared."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.api.application import application
from engine.api.predictions import Predictor
from engine.api.problems import Problem, ProblemError
from engine.config.api import ApiConfig, PredictionsConfig
from engine.model import ManualFloor
from engine.security.roles import Role
from tests.unit.engine.api.conftest import QUICK, Engine, engine_in

API = "/api/scalability"


pytestmark = pytest.mark.usefixtures("factories_on_path")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    config = ApiConfig(predictions=PredictionsConfig(factory=QUICK))
    made = engine_in(tmp_path_factory.mktemp("engine"), config)
    made.step()
    yield made
    made.context.predictor.close()


@pytest.fixture
def asking(planned: Engine) -> tuple[TestClient, dict[str, str]]:
    client = TestClient(application(planned.context), raise_server_exceptions=False)
    return client, planned.token("pat", *Role)


def test_seasons_days_and_plans(asking: tuple[TestClient, dict[str, str]]) -> None:
    client, headers = asking
    season = client.get(
        f"{API}/predictions/wedding-season?year=2027&season=summer", headers=headers
    )
    assert (season.status_code, season.json()["season"]) == (200, "summer")
    assert season.headers["etag"]
    day = client.get(f"{API}/predictions/wedding-day?date=2027-06-19", headers=headers).json()
    assert len(day["hours"]) == 24
    one = client.get(f"{API}/predictions/wedding-day?type=large&guests=300", headers=headers).json()
    assert one["title"] == "a large wedding"
    plan = client.get(f"{API}/plan?months=3", headers=headers).json()
    assert len(plan["months"]) == 3
    best = client.get(f"{API}/season-optimisation?months=3", headers=headers).json()
    assert (best["total_usd"], best["saving_usd"]) == (90.0, 10.0)
    advice = client.get(f"{API}/recommendations?horizon=season", headers=headers).json()
    assert [item["kind"] for item in advice["items"]] == ["raise_max"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "predictions/wedding-season?season=sumer",
            'season: "sumer" is not allowed (spring, summer',
        ),
        ("predictions/wedding-season?year=27", 'year: "27" is not allowed (four digits)'),
        ("predictions/wedding-season?year=1999", "year: 1999 is not allowed (2024 … 2027"),
        ("predictions/wedding-day?date=19.6.2027", 'date: "19.6.2027" is not allowed (YYYY-MM-DD)'),
        ("predictions/wedding-day?type=huge", 'type: "huge" is not allowed (intimate, medium, '),
        ("predictions/wedding-day?type=large&zone=Rome", 'zone: "Rome" is not allowed'),
        ("predictions/wedding-day?type=large&time=25:00", 'time: "25:00" is not allowed (HH:MM)'),
        ("plan?months=13", 'months: "13" is not allowed (1 … 12)'),
        ("recommendations?horizon=later", 'horizon: "later" is not allowed (now, season)'),
    ],
)
def test_what_is_wrong_is_named(
    asking: tuple[TestClient, dict[str, str]], path: str, said: str
) -> None:
    client, headers = asking
    answer = client.get(f"{API}/{path}", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(said)
    assert answer.json()["errors"][0]["field"] == said.partition(":")[0]


def test_a_fault_of_whoever_works_it_out_says_nothing_of_the_inside(
    planned: Engine, asking: tuple[TestClient, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, headers = asking
    broken = Predictor(QUICK, {"broken": True}, 60.0)
    monkeypatch.setattr(planned.context, "predictor", broken)
    try:
        answer = client.get(f"{API}/plan", headers=headers)
    finally:
        broken.close()
    assert (answer.status_code, answer.json()["detail"]) == (500, "it could not be worked out")


def test_who_is_limited_to_some_services_has_no_plan_of_all(
    planned: Engine, asking: tuple[TestClient, dict[str, str]]
) -> None:
    client, _ = asking
    limited = planned.token("eve", Role.PLANNER, services=["api"])
    for path in ("plan", "season-optimisation", "predictions/wedding-season",
                 "recommendations?horizon=season"):  # fmt: skip
        assert client.get(f"{API}/{path}", headers=limited).status_code == 403, path
    assert client.get(f"{API}/predictions/capacity", headers=limited).status_code == 200


def test_a_day_is_prepared_with_floors_that_end_with_it(
    planned: Engine, asking: tuple[TestClient, dict[str, str]]
) -> None:
    client, headers = asking
    path = f"{API}/wedding-days/2027-06-19/preparation"
    dry = client.post(path, headers=headers, json={"dry_run": True})
    assert dry.status_code == 200
    assert planned.context.desk.asked()[0] == []
    done = client.post(path, headers=headers, json={"why": "the big Saturday"})
    assert done.status_code == 201
    # From 8 to 8, in parts of 6 h; what needs no more than the minimum needs no floor.
    assert done.json()["floors"] == dry.json()["floors"]
    floors = [(one["service"], one["instances"]) for one in done.json()["floors"]]
    assert floors == [("api", 3), ("database", 3), ("api", 4), ("database", 4), ("api", 5),
                      ("database", 5)]  # fmt: skip
    asked, complaints = planned.context.desk.asked()
    assert complaints == []
    held = {}
    for one in asked:
        assert isinstance(one.request, ManualFloor)
        assert one.schedule is not None
        begin_s = one.request.expires_s - one.schedule.duration_s
        now = one.at(begin_s + 60.0)
        assert isinstance(now, ManualFloor)
        assert one.at(begin_s - 60.0) is None
        assert one.at(begin_s + 366 * 86_400.0) is None  # not again next year
        held[one.request.service, begin_s] = now.instances
    assert sorted(held.values()) == [3, 3, 4, 4, 5, 5]
    assert planned.rows()[-1]["why"] == "the big Saturday"


def test_an_answer_is_worked_out_once_for_all_who_ask() -> None:
    async def ask() -> tuple[Any, ...]:
        predictor = Predictor(QUICK, {"slow_s": 0.3}, 60.0)
        try:
            first = await asyncio.gather(
                *(predictor.ask("season", 2027, "all", now_s=1000.0 + k) for k in range(3))
            )
            again = await predictor.ask("season", 2027, "all", now_s=2000.0)
            return (*first, again)
        finally:
            predictor.close()

    texts = asyncio.run(ask())
    assert all(text is texts[0] for text in texts)


def test_who_has_waited_for_long_is_told_to_come_again_and_the_work_goes_on() -> None:
    async def ask() -> None:
        predictor = Predictor(QUICK, {"slow_s": 0.5}, 0.05)
        try:
            with pytest.raises(ProblemError) as late:
                await predictor.ask("season", 2027, "all", now_s=0.0)
            assert late.value.problem is Problem.BUSY
            assert "retry-after" in late.value.headers
            until = time.monotonic() + 300.0
            while time.monotonic() < until:
                try:
                    await predictor.ask("season", 2027, "all", now_s=0.0)
                    return
                except ProblemError:
                    await asyncio.sleep(0.05)
            raise AssertionError("it was never there")
        finally:
            predictor.close()

    asyncio.run(ask())


def test_a_process_that_has_died_is_begun_anew() -> None:
    async def ask() -> None:
        predictor = Predictor(QUICK, {}, 60.0)
        try:
            await predictor.ask("season", 2027, "all", now_s=0.0)
            pool = predictor._apart._pool
            assert pool is not None
            for process in list(pool._processes.values()):
                process.kill()
                process.join()
            with contextlib.suppress(ProblemError):  # whoever asks first may be told to come again
                await predictor.ask("season", 2026, "all", now_s=0.0)
            assert await predictor.ask("season", 2026, "all", now_s=0.0)
        finally:
            predictor.close()

    asyncio.run(ask())


def test_a_factory_that_cannot_be_loaded_is_no_fault_of_whoever_asks() -> None:
    async def ask() -> None:
        predictor = Predictor("nowhere:connect", {}, 60.0)
        try:
            with pytest.raises(ProblemError) as failed:
                await predictor.ask("season", 2027, "all", now_s=0.0)
            assert failed.value.problem is Problem.INTERNAL
        finally:
            predictor.close()

    asyncio.run(ask())
