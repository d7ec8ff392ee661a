"""Manual actions: what is checked, what is asked for once, and how far they are.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.adapters import cabinet_files
from engine.adapters.store.halves import SqlDesk
from engine.api.application import application
from engine.api.context import FAILURES
from engine.api.idempotency import Replies, Reply, identifier
from engine.api.manual import ManualAction, ManualBook
from engine.api.problems import Problem, ProblemError
from engine.api.rates import Rates
from engine.api.scaling import done_s
from engine.config.api import ApiConfig, RateLimit
from engine.model import (
    ActionResult,
    Budget,
    Category,
    Declined,
    Forecast,
    ManualFloor,
    ManualScale,
    Pause,
    Plan,
    Status,
)
from engine.security.audit.log import AuditLog
from engine.security.four_eyes import Approvals
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, engine_in, recommendation

API = "/api/scalability"
SCALE = f"{API}/actions/scale"


def scales(engine: Engine) -> list[ManualScale]:
    asked, complaints = engine.context.desk.asked()
    assert complaints == []
    return [one.request for one in asked if isinstance(one.request, ManualScale)]


def post(client: TestClient, headers: dict[str, str], path: str = SCALE, **body: Any) -> Any:
    return client.post(path, headers=headers, json=body)


def test_an_action_is_in_the_store_and_the_audit_log_when_the_answer_comes(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    answer = post(client, everybody, service="api", instances=9, why="a campaign", for_s=600.0)
    assert answer.status_code == 202
    content = answer.json()
    assert answer.headers["location"] == f"{API}/actions/{content['id']}"
    assert (content["status"], content["from_instances"], content["to_instances"]) == (
        "requested", 4, 9,
    )  # fmt: skip
    assert content["rollback_plan"]["instances"] == 4
    assert content["cost_per_hour"] == 5.0
    assert scales(engine) == [
        ManualScale(content["id"], "api", 9, engine.now_s + 600.0, "pat", "a campaign", 4)
    ]
    row = engine.rows()[-1]
    assert (row["actor"], row["action"], row["target"], row["outcome"], row["why"]) == (
        "pat", "scale_out", "api", "accepted", "a campaign",
    )  # fmt: skip
    assert (row["before"], row["after"]["instances"]) == ({"instances": 4}, 9)


def test_a_dry_run_does_nothing(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    before = len(engine.rows()) if (engine.state / "audit" / "rows.jsonl").exists() else 0
    answer = post(client, everybody, service="api", instances=9, dry_run=True)
    assert (answer.status_code, answer.json()["dry_run"]) == (200, True)
    assert scales(engine) == []
    assert len(engine.rows() if before else []) == before
    assert client.get(f"{API}/actions/{answer.json()['id']}", headers=everybody).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"service": "api", "instances": 101}, 400, "instances: 101 is not allowed (2 … 100)"),
        ({"service": "api", "instances": 1}, 400, "instances: 1 is not allowed (2 … 100)"),
        ({"service": "apj", "instances": 5}, 400, 'service: "apj" is not allowed (api, database)'),
        ({"service": "api", "instances": -5}, 400, "instances: -5 is not allowed (0 … 10,000,000)"),
        ({"service": "api", "instances": "many"}, 400, 'instances: "many" is not allowed'),
        ({"service": "api"}, 400, "instances: is missing"),
        (
            {"service": "api", "instances": 5, "for_s": 0},
            400,
            "for_s: 0 is not allowed (1 …",
        ),
        ({"service": "api", "instances": 5, "roles": ["administrator"]}, 400, "roles: unknown key"),
        ({"service": "api", "instances": 2}, 409, "api: 3 instances stand for weddings"),
        ({"service": "api", "instances": 40}, 409, "43 instances in all; the quota is 20"),
        ({"service": "database", "instances": 12}, 409, "52.00 USD/h in all; the budget is 30.00"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_is_allowed(
    client: TestClient,
    engine: Engine,
    everybody: dict[str, str],
    body: dict[str, Any],
    *,
    status: int,
    said: str,
) -> None:
    engine.budget = Budget(usd_per_hour=30.0, instances=20)
    engine.step(Plan(floors={"api": 3}))
    answer = post(client, everybody, **body)
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(said)
    assert scales(engine) == []


def test_what_is_over_budget_already_may_become_less(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.budget = Budget(usd_per_hour=5.0, instances=3)
    engine.step(Plan())
    assert post(client, everybody, service="api", instances=3).status_code == 202
    assert post(client, everybody, service="api", instances=5).status_code == 409


def test_who_may_not_is_refused_for_good(client: TestClient, engine: Engine) -> None:
    for name, roles, services, instances in (
        ("vera", [Role.VIEWER], None, 6),
        ("paul", [Role.PLANNER], None, 6),
        ("eve", [Role.OPERATOR], ["database"], 6),
    ):
        answer = post(client, engine.token(name, *roles, services=services),
                      service="api", instances=instances)  # fmt: skip
        assert answer.status_code in (400, 403), name
    assert scales(engine) == []
    asked = [row for row in engine.rows() if row["action"] != "login"]
    assert [row["outcome"] for row in asked] == ["refused", "refused"]
    operator = engine.token("olaf", Role.OPERATOR)
    assert post(client, operator, service="api", instances=3).status_code == 202
    engine.major = True
    engine.step()
    # On a wedding day a stateful service is not for operators to scale in.
    assert post(client, operator, service="database", instances=2).status_code == 403
    assert post(client, operator, service="database", instances=5).status_code == 202


def test_in_an_emergency_nobody_scales_in(client: TestClient, engine: Engine) -> None:
    commander = engine.token("ida", Role.INCIDENT_COMMANDER)
    engine.step(Plan(actions=(action("d1", category=Category.EMERGENCY),)))
    assert post(client, commander, service="api", instances=3).status_code == 403
    assert post(client, commander, service="api", instances=8).status_code == 202


def drowning(engine: Engine) -> dict[str, str]:
    """Headers of an incident commander, while the api drowns and there is no room or money."""
    engine.budget = Budget(usd_per_hour=16.0, instances=7)
    engine.step(Plan(actions=(action("d1", category=Category.EMERGENCY),), floors={"api": 3}))
    return engine.token("ida", Role.INCIDENT_COMMANDER)


def test_in_an_emergency_an_incident_commander_passes_quota_and_budget_with_a_reason(
    client: TestClient, engine: Engine
) -> None:
    commander = drowning(engine)
    more = {"service": "api", "instances": 40, "why": "guests wait"}
    assert post(client, commander, **more).json()["type"] == "urn:wedtwin:problem:beyond-quota"
    done = post(client, commander, **more, override=True)
    assert (done.status_code, done.json()["override"]) == (202, True)
    [scale] = scales(engine)
    assert (scale.instances, scale.override, scale.expires_s) == (40, True, engine.now_s + 3600.0)
    row = engine.rows()[-1]
    assert (row["action"], row["why"], row["after"]["override"]) == (
        "scale_out", "guests wait", True,
    )  # fmt: skip
    # In one step: no rests are counted.
    look = engine.context.look().services["api"]
    boot_s = look.spec.boot.quantile_s(1.645) + look.spec.warmup_s
    late_s = done.json()["estimated_completion_s"] - engine.now_s
    assert late_s == pytest.approx(engine.context.board.settings.cycle_s + boot_s, abs=1.0)
    several = {"changes": [{"service": "api", "instances": 50}], "why": "guests wait"}
    path = f"{API}/actions/orchestrate"
    assert post(client, commander, path, **several).status_code == 409
    assert post(client, commander, path, **several, override=True).status_code == 202
    assert [(one.instances, one.override) for one in scales(engine)] == [(50, True)]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"why": ""}, 400, "why: a count that passes the limits needs a reason"),
        ({"why": " "}, 400, "why: a count that passes the limits needs a reason"),
        ({"for_s": 3601.0}, 400, "for_s: 3601.0 is not allowed (1 … 3,600 with override)"),
        ({"instances": 101}, 400, "instances: 101 is not allowed (2 … 100)"),
        ({"instances": 3}, 403, "ida (incident_commander) may not scale in api (emergency)"),
        ({"service": "database", "instances": 40}, 403,
         "ida (incident_commander) may not override database (calm)"),
    ],
)  # fmt: skip
def test_what_passes_the_limits_has_a_reason_and_an_end_and_goes_up_where_it_drowns(
    client: TestClient, engine: Engine, body: dict[str, Any], status: int, *, said: str
) -> None:
    commander = drowning(engine)
    asked = {"service": "api", "instances": 40, "why": "guests wait", "override": True, **body}
    answer = post(client, commander, **asked)
    assert (answer.status_code, answer.json()["detail"]) == (status, said)
    assert scales(engine) == []


def test_to_fewer_instances_nothing_is_passed_by_anybody(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    commander = engine.token("ida", Role.INCIDENT_COMMANDER)
    engine.major = True
    engine.step(Plan(floors={"api": 4}))
    body = {"service": "api", "instances": 2, "why": "it is a mistake", "override": True}
    for who in (commander, everybody):
        assert post(client, who, **body).status_code == 403
    body["override"] = False
    assert post(client, commander, **body).json()["type"] == "urn:wedtwin:problem:protected"


def test_who_is_no_incident_commander_passes_no_limit(client: TestClient, engine: Engine) -> None:
    drowning(engine)
    body = {"service": "api", "instances": 6, "why": "guests wait", "override": True}
    answer = post(client, engine.token("olaf", Role.OPERATOR), **body)
    assert answer.json()["detail"] == "olaf (operator) may not override api (emergency)"
    assert engine.rows()[-1]["outcome"] == "refused"


def test_under_the_same_key_a_count_that_passes_the_limits_is_another_request(
    client: TestClient, engine: Engine, tmp_path: Any
) -> None:
    commander = {**drowning(engine), "idempotency-key": "k-9"}
    body = {"service": "api", "instances": 4, "why": "guests wait"}
    first = post(client, commander, **body, override=True).json()
    anew = engine_in(tmp_path, ApiConfig())  # it remembers no reply
    anew.step(Plan(actions=(action("d1", category=Category.EMERGENCY),)))
    other = TestClient(application(anew.context))
    assert post(other, commander, **body).status_code == 422
    assert post(other, commander, **body, override=True).json()["id"] == first["id"]


def test_the_same_key_asks_once(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    keyed = {**everybody, "idempotency-key": "k-1"}
    first = post(client, keyed, service="api", instances=9)
    again = post(client, keyed, service="api", instances=9)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert len(scales(engine)) == 1
    other = post(client, keyed, service="api", instances=10)
    assert other.json()["type"] == "urn:wedtwin:problem:key-reused"
    somebody_else = {**engine.token("olaf", Role.OPERATOR), "idempotency-key": "k-1"}
    assert post(client, somebody_else, service="api", instances=10).status_code == 202
    bad = post(client, {**everybody, "idempotency-key": "a b"}, service="api", instances=9)
    assert bad.json()["errors"][0]["field"] == "Idempotency-Key"


def test_a_request_that_failed_may_be_made_again(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    keyed = {**everybody, "idempotency-key": "k-2"}
    assert post(client, keyed, service="api", instances=900).status_code == 400
    assert post(client, keyed, service="api", instances=9).status_code == 202


def test_the_same_key_asks_once_also_of_an_engine_that_was_started_anew(
    client: TestClient, engine: Engine, everybody: dict[str, str], tmp_path: Any
) -> None:
    keyed = {**everybody, "idempotency-key": "k-3"}
    first = post(client, keyed, service="api", instances=9).json()
    anew = engine_in(tmp_path, ApiConfig())
    anew.step()
    other = TestClient(application(anew.context))
    shown = other.get(f"{API}/actions/{first['id']}", headers=everybody).json()
    assert (shown["to_instances"], shown["status"]) == (9, "requested")
    again = post(other, keyed, service="api", instances=9)
    assert (again.status_code, again.json()["id"]) == (202, first["id"])
    assert len(scales(anew)) == 1
    assert post(other, {**everybody, "idempotency-key": "k-3"}, service="api",
                instances=10).status_code == 422  # fmt: skip


def test_while_a_request_is_worked_on_the_same_one_is_not_begun() -> None:
    async def work() -> None:
        replies = Replies(lambda: 0.0)
        begun, finish = asyncio.Event(), asyncio.Event()

        async def slow() -> Reply:
            begun.set()
            await finish.wait()
            return Reply(202, {}, {})

        first = asyncio.create_task(replies.once("pat", "k", {}, slow))
        await begun.wait()
        with pytest.raises(ProblemError) as busy:
            await replies.once("pat", "k", {}, slow)
        assert busy.value.problem is Problem.IN_PROGRESS
        finish.set()
        assert (await first)[1] is False
        assert (await replies.once("pat", "k", {}, slow))[1] is True

    asyncio.run(work())


def test_a_key_is_kept_for_a_day() -> None:
    async def work() -> None:
        now_s = [0.0]
        replies = Replies(lambda: now_s[0])

        async def done() -> Reply:
            return Reply(202, {}, {})

        await replies.once("pat", "k", {}, done)
        now_s[0] = 86_399.0
        assert (await replies.once("pat", "k", {}, done))[1] is True
        now_s[0] = 86_401.0
        assert (await replies.once("pat", "k", {"other": 1}, done))[1] is False

    asyncio.run(work())


def test_an_id_belongs_to_who_used_the_key() -> None:
    assert identifier("pat", "k", "manual") == identifier("pat", "k", "manual")
    assert (
        len({identifier(*each, "manual") for each in (("pat", "k"), ("eve", "k"), ("pa", "tk"))})
        == 3
    )


def test_what_has_changed_since_it_was_looked_at_is_not_scaled(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    etag = client.get(f"{API}/services/api", headers=everybody).headers["etag"]
    engine.step(Plan(floors={"api": 3}))  # a new sample changes nothing that people may change
    seen = {**everybody, "if-match": etag}
    assert post(client, seen, service="api", instances=9, dry_run=True).status_code == 200
    engine.counts["api"] = 5
    engine.step()
    answer = post(client, seen, service="api", instances=9)
    assert (answer.status_code, answer.json()["type"]) == (412, "urn:wedtwin:problem:changed")
    assert (
        post(client, {**everybody, "if-match": "*"}, service="api", instances=9).status_code == 202
    )


def test_it_says_what_may_keep_the_engine_from_it(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.step(pauses=[Pause("api")], floors=[ManualFloor("api", 8, math.inf)])
    answer = post(client, everybody, service="api", instances=4, dry_run=True)
    assert answer.json()["warnings"] == [
        "api: it is paused (all)", "api: a floor of 8 stands", "api: it has 4 already",
    ]  # fmt: skip


# --- how far it is


def test_an_action_is_followed_until_it_is_done(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    made = post(client, everybody, service="api", instances=6).json()["id"]
    scale = scales(engine)[0]

    def status() -> tuple[str, str]:
        shown = client.get(f"{API}/actions/{made}", headers=everybody).json()
        return shown["status"], shown["detail"]

    engine.step(Plan(declined=(Declined(recommendation(scale_id=made), "it is paused"),)),
                scales=[scale])  # fmt: skip
    assert status() == ("held_back", "it is paused")
    engine.step(Plan(awaiting=(action("d1", scale_id=made),)), scales=[scale], awaiting=["d1"])
    assert status() == ("awaiting_approval", "")
    engine.step(Plan(actions=(action("d1", scale_id=made),)), scales=[scale])
    assert status() == ("in_progress", "")
    engine.context.board.result(ActionResult("d1", Status.FAILED, engine.now_s, "no room"))
    assert status() == ("failed", "no room")
    engine.counts["api"] = 6
    engine.step(scales=[scale])
    assert status() == ("completed", "")
    engine.now_s += 4000.0
    engine.step()
    assert status() == ("completed", "")


def test_an_action_that_was_never_done_expires(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    made = post(client, everybody, service="api", instances=6, for_s=60.0).json()["id"]
    engine.now_s += 100.0
    engine.step()
    assert client.get(f"{API}/actions/{made}", headers=everybody).json()["status"] == "expired"


def test_a_later_action_takes_the_place_of_an_earlier_one(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    first = post(client, everybody, service="api", instances=6).json()["id"]
    engine.step(scales=scales(engine))
    second = post(client, everybody, service="api", instances=7).json()["id"]
    engine.step(scales=scales(engine))
    assert client.get(f"{API}/actions/{first}", headers=everybody).json()["status"] == "replaced"
    assert client.get(f"{API}/actions/{second}", headers=everybody).json()["status"] == "requested"


def test_a_rollback_goes_to_the_count_before_and_only_once(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    made = post(client, everybody, service="api", instances=6).json()["id"]
    engine.counts["api"] = 6
    engine.step(scales=scales(engine))
    path = f"{API}/actions/{made}/rollback"
    answer = post(client, everybody, path, why="it was not needed")
    assert (answer.status_code, answer.json()["to_instances"]) == (202, 4)
    shown = client.get(f"{API}/actions/{made}", headers=everybody).json()
    assert (shown["status"], shown["rolled_back_by"]) == ("rolled_back", answer.json()["id"])
    assert [scale.instances for scale in scales(engine)] == [4]
    assert post(client, everybody, path).status_code == 409
    missing = post(client, everybody, f"{API}/actions/manual-{24 * '0'}/rollback")
    assert missing.status_code == 404


def test_several_are_asked_for_together_or_not_at_all(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    path = f"{API}/actions/orchestrate"
    good, bad = {"service": "api", "instances": 6}, {"service": "database", "instances": 1000}
    answer = post(client, everybody, path, changes=[good, bad])
    assert answer.json()["errors"][0]["field"] == "changes.1.instances"
    assert scales(engine) == []
    twice = post(client, everybody, path, changes=[good, good])
    assert twice.json()["errors"][0]["field"] == "changes.1.service"
    done = post(client, everybody, path,
                changes=[good, {"service": "database", "instances": 5}])  # fmt: skip
    assert done.status_code == 202
    # What is called goes before who calls it.
    assert [one["service"] for one in done.json()["actions"]] == ["database", "api"]
    assert len(scales(engine)) == 2


def test_wedding_aware_scaling_gives_what_floors_and_forecasts_ask_for(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    path = f"{API}/actions/wedding-aware"
    engine.step(
        Plan(
            forecasts=(
                Forecast("api", 900.0, 700.0, 800.0, 1000.0),
                Forecast("api", 90_000.0, 7000.0, 8000.0, 10_000.0),  # beyond the next hours
            ),
            floors={"database": 7},
        )
    )
    answer = post(client, everybody, path, dry_run=True)
    targets = {one["service"]: one["to_instances"] for one in answer.json()["actions"]}
    # 800/s take 9, and 5 more to lose a zone of three; 1000/s without that loss take less.
    assert targets == {"api": 14, "database": 7}
    alone = post(client, everybody, path, services=["database"])
    assert [scale.instances for scale in scales(engine)] == [7]
    assert alone.status_code == 202
    engine.counts = {"api": 50, "database": 50}
    engine.step()
    nothing = post(client, everybody, path)
    assert (nothing.status_code, nothing.json()["actions"]) == (200, [])


def test_when_it_should_be_done_counts_steps_rests_and_boots(engine: Engine) -> None:
    service = engine.context.look().services["api"]
    settings = engine.context.board.settings
    boot_s = service.spec.boot.quantile_s(1.645) + 2.0
    assert done_s(service, 4, settings, 0.0) == settings.cycle_s
    assert done_s(service, 6, settings, 0.0) == pytest.approx(settings.cycle_s + boot_s)
    # 4 → 6 → 9 → 10: two rests between three steps.
    assert done_s(service, 10, settings, 0.0) == pytest.approx(settings.cycle_s + 600.0 + boot_s)
    late_s = done_s(service, 10, settings, 0.0, override=True)
    assert late_s == pytest.approx(settings.cycle_s + boot_s)
    # 4 → 2: at most 30 % a step, and at least one.
    assert done_s(service, 2, settings, 0.0) == settings.cycle_s


def test_the_oldest_actions_go() -> None:
    book = ManualBook(2)
    for k in range(3):
        book.add(ManualAction(ManualScale(f"m{k}", "api", 3, 9.0), float(k), 0.0))
    assert book.get("m0") is None
    assert book.get("m2") is not None


# --- approvals


def test_who_asked_does_not_approve(client: TestClient, engine: Engine) -> None:
    asker = engine.token("olaf", Role.OPERATOR, Role.APPROVER)
    other = engine.token("anna", Role.APPROVER)
    made = post(client, asker, service="api", instances=6).json()["id"]
    engine.step(Plan(awaiting=(action("d1", scale_id=made),)), scales=scales(engine),
                awaiting=["d1"])  # fmt: skip
    path = f"{API}/approvals/d1/approve"
    refused = post(client, asker, path)
    assert refused.status_code == 403
    assert "has asked for it" in refused.json()["detail"]
    assert client.get(f"{API}/approvals", headers=other).json()["items"][0]["asked_by"] == "olaf"
    assert post(client, other, path).json()["complete"] is True
    assert post(client, other, f"{API}/approvals/nothing/approve").status_code == 404


def test_a_scale_in_on_a_wedding_day_needs_two(client: TestClient, engine: Engine) -> None:
    engine.major = True
    engine.step(Plan(awaiting=(action("d1", after=3),)), awaiting=["d1"])
    anna, bert = engine.token("anna", Role.APPROVER), engine.token("bert", Role.APPROVER)
    path = f"{API}/approvals/d1/approve"
    first = post(client, anna, path).json()
    assert (first["complete"], first["approvals_needed"]) == (False, 2)
    assert post(client, anna, path).status_code == 403
    listed = client.get(f"{API}/approvals", headers=bert).json()["items"]
    assert listed[0]["approved_by"] == ["anna"]
    # The command line counts the same book.
    book = Approvals(engine.context.desk, cabinet_files.opened(engine.state))
    assert book.so_far("d1").approved_by == ("anna",)
    second = post(client, bert, path).json()
    assert (second["complete"], second["approved_by"]) == (True, ["anna", "bert"])


def test_a_refusal_needs_a_reason_and_is_final(client: TestClient, engine: Engine) -> None:
    engine.step(Plan(awaiting=(action("d1"),)), awaiting=["d1"])
    anna = engine.token("anna", Role.APPROVER)
    assert post(client, anna, f"{API}/approvals/d1/reject").status_code == 400
    assert post(client, anna, f"{API}/approvals/d1/reject", why="a test's load").json()["complete"]
    late = post(client, engine.token("bert", Role.APPROVER), f"{API}/approvals/d1/approve")
    assert late.status_code == 403
    assert "has refused it" in late.json()["detail"]


# --- limits


def test_a_bucket_fills_with_time() -> None:
    now_s = [0.0]
    rates = Rates(RateLimit(per_s=2.0, burst=3), lambda: now_s[0])
    assert [rates.wait_s("pat") for _ in range(4)] == [0, 0, 0, 1]
    assert rates.wait_s("eve") == 0
    now_s[0] = 0.5
    assert [rates.wait_s("pat") for _ in range(2)] == [0, 1]


def test_who_asks_too_often_is_told_when_to_come_again(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.context.reads = Rates(RateLimit(per_s=0.1, burst=2), lambda: 0.0)
    statuses = [client.get(f"{API}/services", headers=everybody).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    late = client.get(f"{API}/services", headers=everybody)
    assert late.headers["retry-after"] == "10"
    other = engine.token("eve", Role.VIEWER)
    assert client.get(f"{API}/services", headers=other).status_code == 200


def test_who_guesses_tokens_is_slowed_and_holds_nobody_else_up(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    wrong = {"authorization": "Bearer wt_000000000000_guess"}
    engine.context.failures = Rates(FAILURES, lambda: 0.0)  # nothing is let in again meanwhile
    statuses = [client.get(f"{API}/services", headers=wrong).status_code for _ in range(40)]
    assert set(statuses) == {401, 429}
    assert client.get(f"{API}/services", headers=everybody).status_code == 200
    assert len([row for row in engine.rows() if row["action"] == "login"]) <= 31


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"content-type": "application/json"}, b"{" * 70_000, 413),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"{}", 415),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({}, b"{}", 415),
        ({"content-type": "application/json"}, b"{", 400),
        ({"content-type": "application/json"}, b"[]", 400),
        ({"content-type": "application/json"}, b"", 400),
        ({"content-type": "application/json"}, b'{"service": "api", "instances": 1e999}', 400),
        ({"content-type": "application/json"}, b"\xff\xfe", 400),
        ({"content-type": "application/json"}, b"[" * 20_000, 400),
    ],
)
def test_a_body_that_is_none_is_refused(
    client: TestClient,
    everybody: dict[str, str],
    headers: dict[str, str],
    content: bytes,
    *,
    status: int,
) -> None:
    answer = client.post(SCALE, headers={**everybody, **headers}, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


def test_what_fails_inside_says_nothing_of_it(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.context.board.look = "no step at all"  # type: ignore[assignment]
    answer = client.get(f"{API}/metrics/realtime", headers=everybody)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:wedtwin:problem:internal")
    assert "attribute" not in answer.text


def test_what_the_log_cannot_take_waits_in_the_store(
    client: TestClient, engine: Engine, everybody: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(AuditLog, "_append", full)
    assert post(client, everybody, service="api", instances=6).status_code == 202
    assert "the disk is full" in engine.context.courier.trouble
    monkeypatch.undo()
    assert engine.context.courier.carry() == 1
    assert engine.context.courier.trouble == ""
    assert [row["after"]["instances"] for row in engine.rows()] == [6]


@pytest.mark.parametrize("path", ["scale", "orchestrate"])
def test_what_the_store_cannot_take_is_not_done_and_the_log_says_so(
    client: TestClient, engine: Engine, everybody: dict[str, str], path: str
) -> None:
    spoil(engine, "api")
    change = {"service": "api", "instances": 6}
    body: dict[str, Any] = {"changes": [change]} if path == "orchestrate" else change
    answer = post(client, everybody, f"{API}/actions/{path}", **body)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:wedtwin:problem:store")
    assert scales(engine) == [] and engine.context.courier.carry() == 0
    assert [row["outcome"] for row in engine.rows() if row["action"] == "scale_out"] == ["failed"]


def spoil(engine: Engine, service: str) -> None:
    """Let the store take no request of one service."""
    desk = engine.context.desk
    assert isinstance(desk, SqlDesk)
    desk.asked()
    desk.database.write(
        lambda to: to.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON requests "
            f"WHEN NEW.service = '{service}' BEGIN SELECT RAISE(ABORT, 'a bad sector'); END"
        )
    ).result()


def test_a_store_that_fails_midway_has_taken_none_of_several(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    spoil(engine, "api")  # which is asked for last, as it calls the database
    changes = [{"service": name, "instances": 6} for name in ("api", "database")]
    answer = post(client, everybody, f"{API}/actions/orchestrate", changes=changes)
    assert answer.status_code == 503
    assert scales(engine) == []
    assert engine.context.desk.history() == []
    outcomes = [row["outcome"] for row in engine.rows() if row["action"] == "scale_out"]
    assert outcomes == ["failed", "failed"]


def test_a_rollback_after_a_restart_goes_to_the_count_of_before(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    made = post(client, everybody, service="api", instances=6).json()["id"]
    engine.context.board.manual = ManualBook(10)  # as of an engine that was started anew
    engine.counts["api"] = 6
    engine.step(scales=scales(engine))
    shown = client.get(f"{API}/actions/{made}", headers=everybody).json()
    assert (shown["from_instances"], shown["rollback_plan"]["instances"]) == (4, 4)
    answer = post(client, everybody, f"{API}/actions/{made}/rollback")
    assert (answer.status_code, answer.json()["to_instances"]) == (202, 4)


def test_what_nobody_knows_the_count_before_is_not_taken_back_to_the_count_of_now(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    made = f"manual-{24 * 'a'}"
    # As the release before wrote it: without the count before.
    engine.context.desk.ask(ManualScale(made, "api", 9, engine.now_s + 600.0, "pat", "a campaign"))
    engine.step(scales=scales(engine))
    shown = client.get(f"{API}/actions/{made}", headers=everybody).json()
    assert (shown["from_instances"], shown["rollback_plan"]["instances"]) == (None, None)
    answer = post(client, everybody, f"{API}/actions/{made}/rollback")
    assert answer.status_code == 409
    assert "nobody knows what api had before" in answer.json()["detail"]
