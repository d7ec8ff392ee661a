"""What is read: figures, validators, pages, and the limits of what somebody may see.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from starlette.testclient import TestClient

from engine.adapters.store import statements
from engine.adapters.store.halves import SqlDesk
from engine.api.answers import below, cursor_of
from engine.api.problems import ProblemError
from engine.api.routes.exposition import (
    FAMILIES,
    FINDINGS,
    INCIDENTS,
    LOOKS,
    OWN_LOAD,
    UNDELIVERED,
)
from engine.api.routes.metrics import line
from engine.api.samples import BLOCK, Samples
from engine.model import SAMPLE_DTYPE, SAMPLE_FIELDS, ActionResult, Budget, Plan, Status
from engine.ports.lease import Fence
from engine.ports.store import Kept
from engine.runtime.outbox import Outbox
from engine.runtime.own_load import OwnLoad
from engine.security.roles import Role
from tests.unit.engine.api.conftest import NOW_S, Engine, action, recommendation

API = "/api/scalability"
READ = (
    "/metrics/realtime", "/metrics/analysis", "/predictions/capacity", "/bottlenecks", "/services",
    "/services/api", "/decisions", "/troubles", "/approvals", "/floors", "/pauses",
    "/recommendations",
)  # fmt: skip


@pytest.mark.parametrize("path", READ)
def test_nobody_reads_without_showing_who_he_is(client: TestClient, path: str) -> None:
    answer = client.get(API + path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", READ)
def test_who_may_only_look_at_weddings_sees_nothing(
    client: TestClient, engine: Engine, path: str
) -> None:
    assert (
        client.get(API + path, headers=engine.token("ann", Role.PRIVACY_OFFICER)).status_code == 403
    )
    assert engine.rows()[-1]["outcome"] == "refused"


@pytest.mark.parametrize("path", READ)
def test_everybody_else_gets_an_answer_before_the_first_step_only_where_there_is_one(
    client: TestClient, engine: Engine, everybody: dict[str, str], path: str
) -> None:
    assert client.get(API + path, headers=everybody).status_code == 200
    engine.context.board.look = engine.context.board.shown = None
    assert client.get(API + path, headers=everybody).status_code in (200, 503)


def test_now_has_figures_trends_forecasts_and_weddings(
    client: TestClient, everybody: dict[str, str]
) -> None:
    now = client.get(f"{API}/metrics/realtime?timeRange=5m", headers=everybody).json()
    assert now["last_updated_s"] == NOW_S + 5.0
    api = now["services"]["api"]
    assert (api["desired"], api["ready"], api["wedding_floor"]) == (4, 4, 3)
    assert api["sample"]["request_rate"] == 200.0
    assert api["sample"]["p95_s"] is None  # not measured is null, not NaN
    assert api["sample_age_s"] == 1.0
    # From 0.3 to 0.6 in 55 s.
    assert api["trends"]["cpu"]["per_minute"] == pytest.approx(0.3 / 55.0 * 60.0, rel=1e-4)
    assert api["trends"]["cpu"]["direction"] == "rising"
    assert api["trends"]["request_rate"]["direction"] == "steady"
    assert api["trends"]["p95_s"]["direction"] == "unknown"
    assert api["predictions"] == [
        {"horizon_s": 900.0, "at_s": NOW_S + 905.0, "q10": 150.0, "q50": 220.0, "q90": 300.0}
    ]
    assert now["wedding_context"]["in_progress"] == 12.0
    assert now["wedding_context"]["protection"] is False


def test_forecasts_and_floors_stay_between_two_cycles(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(cycle=False))
    api = client.get(f"{API}/metrics/realtime", headers=everybody).json()["services"]["api"]
    assert api["wedding_floor"] == 3
    assert api["predictions"][0]["at_s"] == NOW_S + 905.0


def test_a_series_has_what_was_sampled_and_nothing_besides(
    client: TestClient, everybody: dict[str, str]
) -> None:
    path = f"{API}/metrics/realtime?services=api&timeRange=2m"
    series = client.get(path, headers=everybody).json()["services"]["api"]["series"]
    assert len(series["time_s"]) == len(series["cpu"]) == 60
    assert series["time_s"][-1] == NOW_S + 5.0
    there = [value for value in series["cpu"] if value is not None]
    # Samples of one minute in parts of 2 s: the first half of the range has none.
    assert len(there) == 12
    assert all(value is None for value in series["cpu"][:29])
    assert there[-1] == 0.6
    # Half a minute ago it ended with an earlier sample; what is to come has not been sampled.
    for until, last_s, samples in ((NOW_S - 25, NOW_S - 25, 6), (NOW_S + 900, NOW_S + 5, 12)):
        then = client.get(f"{path}&until={until:.0f}", headers=everybody).json()
        series = then["services"]["api"]["series"]
        assert series["time_s"][-1] == last_s
        assert sum(value is not None for value in series["cpu"]) == samples


def test_an_answer_that_has_not_changed_is_not_sent_again(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    path = f"{API}/metrics/realtime"
    first = client.get(path, headers=everybody)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    for condition in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = client.get(path, headers={**everybody, "if-none-match": condition})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert client.get(path, headers={**everybody, "if-none-match": '"x"'}).status_code == 200
    engine.step()
    later = client.get(path, headers={**everybody, "if-none-match": etag})
    assert later.status_code == 200
    assert later.headers["etag"] != etag


def test_one_step_is_encoded_once_for_all(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    look = engine.context.look()
    for _ in range(3):
        client.get(f"{API}/metrics/realtime?services=api,database", headers=everybody)
        client.get(f"{API}/metrics/realtime", headers=everybody)
    assert len(look.texts) == 1


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("services=apj", 'services: "apj" is not allowed (api, database); did you mean api?'),
        ("services=api,", 'services: "" is not allowed (api, database)'),
        ("timeRange=3y", 'timeRange: "3y" is not allowed (1m … 1d, such as 90s, 15m, 2h)'),
        ("timeRange=10s", 'timeRange: "10s" is not allowed (1m … 1d, such as 90s, 15m, 2h)'),
        ("timeRange=99d", 'timeRange: "99d" is not allowed (1m … 1d, such as 90s, 15m, 2h)'),
        ("timerange=15m", "timerange: unknown parameter; did you mean timeRange?"),
        ("timeRange=15m&timeRange=1h", "timeRange: it is there more than once"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    client: TestClient, everybody: dict[str, str], query: str, said: str
) -> None:
    answer = client.get(f"{API}/metrics/realtime?{query}", headers=everybody)
    assert answer.status_code == 400
    problem = answer.json()
    assert problem["detail"] == said
    assert problem["errors"][0]["field"] == query.partition("=")[0]
    assert problem["type"] == "urn:wedtwin:problem:invalid"


def test_who_is_limited_to_some_services_sees_those_alone(
    client: TestClient, engine: Engine
) -> None:
    limited = engine.token("eve", Role.VIEWER, services=["database"])
    engine.step(
        Plan(actions=(action("d1"), action("d2", "database"))),
        troubles={"metrics": ["api is silent", "database is silent"], "store": ["it is slow"]},
    )
    assert list(client.get(f"{API}/metrics/realtime", headers=limited).json()["services"]) == [
        "database"
    ]
    assert client.get(f"{API}/metrics/realtime?services=api", headers=limited).status_code == 400
    assert client.get(f"{API}/services/api", headers=limited).status_code == 404
    assert [s["name"] for s in client.get(f"{API}/services", headers=limited).json()["items"]] == [
        "database"
    ]
    items = client.get(f"{API}/decisions", headers=limited).json()["items"]
    assert {row["service"] for row in items} == {"database"}
    assert client.get(f"{API}/decisions/d1", headers=limited).status_code == 404
    assert client.get(f"{API}/decisions/d2", headers=limited).status_code == 200
    assert client.get(f"{API}/troubles", headers=limited).json()["troubles"] == {
        "metrics": ["database is silent"]
    }
    assert b'service="api"' not in client.get("/metrics", headers=limited).content


def test_a_revoked_token_stops_at_the_next_request(client: TestClient, engine: Engine) -> None:
    headers = engine.token("max", Role.VIEWER)
    assert client.get(f"{API}/services", headers=headers).status_code == 200
    engine.tokens.revoke("max", time.time())
    assert client.get(f"{API}/services", headers=headers).status_code == 401
    assert engine.rows()[-1]["action"] == "login"


# --- decisions


def test_pages_do_not_shift_while_new_decisions_come(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    for k in range(7):
        engine.step(Plan(actions=(action(f"d{k}"),)))
    first = client.get(f"{API}/decisions?limit=3&kind=action", headers=everybody).json()
    assert [row["decision_id"] for row in first["items"]] == ["d6", "d5", "d4"]
    engine.step(Plan(actions=(action("d7"),)))
    second = client.get(
        f"{API}/decisions?limit=3&kind=action&cursor={first['next']}", headers=everybody
    ).json()
    assert [row["decision_id"] for row in second["items"]] == ["d3", "d2", "d1"]
    last = client.get(
        f"{API}/decisions?limit=3&kind=action&cursor={second['next']}", headers=everybody
    ).json()
    assert [row["decision_id"] for row in last["items"]] == ["d0"]
    assert last["next"] is None


def test_a_decision_says_what_became_of_it(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(taken=(recommendation(),), actions=(action("d1"),)))
    board = engine.context.board
    board.result(ActionResult("d1", Status.ACCEPTED, NOW_S + 6.0))
    board.result(ActionResult("d1", Status.COMPLETED, NOW_S + 9.0))
    board.result(ActionResult("elsewhere", Status.COMPLETED, NOW_S + 9.0))
    row = client.get(f"{API}/decisions/d1", headers=everybody).json()
    assert (row["outcome"], row["accepted_s"], row["completed_s"]) == (
        "completed", NOW_S + 6.0, NOW_S + 9.0,
    )  # fmt: skip
    assert row["evidence"] == {"cpu": 0.9, "unknown": None}
    board.result(ActionResult("d1", Status.FAILED, NOW_S + 10.0, "no room"))
    assert client.get(f"{API}/decisions/d1", headers=everybody).json()["why"] == "no room"


def test_an_action_that_was_asked_about_is_one_decision(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(awaiting=(action("d1"),)), awaiting=["d1"])
    engine.step(Plan(actions=(action("d1"),)))
    items = client.get(f"{API}/decisions", headers=everybody).json()["items"]
    assert [(row["decision_id"], row["outcome"]) for row in items] == [("d1", "requested")]


@pytest.mark.parametrize("cursor", ["zz", "bg", "n5", "bjU=", "bjA1", "=", "é"])
def test_a_cursor_that_nobody_was_given_is_refused(cursor: str) -> None:
    with pytest.raises(ProblemError, match="cursor: "):
        below(cursor)


def test_a_cursor_says_its_number_again() -> None:
    assert [below(cursor_of(n)) for n in (1, 7, 10**9)] == [("n", 1), ("n", 7), ("n", 10**9)]
    assert below(cursor_of(7, "p")) == ("p", 7)
    assert below("") is None


# --- the engine itself


def test_the_engine_is_ready_while_it_steps(client: TestClient, engine: Engine) -> None:
    assert client.get(f"{API}/readiness").json()["ready"] is True
    engine.context.wall_s = lambda: 4e9
    answer = client.get(f"{API}/readiness")
    assert answer.status_code == 503
    assert "last step was" in answer.json()["reason"]
    assert client.get(f"{API}/health").status_code == 200


def idle(engine: Engine) -> None:
    """It shows itself without a lead, as its shell does at each step."""
    engine.context.board.status(
        {"time_s": engine.now_s, "acts": True, "lead": 0, "steps": 0, "skipped": 3, "leads": False,
         "awaiting": [], "troubles": {"lease": ("the database is away",)}}
    )  # fmt: skip


def test_an_engine_that_never_led_says_what_it_waits_for(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.context.board.look = None
    idle(engine)
    ready = client.get(f"{API}/readiness")
    # Whoever has shown no token is not told which database it is.
    assert (ready.status_code, ready.json()["reason"]) == (
        503, "it does not lead; GET troubles says why",
    )  # fmt: skip
    troubles = client.get(f"{API}/troubles", headers=everybody)
    assert (troubles.status_code, troubles.json()["troubles"]) == (
        200, {"lease": ["the database is away"]},
    )  # fmt: skip
    for path in ("services", "overview", "alerts", "findings", "metrics/realtime", "approvals"):
        answer = client.get(f"{API}/{path}", headers=everybody)
        assert (answer.status_code, answer.json()["type"]) == (
            503, "urn:wedtwin:problem:not-ready",
        ), path  # fmt: skip
        assert "it does not lead; GET troubles says why" in answer.json()["detail"]
    assert 'wedtwin_troubles{source="lease"} 1.0' in client.get("/metrics", headers=everybody).text
    engine.step()
    assert client.get(f"{API}/readiness").json()["ready"] is True


def test_an_engine_that_leads_no_longer_is_not_ready_and_shows_what_it_saw_last(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(Plan(awaiting=(action("d1"),)), awaiting=["d1"])
    idle(engine)
    assert client.get(f"{API}/readiness").status_code == 503
    assert client.get(f"{API}/services", headers=everybody).status_code == 200
    # What waits is the other engine's to say, and to be told of.
    assert client.get(f"{API}/approvals", headers=everybody).status_code == 503
    answer = client.post(f"{API}/approvals/d1/approve", headers=everybody, json={})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:wedtwin:problem:not-ready")


def test_troubles_are_those_of_the_newest_step(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    counted_s = {"api": NOW_S + 9.5, "database": NOW_S + 2.0}
    engine.step(troubles={"metrics": ("it is silent",)}, counted_s=counted_s)
    answer = client.get(f"{API}/troubles", headers=everybody).json()
    assert answer == {
        "as_of_s": NOW_S + 10.0, "troubles": {"metrics": ["it is silent"]}, "bookings": None,
        "counted_s": counted_s,
    }  # fmt: skip
    limited = engine.token("sam", Role.VIEWER, services=["database"])
    answer = client.get(f"{API}/troubles", headers=limited).json()
    assert (answer["troubles"], answer["counted_s"]) == ({}, {"database": NOW_S + 2.0})
    engine.step()  # an infrastructure that says of no count how old it is
    assert client.get(f"{API}/troubles", headers=everybody).json()["counted_s"] == {}


def test_what_cannot_be_noted_is_shown_all_the_same(engine: Engine) -> None:
    engine.notes.failing = True
    number = engine.context.look().number
    with pytest.raises(OSError, match="the disk is full"):
        engine.step()
    assert engine.context.look().number == number + 1


def test_figures_for_prometheus(client: TestClient, everybody: dict[str, str]) -> None:
    text = client.get("/metrics", headers=everybody).text
    assert 'wedtwin_instances{service="api",what="ready"} 4.0' in text
    assert 'wedtwin_wedding_floor{service="api"} 3.0' in text
    shown = set(re.findall(r"^# HELP (\w+) ", text, re.M))
    # There is no monitor here, and no word of the engine's own load.
    watched = {LOOKS, UNDELIVERED, FINDINGS, INCIDENTS, *OWN_LOAD}
    assert shown == {
        f"{one.name}_total" if one.counts else one.name for one in set(FAMILIES) - watched
    }
    assert client.get("/metrics").status_code == 401


def test_capacity_is_the_engines_own_sizing(client: TestClient, everybody: dict[str, str]) -> None:
    api = client.get(f"{API}/predictions/capacity", headers=everybody).json()["services"]["api"]
    # 300 requests/s are 30 busy slots of 10: 3 instances, and room for the queue and a zone.
    assert api["needed"][0]["instances"] == 5


def test_the_bottleneck_is_what_can_grow_least(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.budget = Budget(instances=8)
    engine.step()
    answer = client.get(f"{API}/bottlenecks", headers=everybody).json()
    assert answer["bottleneck"] == "database"
    row = answer["services"][0]
    # Seven are there, eight may be: one more than its three.
    assert (row["limited_by"], row["carried_at_most"]) == ("quota", pytest.approx(0.92 * 4 * 100))


# --- samples


def rows(*times_s: float) -> Any:
    table = np.zeros((len(times_s), len(SAMPLE_FIELDS)))
    table[:, 0] = times_s
    return table


def test_samples_come_once_and_in_their_order() -> None:
    samples = Samples(100)
    samples.add(rows(1.0, 2.0, 3.0))
    samples.add(rows(2.0, 3.0, 4.0))
    assert samples.view().since(0.0)[:, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert samples.view().since(2.0)[:, 0].tolist() == [3.0, 4.0]
    assert samples.view().since(9.0).shape == (0, len(SAMPLE_FIELDS))


def test_a_view_does_not_change_while_samples_come() -> None:
    samples = Samples(10)
    samples.add(rows(*range(5)))
    view = samples.view()
    samples.add(rows(*range(5, 3 * BLOCK)))
    assert view.since(-1.0)[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_samples_go_on_when_the_clock_is_set_back() -> None:
    samples = Samples(100)
    samples.add(rows(1000.0, 1005.0))
    view = samples.view()
    samples.add(rows(400.0, 405.0))
    samples.add(rows(405.0, 410.0))
    assert samples.view().since(0.0)[:, 0].tolist() == [400.0, 405.0, 410.0]
    assert view.since(0.0)[:, 0].tolist() == [1000.0, 1005.0]


def test_the_oldest_samples_go() -> None:
    samples = Samples(BLOCK)
    samples.add(rows(*range(5 * BLOCK)))
    kept = samples.view().since(-1.0)
    assert BLOCK <= len(kept) <= 2 * BLOCK
    assert kept[-1, 0] == 5 * BLOCK - 1


def test_a_line_has_the_slope_of_its_values() -> None:
    times = np.arange(10.0)
    slope, error = line(times, 3.0 + 0.5 * times)
    assert slope == pytest.approx(0.5)
    assert error == pytest.approx(0.0, abs=1e-12)
    assert line(np.ones(3), np.arange(3.0)) == (0.0, 0.0)
    slope, error = line(times, np.array([0.0, 1.0] * 5))
    assert abs(slope) < 2.0 * error
    assert not math.isnan(error)


def kept_in_the_store(engine: Engine, *numbers: int) -> None:
    """Actions with what became of them, as a step keeps them."""
    outbox = Outbox()
    for k in numbers:
        one = replace(action(f"d{k}", "api" if k % 2 else "database"), decided_s=NOW_S + k)
        outbox.decided((one,), "acts")
        outbox.intend((one,), NOW_S + k)
        outbox.result(ActionResult(f"d{k}", Status.ACCEPTED, NOW_S + k + 1.0))
        outbox.result(ActionResult(f"d{k}", Status.COMPLETED, NOW_S + k + 2.0))
    desk = engine.context.desk
    assert isinstance(desk, SqlDesk)
    kept = Kept(rows=outbox.rows(NOW_S))
    desk.database.write(lambda to: statements.keep(to, kept, Fence(1))).result()


def test_what_waits_for_people_is_asked_by_an_engine_that_was_started_anew(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    outbox = Outbox()
    asked = action("d1", after=3, scale_id="manual-1")
    outbox.decided((asked,), "asks")
    desk = engine.context.desk
    assert isinstance(desk, SqlDesk)
    kept = Kept(rows=outbox.rows(NOW_S))
    desk.database.write(lambda to: statements.keep(to, kept, Fence(1))).result()
    engine.step(awaiting=["d1", "not-kept"])
    listed = client.get(f"{API}/approvals", headers=everybody).json()["items"]
    assert [(one["decision_id"], one["scale_id"], one["outcome"]) for one in listed] == [
        ("d1", "manual-1", "awaiting")
    ]
    assert "awaiting_approval 2.0" in client.get("/metrics", headers=everybody).text
    only_database = engine.token("dora", Role.APPROVER, services=["database"])
    assert client.get(f"{API}/approvals", headers=only_database).json()["items"] == []
    path = f"{API}/approvals/d1/approve"
    assert client.post(path, headers=only_database, json={}).status_code == 404
    answer = client.post(path, headers=everybody, json={})
    assert (answer.status_code, answer.json()["complete"]) == (200, True)
    engine.step()  # what nobody waits for any more is answered by nobody
    assert client.post(path, headers=everybody, json={}).status_code == 404


def paged(client: TestClient, headers: dict[str, str], query: str) -> list[dict[str, Any]]:
    items, cursor = [], ""
    for _ in range(100):
        page = client.get(f"{API}/decisions?{query}&cursor={cursor}", headers=headers).json()
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = page["next"]
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
@pytest.mark.parametrize("remembered", [0, 1, 5])
def test_pages_go_on_in_the_store_where_the_engine_remembers_no_more(
    client: TestClient, engine: Engine, everybody: dict[str, str], limit: int, *, remembered: int
) -> None:
    kept_in_the_store(engine, *range(1, 12))
    new = [f"d{k}" for k in range(12 - remembered, 12)]
    for name in new:
        engine.step(Plan(actions=(action(name),), taken=(recommendation(),)))
    items = paged(client, everybody, f"limit={limit}&kind=action")
    assert [one["decision_id"] for one in items] == [f"d{k}" for k in range(11, 0, -1)]
    assert all(one["number"] is None for one in items[remembered:])
    assert items[-1]["outcome"] == "completed"
    assert (items[-1]["accepted_s"], items[-1]["completed_s"]) == (NOW_S + 2.0, NOW_S + 3.0)
    if remembered == 0:
        alone = paged(client, everybody, f"limit={limit}&service=database")
        assert [one["decision_id"] for one in alone] == ["d10", "d8", "d6", "d4", "d2"]


def test_an_old_decision_is_found_by_its_id_by_who_may_see_it(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    kept_in_the_store(engine, 1, 2)
    row = client.get(f"{API}/decisions/d1", headers=everybody).json()
    assert (row["outcome"], row["service"], row["to_instances"]) == ("completed", "api", 6)
    limited = engine.token("lim", Role.VIEWER, services=["database"])
    assert client.get(f"{API}/decisions/d1", headers=limited).status_code == 404
    assert client.get(f"{API}/decisions/d2", headers=limited).status_code == 200
    shown = paged(client, limited, "limit=10")
    assert [one["decision_id"] for one in shown] == ["d2"]


def test_the_engines_own_load_has_the_names_that_staging_workers_use(
    client: TestClient, engine: Engine, repository: Path
) -> None:
    headers = engine.token("prometheus", Role.VIEWER)
    assert b"wedtwin_slots" not in client.get("/metrics", headers=headers).content
    own = OwnLoad(lambda: 2.5)
    windows = {"api": np.zeros(1, SAMPLE_DTYPE), "database": np.zeros(1, SAMPLE_DTYPE)}
    own.take_up(windows)
    own.stepped(NOW_S, NOW_S + 0.3, left_out=2, sample_s=5.0)
    shown = engine.context.board.shown
    assert shown is not None
    engine.context.board.status({**shown.status, "load": own.shown()})
    page = client.get("/metrics", headers=headers).text
    lines = [line for line in page.splitlines() if line.startswith("wedtwin_")]
    samples = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    assert samples["wedtwin_slots"] == 1.0
    assert samples["wedtwin_slots_busy_seconds_total"] == 2.5
    due = samples["wedtwin_requests_total"]
    assert due == pytest.approx(2 / 5.0 * min(engine.context.wall_s() - NOW_S - 0.3, 15.0))
    assert samples['wedtwin_responses_total{outcome="served"}'] == 2.0
    assert samples["wedtwin_queue_depth"] == 4.0
    assert samples['wedtwin_response_seconds_bucket{le="+Inf"}'] == 2.0
    assert samples['wedtwin_response_seconds_bucket{le="0.259493"}'] == 0.0
    assert samples['wedtwin_response_seconds_bucket{le="0.389239"}'] == 2.0
    assert samples["wedtwin_response_seconds_sum"] == pytest.approx(0.6)
    read = yaml.safe_load((repository / "conf/metrics/scrape.yaml").read_text())["figures"]
    there = {name.partition("{")[0] for name in samples}
    assert {figure for figure, rule in read.items() if rule["metric"] not in there} == {"memory"}
