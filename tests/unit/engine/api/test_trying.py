"""What if: who may ask, what is handed over, and a process that is slow, broken or not there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.adapters.store.statements import keep
from engine.api import apart
from engine.api.application import application
from engine.api.problems import Problem, ProblemError
from engine.api.what_if import Trials, TriedChange, moment_of
from engine.api.what_if_documents import WhatIfChoices, WhatIfDocument
from engine.config.api import ApiConfig, WhatIfConfig
from engine.ports.lease import Fence
from engine.ports.store import Kept
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, engine_in

API = "/api/scalability/what-if"
QUICK = "quick_trials:connect"


pytestmark = pytest.mark.usefixtures("factories_on_path")


@pytest.fixture(scope="module")
def trying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    config = ApiConfig(what_if=WhatIfConfig(factory=QUICK))
    made = engine_in(tmp_path_factory.mktemp("engine"), config)
    made.step()
    made.context.desk.database.write(  # type: ignore[attr-defined]
        lambda to: keep(to, Kept("what it knows"), Fence(1))
    ).result()
    yield made
    made.context.trials.close()


@pytest.fixture
def asking(trying: Engine) -> tuple[TestClient, dict[str, str]]:
    client = TestClient(application(trying.context), raise_server_exceptions=False)
    return client, trying.token("pat", Role.OPERATOR)


def test_the_moment_is_handed_over_with_the_memory_and_the_change(
    asking: tuple[TestClient, dict[str, str]],
) -> None:
    client, headers = asking
    there = WhatIfChoices.model_validate(client.get(API, headers=headers).json())
    assert (there.zones, there.services) == (["a", "b"], ["api", "database"])
    body = {
        "zone": "b", "load": {"service": "api", "factor": 3}, "controller": "hpa",
        "pause": {"service": "", "direction": "in"},
        "floor": {"service": "database", "instances": 7},
    }  # fmt: skip
    answer = client.post(API, headers=headers, json=body)
    assert answer.status_code == 200, answer.text
    tried = WhatIfDocument.model_validate(answer.json())
    assert tried.plan.notes == ["what it knows"]
    assert (tried.for_s, tried.plan.services["api"].ready_least) == (7200.0, 4)
    assert tried.changed is not None
    for said in ("zone='b'", "load_service='api'", "load_factor=3.0", "pause_service=''",
                 "floor_service='database'", "floor_instances=7", "controller='hpa'"):  # fmt: skip
        assert said in tried.changed.notes[0]
    alone = client.post(API, headers=headers, json={"for_s": 600})
    assert alone.json()["changed"] is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"load": {"service": "apj", "factor": 3}}, 'load.service: "apj" is not allowed (api'),
        ({"pause": {"service": "apj"}}, 'pause.service: "apj" is not allowed'),
        (
            {"floor": {"service": "api", "instances": 101}},
            "floor.instances: 101 is not allowed (1 … 100)",
        ),
        ({"zone": "z"}, 'zone: "z" is not allowed (a, b)'),
        ({"for_s": 5}, "for_s: 5"),
        ({"lost": "b"}, "lost: unknown key"),
    ],
)
def test_what_is_wrong_with_a_change_is_named(
    asking: tuple[TestClient, dict[str, str]], body: dict[str, object], said: str
) -> None:
    client, headers = asking
    answer = client.post(API, headers=headers, json=body)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(said)


def test_who_may_not_have_things_worked_out_is_refused_and_shown_nothing_of_it(
    trying: Engine, asking: tuple[TestClient, dict[str, str]]
) -> None:
    client, headers = asking
    viewer = trying.token("vic", Role.VIEWER)
    limited = trying.token("eve", Role.PLANNER, services=["api"])
    for refused in (viewer, limited):
        assert client.get(API, headers=refused).status_code == 403
        assert client.post(API, headers=refused, json={}).status_code == 403
        assert client.get("/api/scalability/me", headers=refused).json()["what_if"] is False
    assert client.get("/api/scalability/me", headers=headers).json()["what_if"] is True


def test_where_nothing_can_try_it_out_there_is_no_such_thing(tmp_path: Path) -> None:
    config = ApiConfig(what_if=WhatIfConfig(factory="not_installed_here.asked:connect"))
    made = engine_in(tmp_path, config)
    made.step()
    client = TestClient(application(made.context), raise_server_exceptions=False)
    headers = made.token("pat", Role.OPERATOR)
    assert client.get(API, headers=headers).status_code == 404
    assert client.get("/api/scalability/me", headers=headers).json()["what_if"] is False


def test_a_fault_of_the_simulator_or_its_end_is_nobodys_fault_and_it_begins_anew(
    asking: tuple[TestClient, dict[str, str]],
) -> None:
    client, headers = asking
    broken = client.post(API, headers=headers, json={"controller": "broken"})
    assert (broken.status_code, broken.json()["detail"]) == (500, "it could not be tried out")
    dead = client.post(API, headers=headers, json={"controller": "dead"})
    assert dead.status_code == 503
    assert "retry-after" in dead.headers
    assert client.post(API, headers=headers, json={}).status_code == 200


def test_who_asks_before_it_has_begun_does_not_end_it() -> None:
    async def ask() -> tuple[Mapping[str, Any], object, object]:
        trials = Trials(QUICK, {}, 0.01, most=2)
        try:
            with pytest.raises(ProblemError, match="still being started") as refused:
                await trials.ask("choices")
            assert refused.value.headers == {"retry-after": "5"}
            first = trials._apart._pool
            trials._patience_s = 600.0
            return await trials.ask("choices"), first, trials._apart._pool
        finally:
            trials.close()

    choices, first, last = asyncio.run(ask())
    assert choices["zones"] == ["a", "b"]
    assert first is last is not None


def test_what_does_not_begin_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "BEGINS_S", 0.0)

    async def ask() -> None:
        trials = Trials(QUICK, {}, 0.01, most=2)
        with pytest.raises(ProblemError, match=r"longer than 0\.01 s, so it was given up"):
            await trials.ask("choices")
        assert trials._apart._pool is None

    asyncio.run(ask())


def test_few_wait_at_one_time_and_what_hangs_is_given_up(trying: Engine) -> None:
    look = trying.context.look()

    async def ask() -> list[object]:
        trials = Trials(QUICK, {"slow_s": 600.0}, 600.0, most=2)
        try:
            await trials.ask("choices")  # it has begun, then
            trials._patience_s = 2.0
            question = moment_of(look, ""), TriedChange(), 600.0
            return await asyncio.gather(
                *(trials.ask("tried", *question) for _ in range(3)), return_exceptions=True
            )
        finally:
            trials.close()

    came = asyncio.run(ask())
    assert all(isinstance(one, ProblemError) and one.problem is Problem.BUSY for one in came)
    assert [str(one) for one in came][2] == "2 wait for an answer already"
    assert str(came[0]) == "it takes longer than 2 s, so it was given up"
