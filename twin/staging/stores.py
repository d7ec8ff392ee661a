"""What the workers keep: rows in PostgreSQL, live updates and waiting jobs in Redis.

Every operation is one round trip on a connection that stays open, and no table grows with the
number of requests, so that a long load test measures the service and not the size of its data.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import redis.asyncio as redis
from redis.exceptions import RedisError

GUESTS = 40
"""Guests of each wedding in the database."""

SCHEMA = """
CREATE TABLE weddings (id int PRIMARY KEY, couple text NOT NULL, venue text NOT NULL);
CREATE TABLE guests (
    wedding int NOT NULL, n int NOT NULL, name text NOT NULL, answer text NOT NULL DEFAULT 'open',
    seat int NOT NULL, PRIMARY KEY (wedding, n)) WITH (fillfactor = 70);
CREATE TABLE timeline (
    wedding int NOT NULL, n int NOT NULL, at_min int NOT NULL, what text NOT NULL,
    PRIMARY KEY (wedding, n)) WITH (fillfactor = 70);
CREATE TABLE notes (
    wedding int NOT NULL, kind text NOT NULL, n int NOT NULL, said text NOT NULL,
    PRIMARY KEY (wedding, kind, n)) WITH (fillfactor = 70);
"""

FILL = """
INSERT INTO weddings SELECT w, 'Couple ' || w, 'Hall ' || w % 97 FROM generate_series(1, $1::int) w;
INSERT INTO guests (wedding, n, name, seat)
    SELECT w, g, 'Guest ' || g, g / 8
    FROM generate_series(1, $1::int) w, generate_series(0, $2::int - 1) g;
INSERT INTO timeline SELECT w, k, 60 * k, (ARRAY['getting ready', 'ceremony', 'cocktail hour',
    'dinner', 'party'])[k + 1] FROM generate_series(1, $1::int) w, generate_series(0, 4) k;
"""

READS: Mapping[str, str] = {
    "wedding": "SELECT row_to_json(w)::text FROM weddings w WHERE id = $1",
    "guests": "SELECT json_agg(g)::text FROM (SELECT n, name, answer FROM guests"
    " WHERE wedding = $1 ORDER BY n) g",
    "seating": "SELECT json_agg(g)::text FROM (SELECT n, seat FROM guests"
    " WHERE wedding = $1 ORDER BY n) g",
    "timeline": "SELECT json_agg(t)::text FROM (SELECT at_min, what FROM timeline"
    " WHERE wedding = $1 ORDER BY n) t",
    "session": "SELECT json_build_object('wedding', id)::text FROM weddings WHERE id = $1",
}
"""Operation -> the query that answers it, of a wedding's id; one row with one JSON text."""

WRITES: Mapping[str, str] = {
    "rsvp": "UPDATE guests SET answer = left($3, 20) WHERE wedding = $1 AND n = $2",
    "shift": "UPDATE timeline SET at_min = 60 * n + (length($3) + $2) % 60 WHERE wedding = $1",
    "songs": "INSERT INTO notes VALUES ($1, 'song', $2, left($3, 200))"
    " ON CONFLICT (wedding, kind, n) DO UPDATE SET said = excluded.said",
    "check-ins": "INSERT INTO notes VALUES ($1, 'check-in', $2, left($3, 200))"
    " ON CONFLICT (wedding, kind, n) DO UPDATE SET said = excluded.said",
}
"""Operation -> the statement of a wedding's id, a number below GUESTS and what was sent."""


class StoreError(Exception):
    """PostgreSQL or Redis did not do what it was asked for."""


async def fill(folder: Path, weddings: int) -> None:
    """Make the tables and fill them with so many weddings; raises StoreError."""
    try:
        connection = await asyncpg.connect(host=str(folder), user="wedsync", database="postgres")
        try:
            await connection.execute(SCHEMA)
            for statement in FILL.strip().split(";\n"):
                values = (weddings, GUESTS) if "$2" in statement else (weddings,)
                await connection.execute(statement.rstrip(";"), *values)
            await connection.execute("ANALYZE")
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError) as error:
        raise StoreError(f"PostgreSQL: {error}") from error


