"""Emergency access over the API: once, for who has the code, and never in silence."""

from __future__ import annotations

import time
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.api.context import FAILURES
from engine.api.rates import Rates
from engine.security.break_glass import LONGEST_S, BreakGlassError
from tests.unit.engine.api.conftest import Engine

API = "/api/scalability"
PLACE = f"{API}/break-glass"
REASON = "nobody can log in, and guests wait"


def sealed(engine: Engine, holder: str = "pat", for_s: float = LONGEST_S) -> str:
    emergency = engine.context.emergency
    return emergency.seal(holder, now_s=time.time(), sealed_by="ada", for_s=for_s)


def noted(engine: Engine) -> list[tuple[str, str, str]]:
    return [
        (row["actor"], row["outcome"], row["why"])
        for row in engine.rows() if row["action"] == "use break-glass"
    ]  # fmt: skip


def test_a_code_opens_the_engine_once_and_all_of_it_is_written_down(
    client: TestClient, engine: Engine
) -> None:
    code = sealed(engine)
    answer = client.post(PLACE, json={"code": code, "reason": REASON})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    given = answer.json()
    me = client.get(f"{API}/me", headers={"authorization": f"Bearer {given['token']}"}).json()
    assert (me["name"], me["method"]) == ("pat", "break_glass")
    assert me["expires_s"] == pytest.approx(given["expires_s"], abs=1.0)
    again = client.post(PLACE, json={"code": code, "reason": REASON})
    assert again.status_code == 401
    assert "only opens once" in again.json()["detail"]
    assert [row[:2] for row in noted(engine)] == [
        ("pat", "accepted"), ("pat", "accepted"), ("pat", "refused"),
    ]  # fmt: skip
    assert code not in str(engine.rows())
    assert given["token"] not in str(engine.rows())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"reason": "short"}, "reason"),
        ({"reason": "a reason that hides\nanother line"}, "reason"),
        ({"for_s": 3601.0}, "for_s"),
        ({"for_s": 0.0}, "for_s"),
        ({"code": ""}, "code"),
        ({"code": None}, "code"),
        ({"role": "administrator"}, "role"),
    ],
)
def test_what_is_not_allowed_is_named_and_leaves_the_code_sealed(
    client: TestClient, engine: Engine, changes: dict[str, Any], field: str
) -> None:
    code = sealed(engine)
    body = {"code": code, "reason": REASON, **changes}
    answer = client.post(PLACE, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["errors"][0]["field"] == field
    assert code not in answer.text
    assert client.post(PLACE, json={"code": code, "reason": REASON}).status_code == 200


def test_codes_that_are_none_are_written_down_and_soon_not_looked_at(
    client: TestClient, engine: Engine
) -> None:
    engine.context.failures = Rates(FAILURES, lambda: 0.0)  # nothing is let in again meanwhile
    answers = [
        client.post(PLACE, json={"code": f"wtbg_guess_{k}", "reason": REASON}).status_code
        for k in range(40)
    ]
    assert answers[0] == 401 and answers[-1] == 429
    assert {row[:2] for row in noted(engine)} == {("", "refused")}
    # Who has the code comes in all the same.
    assert client.post(PLACE, json={"code": sealed(engine), "reason": REASON}).status_code == 200


def test_what_cannot_be_written_down_opens_nothing(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = sealed(engine)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(engine.context.audit, "append", full)
        assert client.post(PLACE, json={"code": code, "reason": REASON}).status_code == 503
    assert client.post(PLACE, json={"code": code, "reason": REASON}).status_code == 200


def test_a_code_that_has_lain_too_long_opens_nothing(client: TestClient, engine: Engine) -> None:
    code = sealed(engine, for_s=1.0)
    engine.context.wall_s = lambda: time.time() + 10.0
    answer = client.post(PLACE, json={"code": code, "reason": REASON})
    assert answer.status_code == 401
    assert "has lain too long" in answer.json()["detail"]
    with pytest.raises(BreakGlassError):
        engine.context.emergency.use(code, REASON, now_s=time.time() + 10.0)
