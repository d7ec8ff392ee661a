"""Ceremonies on instances through the command line: with and without the rule, and its price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import warm

HOURS = (
    "population.simultaneous=6000", "population.start_utc=22:00", "population.duration_s=10800",
    "output=out",
)  # fmt: skip
TELLS = "+platform.services.api.carries.phase=ceremony"


def summary(folder: Path, *asked: str) -> dict[str, Any]:
    ended = warm.run("twin", "run", "scenario=june_peak", *HOURS, *asked, cwd=folder)
    assert ended.returncode in {0, 1}, ended.stderr  # its limits are for the whole day
    record = folder / ended.stdout.splitlines()[-1]
    own: dict[str, Any] = json.loads((record / "summary.json").read_text())
    own["report"] = (record / "report.md").read_text()
    return own


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("vow_lock")
    return {
        "with": summary(folder, TELLS),
        "without": summary(folder, TELLS, "+engine.vow_lock.limit_s=0"),
        "blind": summary(folder),
    }


def test_the_rule_keeps_ceremonies_whole_and_says_what_it_costs(runs: dict[str, Any]) -> None:
    own, bare = runs["with"]["ceremonies"], runs["without"]["ceremonies"]
    assert own["carried"] == bare["carried"] > 1000
    assert bare["cut"] > 20
    # Those that last longer than the limit are cut all the same.
    assert own["cut"] < 0.1 * bare["cut"]
    assert own["held_hours"] > 0.0 == bare["held_hours"]
    dearer = runs["with"]["cost"]["total_usd"] - runs["without"]["cost"]["total_usd"]
    assert own["held_usd"] == pytest.approx(dearer, rel=1e-6)
    assert "ceremonies cut by a step in" in runs["with"]["report"]


def test_where_nobody_can_tell_nothing_is_said_and_nothing_changes(runs: dict[str, Any]) -> None:
    bare, blind = runs["without"], runs["blind"]
    assert "ceremonies" not in blind
    assert "ceremonies" not in blind["report"]
    for figure in ("requests", "slo", "services", "cost", "prescaling"):
        assert blind[figure] == bare[figure]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "+platform.services.api.carries.phase=vows",
            'platform.services.api.carries.phase: "vows" is not allowed (getting_ready, ceremony',
        ),
        ("+platform.services.api.carries.drains=never", "platform.services.api.carries.drains"),
        ("+platform.services.api.carries.share=0", "platform.services.api.carries.share"),
        ("+platform.services.api.carries.weddings=3", "platform.services.api.carries.weddings"),
        ("+engine.vow_lock.limit_s=-1", "engine.vow_lock.limit_s"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, asked: str, said: str) -> None:
    ended = warm.run("twin", "run", "scenario=june_peak", *HOURS, asked, cwd=tmp_path)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_the_price_of_the_rule_is_in_price(tmp_path: Path) -> None:
    ended = warm.run(
        "twin", "price", "rules=[vow_lock]", "weddings=[3000]", "seeds=1", "threats=false",
        "population.start_utc=22:00", "population.duration_s=7200", "output=out", TELLS,
        cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / ended.stdout.strip()
    (place,) = json.loads((folder / "price.json").read_text())["places"]
    rule = place["rules"]["vow_lock"]
    assert rule["ceremonies_saved"]["mean"] > 0
    assert rule["usd_a_day"]["mean"] > 0.0
    assert "ceremonies a day kept whole for" in ended.stderr
    assert "ceremonies kept whole" in (folder / "report.md").read_text()
