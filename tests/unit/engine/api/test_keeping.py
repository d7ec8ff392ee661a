"""`GET metrics/range`: what is kept of a figure's series, in pages, and what may be asked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from engine.client import EngineClient
from engine.config.strict import validated
from engine.ingest.settings import SamplesConfig
from engine.ingest.sources import SamplesSource
from engine.security.roles import Role
from tests.unit.engine.api.conftest import SPECS, Engine

URL = "/api/scalability/metrics/range"


@pytest.fixture
def keeping(engine: Engine) -> Engine:
    """An engine with two minutes of three instances of api in memory, up to now."""
    config = validated(SamplesConfig, {"figures": {"cpu": {"metric": "busy"}}, "keep": None})
    source = SamplesSource(SPECS, 5.0, config)
    for k in range(3):
        own = {"__name__": "busy", "instance": f"i{k}", "service": "api"}
        number = source.intake.number(tuple(sorted(own.items())))
        at_s = engine.now_s - 5.0 * np.arange(1, 25)
        at_ms = np.round(1000.0 * at_s).astype(np.int64)
        source.intake.take(np.full(24, number), at_ms, np.full(24, float(k)), engine.now_s)
    engine.context.kept = source
    return engine


def asked(client: TestClient, headers: dict[str, str], **query: Any) -> Any:
    query = {"service": "api", "figure": "cpu", **query}
    return client.get(URL, params=query, headers=headers)


def test_the_last_hour_in_minutes_is_what_is_shown_without_being_asked_for(
    client: TestClient, keeping: Engine, everybody: dict[str, str]
) -> None:
    given = asked(client, everybody)
    assert given.status_code == 200, given.text
    shown = given.json()
    assert (shown["step_s"], shown["next"]) == (60.0, None)
    assert len(shown["time_s"]) in (60, 61)
    assert shown["time_s"][0] <= keeping.now_s - 3600.0 < keeping.now_s <= shown["time_s"][-1] + 60
    assert [one["labels"]["instance"] for one in shown["items"]] == ["i0", "i1", "i2"]
    one = shown["items"][2]
    assert sum(one["count"]) == 24
    assert {v for v in one["mean"] if v is not None} == {2.0} == {one["largest"][-2]}
    assert (one["smallest"][0], one["count"][0]) == (None, 0)


def test_what_is_kept_comes_in_pages_with_each_series_once(
    client: TestClient, keeping: Engine
) -> None:
    who = keeping.token("ann", Role.VIEWER)
    with EngineClient("http://127.0.0.1", who["authorization"].removeprefix("Bearer ")) as asks:
        client.headers.update(who)
        asks._http = client
        first = asks.kept_samples(
            "api", "cpu", from_s=int(keeping.now_s) - 60, to_s=int(keeping.now_s), limit=2
        )
        assert first.next is not None
        rest = asks.kept_samples(
            "api", "cpu", from_s=int(keeping.now_s) - 60, to_s=int(keeping.now_s), limit=2,
            cursor=first.next,
        )  # fmt: skip
    assert rest.next is None
    names = [one.labels["instance"] for page in (first, rest) for one in page.items]
    assert names == ["i0", "i1", "i2"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"service": "apj"}, 'service: "apj" is not allowed (api, database)'),
        ({"figure": "cpus"}, 'figure: "cpus" is not allowed (cpu, memory,'),
        ({"step": "7s"}, 'step: "7s" is not allowed (whole multiples of 5s)'),
        ({"step": "1s"}, 'step: "1s" is not allowed (5s … 1d'),
        ({"from": 1_700_000_000}, "steps are too many (1,500); take longer ones"),
        ({"from": 2_000_000_000, "to": 1_900_000_000}, "from: 2000000000 is not allowed (before"),
        ({"limit": 5_000}, 'limit: "5000" is not allowed (1 … 2000)'),
        ({"cursor": "nonsense"}, "cursor: "),
        ({"cursor": "cDE"}, "cursor: "),
        ({"until": 5}, "until: "),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_is_allowed(
    client: TestClient,
    keeping: Engine,
    everybody: dict[str, str],
    query: dict[str, Any],
    *,
    said: str,
) -> None:
    given = asked(client, everybody, **query)
    assert given.status_code == 400
    assert said in given.json()["detail"]


def test_who_may_see_one_service_is_shown_no_samples_of_another(
    client: TestClient, keeping: Engine
) -> None:
    who = keeping.token("ann", Role.VIEWER, services=["database"])
    assert asked(client, who).status_code == 400
    assert asked(client, who, service="database").json()["items"] == []


def test_a_figure_that_nothing_makes_and_an_engine_that_keeps_nothing_say_so(
    client: TestClient, keeping: Engine, everybody: dict[str, str]
) -> None:
    given = asked(client, everybody, figure="memory")
    assert (given.status_code, "no series makes" in given.json()["detail"]) == (404, True)
    keeping.context.kept = None
    given = asked(client, everybody)
    assert (given.status_code, "keeps no samples" in given.json()["detail"]) == (404, True)


def test_a_disk_that_fails_is_no_empty_answer(
    client: TestClient, keeping: Engine, everybody: dict[str, str]
) -> None:
    class Broken:
        async def kept(self, *_: Any, **__: Any) -> Any:
            raise OSError("the disk is gone")

    keeping.context.kept = Broken()
    given = asked(client, everybody)
    assert (given.status_code, "the disk is gone" in given.json()["detail"]) == (503, True)