class Rows:
    """Guest lists, answers and timelines, in PostgreSQL."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._turn = 0

    @classmethod
    async def connect(cls, folder: Path, connections: int) -> Rows:
        """Open so many connections; raises StoreError."""
        try:
            pool = await asyncpg.create_pool(
                host=str(folder), user="wedsync", database="postgres",
                min_size=1, max_size=connections, reset=_nothing_to_reset, command_timeout=10,
            )  # fmt: skip
        except (OSError, asyncpg.PostgresError) as error:
            raise StoreError(f"PostgreSQL: {error}") from error
        return cls(pool)

    async def run(self, operation: str, wedding: int, sent: bytes) -> bytes:
        """Read or write; the answer is JSON.  Raises StoreError."""
        try:
            if operation in READS:
                row = await self._pool.fetchval(READS[operation], wedding)
                return str(row or "null").encode()
            self._turn += 1
            text = sent.decode(errors="replace")
            done = await self._pool.execute(WRITES[operation], wedding, self._turn % GUESTS, text)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreError(f"PostgreSQL: {error}") from error
        return json.dumps({"done": done}).encode()


async def _nothing_to_reset(_: object) -> None:
    """Connections carry no state from one statement to the next."""


class Updates:
    """Live updates: the latest of each wedding, and those who listen."""

    KEPT = 20

    def __init__(self, client: Any, listener: Any) -> None:
        self._client = client
        self._listening = listener.pubsub()

    @classmethod
    async def connect(cls, socket: Path) -> Updates:
        """Open the connections; raises StoreError."""
        updates = cls(_client(socket), _client(socket, None))
        await _asked(updates._listening.subscribe("everybody"))
        return updates

    async def latest(self, wedding: int) -> bytes:
        """The latest updates of a wedding, as a JSON list; raises StoreError."""
        items = await _asked(self._client.lrange(f"latest:{wedding}", 0, self.KEPT - 1))
        return b"[" + b",".join(items) + b"]"

    async def publish(self, wedding: int, text: str) -> bytes:
        """Keep an update and tell it to those who listen; raises StoreError."""
        update = json.dumps({"wedding": wedding, "text": text[:500]}).encode()
        pipeline = self._client.pipeline(transaction=False)
        pipeline.lpush(f"latest:{wedding}", update)
        pipeline.ltrim(f"latest:{wedding}", 0, self.KEPT - 1)
        pipeline.publish(f"wedding:{wedding}", update)
        await _asked(pipeline.execute())
        return update

    async def follow(self, wedding: int) -> None:
        """Hear of this wedding's updates from now on; raises StoreError."""
        await _asked(self._listening.subscribe(f"wedding:{wedding}"))

    async def unfollow(self, wedding: int) -> None:
        """Hear of them no longer; raises StoreError."""
        await _asked(self._listening.unsubscribe(f"wedding:{wedding}"))

    async def heard(self) -> AsyncIterator[tuple[int, bytes]]:
        """Updates of the weddings that are followed, as they come; goes on for ever."""
        while True:
            try:
                async for message in self._listening.listen():
                    channel = message["channel"].decode()
                    if message["type"] == "message" and channel.startswith("wedding:"):
                        yield int(channel.partition(":")[2]), message["data"]
            except (OSError, RedisError):
                await asyncio.sleep(1.0)  # redis-py subscribes anew when it connects again


class Jobs:
    """A queue that all workers of the service take from: first come, first served.

    A job that is being worked on stays listed under its worker, and is put back when that worker
    has not been heard of for some seconds: the death of a worker loses none.
    """

    WAITING = "jobs"
    WORKERS = "job-workers"
    FORGOTTEN_S = 10.0

    def __init__(self, client: Any, worker: str) -> None:
        self._client = client
        self._worker = worker
        self._taken = f"jobs:{worker}"

    @classmethod
    async def connect(cls, socket: Path, worker: str) -> Jobs:
        """Open the connections; raises StoreError."""
        client = _client(socket)
        await _asked(client.ping())
        return cls(client, worker)

    async def put(self, job: Mapping[str, object]) -> None:
        """Add a job; raises StoreError."""
        await _asked(self._client.lpush(self.WAITING, json.dumps(job)))

    async def take(self) -> bytes | None:
        """The next job, or None when there was none for a second; raises StoreError."""
        item: bytes | None = await _asked(
            self._client.blmove(self.WAITING, self._taken, 1.0, "RIGHT", "LEFT")
        )
        return item

    async def finish(self, job: bytes, wedding: int, result: str) -> None:
        """The job is done: keep its result for a while, and tell who listens."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.lrem(self._taken, 1, job)
        pipeline.setex(f"result:{wedding}", 300, result)
        pipeline.publish(f"wedding:{wedding}", result)
        await _asked(pipeline.execute())

    async def heartbeat(self) -> float:
        """Say that this worker lives, take care of the jobs of those that do not.

        Returns this worker's even share of the jobs that wait.  Raises StoreError.
        """
        now_s = time.time()
        await _asked(self._client.zadd(self.WORKERS, {self._worker: now_s}))
        dead = await _asked(
            self._client.zrangebyscore(self.WORKERS, "-inf", now_s - self.FORGOTTEN_S)
        )
        for worker in dead:
            while await _asked(
                self._client.lmove(f"jobs:{worker.decode()}", self.WAITING, "LEFT", "RIGHT")
            ):
                pass
            await _asked(self._client.zrem(self.WORKERS, worker))
        waiting = await _asked(self._client.llen(self.WAITING))
        workers = int(await _asked(self._client.zcard(self.WORKERS)))
        return float(waiting) / max(1, workers)

    async def leave(self) -> None:
        """This worker takes no further jobs."""
        await _asked(self._client.zrem(self.WORKERS, self._worker))


def _client(socket: Path, timeout_s: float | None = 10.0) -> Any:
    """A pool of connections; one that listens may have to wait for ever."""
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=timeout_s, max_connections=64)


async def _asked(command: Any) -> Any:
    try:
        return await command
    except (OSError, RedisError) as error:
        raise StoreError(f"Redis: {error}") from error
