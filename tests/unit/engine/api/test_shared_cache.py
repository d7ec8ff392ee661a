"""A Redis beside the process: used when it is there, and never needed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.api import shared_cache
from engine.api.predictions import Predictor
from engine.api.shared_cache import RedisCache
from engine.api.snapshot import encoded
from engine.config.strict import ConfigError
from tests.unit.engine.api.conftest import QUICK

STARTED_S = 300.0
TEXT = encoded({"year": 2027})


pytestmark = pytest.mark.usefixtures("factories_on_path")


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis of its own."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server on this machine")
    path = tmp_path_factory.mktemp("redis") / "r.sock"
    command = [
        program,
        "--port",
        "0",
        "--unixsocket",
        str(path),
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        until_s = time.monotonic() + STARTED_S
        while not path.exists():
            assert time.monotonic() < until_s
            time.sleep(0.01)
        yield f"unix://{path}"
        server.terminate()


def test_what_was_put_is_there_for_the_same_question_alone(redis: str) -> None:
    async def work() -> None:
        cache = RedisCache(redis)
        await cache.put("season 2027", TEXT, 60.0)
        assert await cache.get("season 2027") == TEXT
        assert await RedisCache(redis).get("season 2027") == TEXT
        assert await cache.get("season 2026") is None

    asyncio.run(work())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: kept[:-1],
        lambda kept: kept[:-1] + b"]",
        lambda _: b"",
        lambda _: b"nothing",
        lambda _: b"x" * 100,
    ],
)
def test_what_somebody_has_changed_there_is_not_taken(
    redis: str, spoil: Callable[[bytes], bytes]
) -> None:
    async def work() -> None:
        cache = RedisCache(redis)
        await cache.put("q", TEXT, 60.0)
        key = shared_cache._key("q")
        await cache._redis.set(key, spoil(await cache._redis.get(key)))
        assert await cache.get("q") is None

    asyncio.run(work())


def test_another_engine_finds_what_one_has_worked_out_until_it_is_flushed(redis: str) -> None:
    async def asked(cache: RedisCache) -> tuple[bytes, bool]:
        predictor = Predictor(QUICK, {}, 60.0, cache)
        try:
            text = await predictor.ask("season", 2027, "all", now_s=0.0)
            return text.content, predictor._apart._pool is not None
        finally:
            predictor.close()

    async def work() -> None:
        cache = RedisCache(redis)
        first, worked = await asked(cache)
        assert worked
        assert await asked(cache) == (first, False)
        await cache._redis.flushall()
        assert await asked(cache) == (first, True)

    asyncio.run(work())


@contextlib.asynccontextmanager
async def silent(folder: Path) -> Any:
    """A server that takes connections and says nothing."""

    async def wait(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await reader.read()

    path = folder / "s.sock"
    server = await asyncio.start_unix_server(wait, path)
    try:
        yield f"unix://{path}"
    finally:
        server.close()


def test_one_that_is_slow_or_gone_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_cache, "WAIT_S", 0.05)
    calls = 0

    async def counted(cache: RedisCache) -> None:
        nonlocal calls
        get = cache._redis.get

        def count(key: str) -> Awaitable[Any]:
            nonlocal calls
            calls += 1
            return get(key)

        cache._redis.get = count
        for _ in range(5):
            assert await cache.get("q") is None
            await cache.put("q", TEXT, 60.0)

    async def work() -> None:
        async with silent(tmp_path) as url:
            await counted(RedisCache(url))
        await counted(RedisCache(f"unix://{tmp_path}/nobody.sock"))

    asyncio.run(work())
    assert calls == 2  # each was asked once


def test_predictions_come_without_it(tmp_path: Path) -> None:
    async def work() -> None:
        predictor = Predictor(QUICK, {}, 60.0, RedisCache(f"unix://{tmp_path}/nobody.sock"))
        try:
            assert (await predictor.ask("season", 2027, "all", now_s=0.0)).content
        finally:
            predictor.close()

    asyncio.run(work())


def test_a_url_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"api\.cache\.url: "):
        RedisCache("http://127.0.0.1:80")
