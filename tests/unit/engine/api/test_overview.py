"""One page over everything: weddings by phase, need, major events, who asks, what is behind it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from engine.api.overview import MajorNeeds
from engine.api.overview import overview as overview_of
from engine.api.routes.metrics import sizes_of
from engine.model import ActionResult, Budget, Declined, Forecast, Plan, Reason, Status
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, recommendation

API = "/api/scalability"


def shown(engine: Engine, *, rate: float = 200.0, **changes: Any) -> dict[str, Any]:
    """The overview of the newest step, with another outlook or other counts."""
    look = engine.context.board.look
    assert look is not None
    outlook = replace(look.outlook, **changes.pop("outlook", {}))
    services = {name: replace(one, **changes.get(name, {})) for name, one in look.services.items()}
    look = replace(look, outlook=outlook, services=services, texts={})
    sizes = sizes_of(engine.context)
    return overview_of(
        look, tuple(services), sizes, engine.context.board.settings,
        waited_for=frozenset(services), needs=MajorNeeds().of(look, sizes),
    )  # fmt: skip


def starts(engine: Engine, after_s: float, events: float = 3.0) -> dict[str, Any]:
    """An outlook in which major events begin `after_s` from now."""
    look = engine.context.board.look
    assert look is not None
    begun = np.zeros(len(look.outlook.events))
    begun[int((look.time_s + after_s - look.outlook.start_s) // 60.0)] = events
    return {"major_starts": begun}


def test_it_has_what_is_asked_what_is_there_and_what_that_needs(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.budget = Budget(usd_per_hour=40.0)
    engine.step(Plan(floors={"api": 3}))
    overview = client.get(f"{API}/overview", headers=everybody).json()
    api, database = overview["services"]["api"], overview["services"]["database"]
    sizes = sizes_of(engine.context)
    assert api["needed"] == max(sizes["api"].needed(200.0, 200.0), 2)
    assert api["carrying"] == sizes["api"].instances(200.0, 0.92) < api["needed"]
    assert (api["ready"], api["cost_per_hour"], api["slo_p95_s"]) == (4, 4.0, 0.5)
    assert (api["user_facing"], database["user_facing"], database["waited_for"]) == (
        True, False, True,
    )  # fmt: skip
    assert api["wedding_floor"] == 3
    assert overview["cost"] == {
        "usd_per_hour": 16.0, "budget_usd_per_hour": 40.0, "instances": 7, "quota": None,
    }  # fmt: skip
    assert overview["weddings"]["in_progress"] == 12.0
    assert overview["weddings"]["ahead"]["events"] == [12.0] * 121
    assert overview["weddings"]["phases"] == []


def test_a_service_without_samples_needs_nobody_knows_what(engine: Engine) -> None:
    for samples in engine.context.board._samples.values():
        samples.__init__(10)  # type: ignore[misc]
    engine.step(samples=0)
    assert shown(engine)["services"]["api"]["needed"] is None


def test_phases_are_those_of_the_present_minute(engine: Engine) -> None:
    outlook = engine.context.board.look.outlook  # type: ignore[union-attr]
    bins = len(outlook.events)
    counts = np.vstack([np.arange(bins, dtype=float), np.full(bins, -1e-9)])
    booked = shown(engine, outlook={"phases": ("ceremony", "party"), "in_phases": counts})
    now = int((engine.now_s - outlook.start_s) // 60.0)
    assert booked["weddings"]["phases"] == [
        {"phase": "ceremony", "in_progress": float(now)},
        {"phase": "party", "in_progress": 0.0},
    ]


def test_outside_the_calendar_nothing_is_claimed(engine: Engine) -> None:
    begin_s = engine.now_s + 86_400.0
    outlook = {"start_s": begin_s, "phases": ("party",), "in_phases": np.ones((1, 2000))}
    weddings = shown(engine, outlook=outlook)["weddings"]
    assert weddings["phases"] == []
    assert weddings["ahead"]["events"] == []


@pytest.mark.parametrize(
    ("after_s", "counts", "state"),
    [
        (1800.0, {"desired": 100, "ready": 100}, "ready"),
        (1800.0, {"desired": 100, "ready": 4, "wedding_floor": 90}, "on_its_way"),
        (1800.0, {"desired": 4, "ready": 4, "wedding_floor": 90}, "late"),
        # So long before nothing has to stand yet; and nothing late that no floor promises.
        (10_000.0, {"desired": 4, "ready": 4, "wedding_floor": 90}, "on_its_way"),
        (1800.0, {"desired": 4, "ready": 4, "wedding_floor": 3}, "on_its_way"),
    ],
)
def test_capacity_for_major_events_is_ready_on_its_way_or_late(
    engine: Engine, after_s: float, counts: dict[str, int], state: str
) -> None:
    (group,) = shown(engine, outlook=starts(engine, after_s), api=counts, database={
        "ready": 100, "desired": 100,
    })["majors"]  # fmt: skip
    assert (group["state"], group["events"]) == (state, 3.0)
    assert group["due_s"] == group["at_s"] - 7200.0
    assert [one["service"] for one in group["short"]] == ([] if state == "ready" else ["api"])


def test_what_has_begun_or_begins_in_half_a_day_is_not_on_the_board(engine: Engine) -> None:
    assert shown(engine, outlook=starts(engine, -600.0))["majors"] == []
    assert shown(engine, outlook=starts(engine, 43_200.0))["majors"] == []


def test_the_need_follows_the_forecasts_as_they_depart_from_what_is_booked(engine: Engine) -> None:
    at = starts(engine, 3600.0)
    engine.step(Plan(forecasts=(Forecast("api", 3600.0, 300.0, 400.0, 500.0),)))
    (group,) = shown(engine, outlook=at)["majors"]
    sizes = sizes_of(engine.context)
    needed = {one["service"]: one["needed"] for one in group["short"]}
    assert needed["api"] == sizes["api"].needed(500.0, 400.0)
    likely = 200.0 * math.exp(1.2815515655446004 * 0.05)
    assert needed["database"] == sizes["database"].needed(likely, 200.0)


def test_needs_are_worked_out_anew_only_with_new_forecasts_or_another_calendar(
    engine: Engine,
) -> None:
    sizes, needs = sizes_of(engine.context), MajorNeeds()
    look = engine.context.board.look
    assert look is not None
    look = replace(look, outlook=replace(look.outlook, **starts(engine, 3600.0)))
    first = needs.of(look, sizes)[0]
    assert needs.of(replace(look, time_s=look.time_s + 5.0), sizes)[0] is first
    assert needs.of(replace(look, forecast_s=look.time_s + 60.0), sizes)[0] is not first
    assert needs.of(replace(look, outlook=replace(look.outlook)), sizes)[0] is not first
    assert needs.of(replace(look, time_s=look.time_s + 4000.0), sizes) == ()


def test_a_moment_that_is_over_looks_as_it_did(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    for k in range(20):
        engine.rate = 100.0 + k
        engine.counts = {"api": 4 + k, "database": 3}
        engine.now_s += 55.0
        engine.budget = Budget(usd_per_hour=40.0 + k)
        engine.step(Plan(floors={"api": k}))
    newest = client.get(f"{API}/overview", headers=everybody).json()
    then_s = int(newest["last_updated_s"]) - 180
    then = client.get(f"{API}/overview", headers=everybody, params={"at": then_s}).json()
    steps = newest["step"] - then["step"]
    assert then["last_updated_s"] <= then_s < then["last_updated_s"] + 60.0
    k = 19 - steps
    api = then["services"]["api"]
    assert (api["desired"], api["wedding_floor"]) == (4 + k, k)
    assert api["sample"]["request_rate"] == 100.0 + k
    assert then["cost"]["budget_usd_per_hour"] == 40.0 + k
    assert then["weddings"]["in_progress"] == 12.0
    assert then["majors"] == []
    assert set(then) == set(newest)


def test_a_moment_of_which_nothing_is_kept_is_named(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    for at in (1, 4_000_000_000):
        answer = client.get(f"{API}/overview", headers=everybody, params={"at": at})
        assert answer.status_code == 404
        assert "they reach from 2026-06-19T12:00" in answer.json()["detail"]


def test_who_is_limited_to_some_services_sees_and_pays_for_those_alone(
    client: TestClient, engine: Engine
) -> None:
    headers = engine.token("ann", Role.VIEWER, services=["api"])
    overview = client.get(f"{API}/overview", headers=headers).json()
    assert list(overview["services"]) == ["api"]
    assert overview["cost"]["usd_per_hour"] == 4.0
    assert client.get(f"{API}/me", headers=headers).json()["services"] == ["api"]


def test_the_same_step_is_sent_once(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    first = client.get(f"{API}/overview", headers=everybody)
    again = client.get(
        f"{API}/overview", headers={**everybody, "if-none-match": first.headers["etag"]}
    )
    assert again.status_code == 304
    engine.step()
    assert client.get(f"{API}/overview", headers=everybody).headers["etag"] != first.headers["etag"]


def test_who_asks_is_told_who_he_is_and_what_he_may_do(client: TestClient, engine: Engine) -> None:
    me = client.get(f"{API}/me", headers=engine.token("ann", Role.OPERATOR)).json()
    assert (me["name"], me["roles"], me["method"]) == ("ann", ["operator"], "token")
    assert "scale_in" in me["may"]["stateful"]["calm"]
    assert "scale_in" not in me["may"]["stateful"]["wedding_day"]
    assert "pause" not in me["may"]["stateless"]["emergency"]
    assert "approve" not in str(me["may"])
    assert "pause" not in me["may"]["platform"]["calm"]


# --- what is behind a decision


def background(client: TestClient, headers: dict[str, str], decision_id: str) -> Any:
    answer = client.get(f"{API}/decisions/{decision_id}/background", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_was_wanted_in_the_same_step_and_why_it_was_declined(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(declined=(Declined(recommendation(target=9), "an older one"),)))
    other = recommendation("database")
    engine.step(Plan(
        taken=(recommendation(), other), actions=(action("d1"),),
        declined=(Declined(recommendation(target=50), "the quota"),),
    ))  # fmt: skip
    behind = background(client, everybody, "d1")
    assert [(one["to_instances"], one["outcome"], one["why"]) for one in behind["wanted"]] == [
        (50, "declined", "the quota"), (6, "taken", ""),
    ]  # fmt: skip
    assert behind["rollback_plan"] == {"service": "api", "instances": 4}
    assert behind["decision"]["decision_id"] == "d1"


def test_a_decision_of_a_service_that_one_may_not_see_is_not_there(
    client: TestClient, engine: Engine
) -> None:
    engine.step(Plan(actions=(action("d1", "database"),)))
    for decision_id in ("d1", "none"):
        answer = client.get(
            f"{API}/decisions/{decision_id}/background",
            headers=engine.token("ann", Role.VIEWER, services=["api"]),
        )
        assert answer.status_code == 404


def done(engine: Engine, decision_id: str, status: Status = Status.COMPLETED) -> None:
    engine.context.board.result(ActionResult(decision_id, status, engine.now_s))


def test_a_step_is_under_way_then_watched_then_it_held(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(actions=(action("d1"),)))

    def state() -> tuple[str, float | None]:
        verification = background(client, everybody, "d1")["verification"]
        return verification["state"], verification["until_s"]

    assert state() == ("under_way", None)
    done(engine, "d1", Status.ACCEPTED)
    assert state() == ("under_way", None)
    done(engine, "d1")
    until_s = engine.now_s + 360.0
    assert state() == ("watched", until_s)
    engine.now_s = until_s - 5.0
    engine.step()
    assert state() == ("held", until_s)


def test_a_step_that_was_taken_back_names_the_one_that_did_it(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(actions=(action("d1"),)))
    done(engine, "d1")
    engine.now_s += 100.0
    evidence = {"from": 6.0, "back_to": 4.0}
    undone = action("d2", before=6, after=4, reason=Reason.ROLLBACK, evidence=evidence)
    engine.step(Plan(actions=(undone,)))
    done(engine, "d2")
    verification = background(client, everybody, "d1")["verification"]
    assert (verification["state"], verification["by"]) == ("taken_back", "d2")


def test_a_step_before_another_one_was_not_judged_and_a_failed_one_neither(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(actions=(action("d1"), action("d3", "database"))))
    done(engine, "d1")
    done(engine, "d3", Status.FAILED)
    engine.now_s += 100.0
    engine.step(Plan(actions=(action("d2", before=6, after=8),)))
    assert background(client, everybody, "d1")["verification"]["state"] == "watched"
    done(engine, "d2")
    assert background(client, everybody, "d1")["verification"]["state"] == "overtaken"
    assert background(client, everybody, "d3")["verification"]["state"] == "not_carried_out"


def test_a_question_says_when_it_is_over_and_readiness_who_leads(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(awaiting=(action("d1"),)), awaiting=["d1"])
    (row,) = client.get(f"{API}/approvals", headers=everybody).json()["items"]
    assert row["expires_s"] == engine.now_s + 900.0
    assert client.get(f"{API}/readiness").json()["lead"] == 1
