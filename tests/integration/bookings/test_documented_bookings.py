"""Each command and example of docs/guides/bookings.md: composed, parsed, connected and asked."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import engine
from engine.adapters.bookings.feed import Feed
from engine.config.composition import composed
from engine.config.live import LiveConfig, handed, parse
from engine.config.load import build
from tests import warm
from tests.unit.engine.adapters.bookings.conftest import MODEL

ROOT = Path(engine.__file__).parents[1]
PAGE = (ROOT / "docs" / "guides" / "bookings.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m engine serve (bookings=.*)$", PAGE, re.M)


def example(name: str) -> str:
    text = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE, re.S)
    assert text is not None, name
    return text[1]


def connected(config: LiveConfig, raw: Mapping[str, Any]) -> Feed:
    """The bookings of a live run."""
    made: Feed = build(
        config.bookings.factory, config.platform.specs(), time.time(), key="bookings.factory",
        options=handed(config, raw), options_key="bookings", methods=("outlook", "close"),
    )  # fmt: skip
    return made


NO_SOURCES = {"scenario", "usual"}
"""What is booked in a scenario, and nothing: no bookings of anybody are read."""


def test_the_page_shows_a_command_for_each_source() -> None:
    groups = {path.stem for path in (ROOT / "conf" / "bookings").glob("*.yaml")}
    assert {line.split()[0].partition("=")[2] for line in COMMANDS} == groups - NO_SOURCES


@pytest.mark.parametrize("line", COMMANDS)
def test_each_command_of_the_page_connects_and_says_what_is_wrong_with_its_source(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    rates = {"api": {"guest": {"during": 0.1}}}
    (tmp_path / "events.json").write_text(json.dumps(MODEL | {"rates": rates}))

    async def nowhere(*_: object, **__: object) -> httpx.Response:
        raise httpx.ConnectError("it is not there")

    monkeypatch.setattr(httpx.AsyncClient, "send", nowhere)

    async def story() -> None:
        raw = composed(shlex.split(line), root="live")
        config = parse(raw)
        source = connected(config, raw)
        now_s = time.time()
        while not (troubles := source.feed().troubles):
            shown = await source.outlook(now_s)
            await asyncio.sleep(0.01)
        assert list(shown.services) == [spec.name for spec in config.platform.specs()]
        assert "nothing has been read yet" in troubles[0]
        await source.close()

    asyncio.run(story())


def test_the_example_of_the_columns_reads_the_rows_that_it_describes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bookings.csv").write_text(
        "booking_no;day;begin;pax;suppliers;state;tier;changed_at;name\n"
        "7;2027-06-19;16:00;120;;booked;gold;2027-06-01 09:00;Jane Doe\n"
        "8;2027-06-19;17:00;80;9;Storno;silver;2027-06-01 09:00;Ann Doe\n"
    )

    async def story() -> None:
        raw = composed((), root="live") | {"bookings": yaml.safe_load(example("columns"))}
        raw["bookings"]["options"]["max_age_s"] = None
        source = connected(parse(raw), raw)
        noon_s = 1_813_404_000.0  # on that day, 10:00 UTC
        shown = await source.outlook(noon_s)
        assert source.feed().troubles == ()
        assert source.feed().events == 1
        assert float(shown.major_events.max()) == pytest.approx(1.0, abs=0.01)
        await source.close()

    asyncio.run(story())


def test_the_page_of_json_is_what_the_configuration_expects() -> None:
    page = json.loads(example("page"))
    options = yaml.safe_load((ROOT / "conf" / "bookings" / "http.yaml").read_text())["options"]
    assert options["items"] in page
    assert options["next"] in page
    columns = options["columns"]
    named = {columns[key] for key in ("id", "starts", "status", "major", "updated")}
    assert named | set(columns["people"].values()) == set(page["items"][0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bookings=csv"], "bookings.options.path: is missing"),
        (["bookings=csv", "bookings.options.path=a.csv", "bookings.options.poll_s=0"],
         "bookings.options.poll_s: 0 is not allowed"),
        (["bookings=ics", "bookings.options.path=a", "bookings.options.time_zone=Rome"],
         'bookings.options.time_zone: "Rome" is not allowed (an IANA time zone'),
        (["bookings=http", "bookings.options.url=http://example.com"],
         "bookings.options.url: is not allowed (an https:// address"),
        (["bookings=postgres", "bookings.options.url=nowhere"],
         "bookings.options.url: is no address of a PostgreSQL database"),
        (["bookings=cvs"], "bookings"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_and_the_exit_code_is_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = warm.run("engine", "run", *arguments, "live.state=state", cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
