"""The whole engine over an account: capacity is short, the server is away, a surge comes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from engine.adapters.aws.tags import DECISION, DECISIONS, FENCE, SET, WARM
from tests import warm
from tests.aws_world import KEYS, AwsWorld
from tests.integration.kubernetes.test_live import (
    CALENDAR,
    FAST,
    FILES,
    Engine,
    Load,
    served,
)
from tests.integration.kubernetes.test_roles import ONE_SERVICE

pytestmark = pytest.mark.slow


@contextmanager
def engine(world: AwsWorld, folder: Path, load: Load, *more: str) -> Iterator[Engine]:
    """The engine as a process of its own, with the usual chain's credentials."""
    for name, text in FILES.items():
        (folder / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "mine" / name).write_text(text)
    (folder / "calendar_of_the_test.py").write_text(CALENDAR)
    with warm.started(
        "engine", "run", "--config-dir=mine", *ONE_SERVICE, *FAST,
        "infrastructure=aws", "metrics=page", "bookings=calendar", "reporter=null",
        "scenario=quiet_tuesday", f"infrastructure.options.endpoint={world.url}",
        f"metrics.targets=[{{urls: ['{load.url}'], labels: {{service: api}}}}]",
        "live.state=state", "output=out", *more,
        cwd=folder, environment={**os.environ, **KEYS},
    ) as process:  # fmt: skip
        yield Engine(folder, process)


def test_a_load_comes_and_goes_while_capacity_is_short_and_the_server_is_away(
    world: AwsWorld, tmp_path: Path
) -> None:
    world.group("api", 1, most=9)
    world.boot_s = 0.5
    with (
        served(Load(lambda: world.ready("api"))) as load,
        engine(world, tmp_path, load) as live,
    ):
        live.until(lambda: live.status()["steps"] >= 3, "the first steps")
        world.room = 4
        load.per_s = 200.0
        live.until(
            lambda: "InsufficientInstanceCapacity" in str(live.status()["troubles"]), "the trouble"
        )
        world.room = None
        live.until(lambda: world.ready("api") >= 6, "enough instances for the load")
        world.stop()
        live.until(
            lambda: world.url in str(live.status()["troubles"].get("infrastructure")),
            "the trouble",
        )
        world.start()
        live.until(lambda: "infrastructure" not in live.status()["troubles"], "its end")
        load.per_s = 20.0
        live.until(lambda: world.ready("api") <= 2, "the way back")
        record, said = live.end()
    tags = world.tags("api")
    decided = pd.read_parquet(tmp_path / record / "decisions.parquet")
    ids = [str(one) for one in decided["decision_id"].dropna().unique()]
    assert tags[DECISION].split()[0] in ids
    assert int(tags[FENCE]) >= 1
    assert int(tags[SET]) == world.desired("api")
    assert len(tags[DECISIONS].split()) >= 2
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in said
    for file in (tmp_path / record).rglob("*"):
        if file.is_file():
            assert KEYS["AWS_SECRET_ACCESS_KEY"].encode() not in file.read_bytes()


INSURED = (
    "+platform.services.api.warm={price_share: 0.01, boot_share: 0.1, max: 3}",
    "engine.surge.usd_per_missed_request=0.5", "engine.surge.bill_share=1",
)  # fmt: skip
"""Prices at which as many are held warm as may be."""


def test_what_is_held_warm_is_bought_taken_first_by_a_surge_and_filled_up_again(
    world: AwsWorld, tmp_path: Path
) -> None:
    def launched(words: str) -> int:
        return sum(words in one["Description"] for one in world._activities)

    world.group("api", 1, most=9)
    world.boot_s = 0.5
    with (
        served(Load(lambda: world.ready("api"))) as load,
        engine(world, tmp_path, load, *INSURED) as live,
    ):
        live.until(lambda: world.warm("api") == 3, "three that are held warm")
        assert launched("from warm pool") == 0
        load.per_s = 200.0
        live.until(lambda: world.ready("api") >= 6, "enough instances for the surge")
        live.until(lambda: world.warm("api") == 3, "a pool that is full again")
        record, _ = live.end()
    assert launched("from warm pool") >= 3
    assert launched("into warm pool") >= 6
    tags = world.tags("api")
    decided = pd.read_parquet(tmp_path / record / "decisions.parquet")
    warm_rows = decided[decided["kind"] == "warm"]
    assert tags[WARM.decision].split()[0] in set(warm_rows["decision_id"])
    assert set(warm_rows["reason"]) == {"surge"}
    assert tags[WARM.set] == "3"
    timeline = pd.read_parquet(tmp_path / record / "timeline.parquet")
    assert timeline["warm"].max() == 3
    summary = json.loads((tmp_path / record / "summary.json").read_text())
    assert summary["cost"]["warm_usd"] > 0.0


def test_an_engine_that_only_recommends_writes_nothing(world: AwsWorld, tmp_path: Path) -> None:
    world.service("shop", "api", 1)
    with (
        served(Load(lambda: world.ready("shop/api"), per_s=200.0)) as load,
        engine(
            world, tmp_path, load, "engine.mode=recommend_only",
            "+infrastructure.options.workloads.api=ecs/shop/api",
        ) as live,
    ):  # fmt: skip
        live.until(lambda: live.status()["steps"] >= 5, "some steps")
        live.end()
    assert world.desired("shop/api") == 1
    assert world.tags("shop/api") == {}
    assert not {"update_service", "tag_resource"} & {k for k, n in world.calls.items() if n}
