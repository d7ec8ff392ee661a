"""Bookings in a real PostgreSQL server: a query, its hints, and a database that goes away."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.bookings import postgres
from engine.adapters.bookings.feed import Feed
from engine.config.strict import ConfigError
from engine.ports import contract
from tests.integration.store.test_postgres import Server, server  # noqa: F401 (a fixture)
from tests.unit.engine.adapters.bookings.conftest import MODEL, SPECS

TABLE = """
CREATE TABLE bookings (
    no text PRIMARY KEY, at timestamptz, guests numeric, state text, bride text,
    changed timestamptz DEFAULT now()
);
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NOTIFY bookings; RETURN NULL; END $$;
CREATE TRIGGER told AFTER INSERT OR UPDATE OR DELETE ON bookings EXECUTE FUNCTION told();
"""
QUERY = "SELECT * FROM bookings WHERE at BETWEEN %(since)s AND %(until)s"
COLUMNS = {
    "id": "no", "starts": "at", "people": {"guest": "guests"}, "status": "state",
    "updated": "changed",
}  # fmt: skip


@pytest.fixture(scope="module")
def database(server: Server) -> str:  # noqa: F811
    """The name of one for all tests: making it takes longer than they do."""
    return server.new()


@pytest.fixture
def name(server: Server, database: str) -> str:  # noqa: F811
    """A database with a table of bookings, one of them in an hour."""
    made = database
    server.run("DROP TABLE IF EXISTS bookings; DROP FUNCTION IF EXISTS told", made)
    server.run(TABLE, made)
    server.run(
        "INSERT INTO bookings (no, at, guests, bride) "
        "VALUES ('A1', now() + interval '1 hour', 200, 'Jane Doe')", made,
    )  # fmt: skip
    return made


def feed(server: Server, name: str, folder: Path, **options: Any) -> Feed:  # noqa: F811
    path = folder / "events.json"
    path.write_text(json.dumps(MODEL))
    given = {
        "url": server.url(name), "query": QUERY, "channel": "bookings", "columns": COLUMNS,
        "model": str(path), **options,
    }  # fmt: skip
    return postgres.connect(SPECS, time.time(), **given)


async def load(source: Feed, now_s: float) -> float:
    """Requests/s in two hours."""
    return (await source.outlook(now_s)).rate(0, time.time() + 7200.0)


def test_a_query_keeps_the_ports_contract(server: Server, name: str, tmp_path: Path) -> None:  # noqa: F811
    async def story() -> None:
        source = feed(server, name, tmp_path)
        await contract.bookings(source, ["api"], time.time())
        await source.close()

    asyncio.run(story())


def test_a_change_is_seen_at_its_hint_and_without_one_when_it_is_asked_for(
    server: Server,  # noqa: F811
    name: str,
    tmp_path: Path,
) -> None:
    async def story() -> None:
        now_s = time.time()
        hinted = feed(server, name, tmp_path, poll_s=3600)
        polled = feed(server, name, tmp_path, poll_s=10, channel=None)
        for source in (hinted, polled):
            assert await load(source, now_s) == pytest.approx(5 + 100)
        changes = [
            ("UPDATE bookings SET guests = 300, changed = now()", 5 + 150),
            ("INSERT INTO bookings (no, at, guests) VALUES ('B2', now() + interval '1 hour', 2)",
             5 + 151),
            ("UPDATE bookings SET state = 'cancelled', changed = now() WHERE no = 'A1'", 5 + 1),
        ]  # fmt: skip
        for k, (statement, expected) in enumerate(changes, 1):
            await asyncio.to_thread(server.run, statement, name)
            assert await load(polled, now_s + 10.0 * k) == pytest.approx(expected)
            async with asyncio.timeout(300.0):
                while await load(hinted, now_s + 1.0) != pytest.approx(expected):
                    await asyncio.sleep(0.02)
            assert hinted.feed().troubles == polled.feed().troubles == ()
        await hinted.close()
        await polled.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE bookings SET guests = 'NaN'", "row 1: guests: nan is not allowed"),
        ("UPDATE bookings SET guests = 1e9", "row 1: guests: 1e+09 is not allowed"),
        ("DELETE FROM bookings", "1 of 1 events to come are missing without being marked"),
        ("ALTER TABLE bookings DROP COLUMN state", "the query has no column state (bookings.op"),
        ("DROP TABLE bookings", 'the database: relation "bookings" does not exist'),
        ("ALTER TABLE bookings ALTER at TYPE text USING 'soon'", "the database: operator does not"),
    ],
)
def test_whatever_becomes_of_the_table_the_last_good_outlook_stays(
    server: Server,  # noqa: F811
    name: str,
    tmp_path: Path,
    statement: str,
    *,
    said: str,
) -> None:
    async def story() -> None:
        source, now_s = feed(server, name, tmp_path, channel=None), time.time()
        first = await source.outlook(now_s)
        await asyncio.to_thread(server.run, statement, name)
        for k in range(1, 5):
            assert await source.outlook(now_s + 10.0 * k) is first
        assert any(said in one for one in source.feed().troubles), source.feed()
        assert "Jane" not in str(source.feed())
        await source.close()

    asyncio.run(story())


def test_a_connection_that_was_cut_is_made_anew(server: Server, name: str, tmp_path: Path) -> None:  # noqa: F811
    async def story() -> None:
        source, now_s = feed(server, name, tmp_path), time.time()
        await source.outlook(now_s)
        await asyncio.to_thread(server.cut_off, name)
        await source.outlook(now_s + 10.0)
        (trouble,) = source.feed().troubles
        assert trouble.startswith("the database: ")
        await asyncio.to_thread(server.run, "UPDATE bookings SET guests = 300", name)
        assert await load(source, now_s + 20.0) == pytest.approx(5 + 150)
        assert source.feed().troubles == ()
        await source.close()

    asyncio.run(story())


def test_the_query_can_change_nothing(server: Server, name: str, tmp_path: Path) -> None:  # noqa: F811
    async def story() -> None:
        source = feed(
            server, name, tmp_path, channel=None, query="DELETE FROM bookings RETURNING *"
        )
        await source.outlook(time.time())
        assert "read-only transaction" in source.feed().troubles[0]
        await source.close()

    asyncio.run(story())
    assert server.run("SELECT count(*) FROM bookings", name) == [(1,)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "mysql://x/y"}, "bookings.options.url: is no address of a PostgreSQL database"),
        ({"channel": "a b; DROP"}, "bookings.options.channel: "),
        ({"query": ""}, "bookings.options.query: "),
    ],
)
def test_a_wrong_option_is_named(
    server: Server,  # noqa: F811
    tmp_path: Path,
    options: Any,
    said: str,
) -> None:
    with pytest.raises(ConfigError) as error:
        feed(server, "postgres", tmp_path, **options)
    assert str(error.value).startswith(said), error.value
