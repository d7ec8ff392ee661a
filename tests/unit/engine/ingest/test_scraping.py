"""Targets asked by the engine itself: one that is dead holds nobody up."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.config.strict import ConfigError, validated
from engine.ingest.scraping import ScrapedSource, scraped
from engine.ingest.settings import ScrapedConfig
from engine.model import BootTime, ServiceSpec
from engine.ports.metrics import Reading

SPECS = tuple(
    ServiceSpec(name, 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)
    for name in ("api", "database")
)
OPTIONS: dict[str, Any] = {
    "figures": {"cpu": {"metric": "cpu", "take": "average"}, "queue_depth": {"metric": "queue"}},
    "scraped": {"metric": "up", "take": "average"}, "keep": None, "timeout_s": 0.2,
    "lookback_s": 1.0,
}  # fmt: skip
Answer = Callable[[httpx.Request], Any]


def source(answer: Answer, targets: dict[str, str], **changes: Any) -> ScrapedSource:
    """Asks `targets` (address -> service) of somebody who answers as `answer` does."""

    async def handler(request: httpx.Request) -> httpx.Response:
        given = answer(request)
        return await given if asyncio.iscoroutine(given) else given

    listed = [{"urls": [url], "labels": {"service": name}} for url, name in targets.items()]
    config = validated(ScrapedConfig, {**OPTIONS, "targets": listed, **changes})
    return ScrapedSource(SPECS, 0.1, config, httpx.MockTransport(handler))


def page(text: str, media: str = "text/plain; version=0.0.4") -> httpx.Response:
    return httpx.Response(200, text=text, headers={"content-type": media})


async def readings(made: ScrapedSource, enough: Callable[[Reading], bool]) -> Reading:
    """Read until it is `enough`."""
    end = time.monotonic() + 300.0
    try:
        while True:
            reading = await made.read(time.time())
            if enough(reading):
                return reading
            assert time.monotonic() < end, reading
            await asyncio.sleep(0.02)
    finally:
        await made.close()


def test_a_dead_target_holds_nobody_up_and_is_named() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "dead":
            await asyncio.sleep(3600.0)
        return page("cpu 0.5\nqueue 3\n")

    made = source(answer, {"http://a/metrics": "api", "http://dead/metrics": "database"})
    reading = asyncio.run(readings(made, lambda r: len(r.windows["api"]) >= 3 and bool(r.troubles)))
    assert reading.windows["api"]["cpu"].tolist() == pytest.approx([0.5] * 3, abs=0.0) or (
        set(reading.windows["api"]["cpu"].tolist()) == {0.5}
    )
    assert len(reading.windows["database"]) == 0
    assert any("http://dead/metrics" in text for text in reading.troubles)


@pytest.mark.parametrize(
    "broken",
    [
        httpx.Response(500), httpx.Response(200, text="<html>"),
        page("cpu 0.5\nqueue\n"), page("cpu 0.5\n", "application/openmetrics-text; version=1.0.0"),
        page("cpu 0.5\n" * 20), httpx.Response(200, content=b"cpu\xff 0.5\n"),
        page("cpu 0.5\n# " + "x" * 3000 + "\n"),
    ],
)  # fmt: skip
def test_a_page_that_breaks_after_it_was_fine_ends_its_series(broken: httpx.Response) -> None:
    was_fine = False

    def answer(_: httpx.Request) -> httpx.Response:
        return broken if was_fine else page("cpu 0.5\nqueue 3\n")

    def enough(reading: Reading) -> bool:
        nonlocal was_fine
        was_fine = was_fine or len(reading.windows["api"]) > 0
        return any("http://a/" in text for text in reading.troubles)

    made = source(answer, {"http://a/": "api"}, page_samples=10, page_mib=0.002)
    reading = asyncio.run(readings(made, enough))
    assert reading.windows["api"]["cpu"][-1] == 0.5
    newest = made.round(time.time() + 0.3)
    assert len(newest.windows["api"]) <= len(reading.windows["api"]) + 1
    up = made.intake.number((("__name__", "up"), ("instance", "a"), ("service", "api")))
    assert up >= 0


def test_who_scrapes_needs_no_compiler() -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "import engine.ingest.scraping, engine.api.application\n"
        "from engine.ingest.sources import ReceivedSource\n"
        "from engine.ingest.settings import ReceivedConfig\n"
        "config = ReceivedConfig(figures={'cpu': {'metric': 'cpu'}})\n"
        "try:\n    ReceivedSource((), 5.0, config)\n"
        "except ValueError as error:\n    print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "numba" in ended.stdout and "metrics=scrape" in ended.stdout


def test_labels_of_a_target_are_those_that_count() -> None:
    made = source(
        lambda _: page('cpu{service="database",instance="x"} 0.5\n'), {"http://a:1/": "api"}
    )
    reading = asyncio.run(readings(made, lambda r: len(r.windows["api"]) > 0))
    assert len(reading.windows["database"]) == 0
    labels = {made.intake.labels(k) for k in range(made.intake.series)}
    assert (
        ("__name__", "cpu"), ("exported_instance", "x"), ("exported_service", "database"),
        ("instance", "a:1"), ("service", "api"),
    ) in labels  # fmt: skip


def test_targets_come_and_go_with_their_file(tmp_path: Path) -> None:
    path = tmp_path / "targets.yaml"
    path.write_text("[{urls: ['http://a/'], labels: {service: api}}]")
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return page("cpu 0.5\n")

    made = source(answer, {}, targets_file=path)

    async def run() -> AsyncIterator[Reading]:
        try:
            while True:
                yield await made.read(time.time())
                await asyncio.sleep(0.02)
        finally:
            await made.close()

    async def story() -> None:
        rounds = run()

        async def until(is_so: Callable[[Reading], bool]) -> None:
            async for reading in rounds:
                if is_so(reading):
                    return

        await until(lambda _: "http://a/" in asked)
        path.write_text('[{"urls": ["http://bb/"], "labels": {"service": "database"}}]')
        await until(lambda reading: len(reading.windows["database"]) > 0)
        path.write_text("[{urls: [nowhere]}]")
        await until(lambda reading: any(
            "targets_file" in text and "nowhere" in text for text in reading.troubles
        ))  # fmt: skip
        asked.clear()
        await until(lambda _: len(asked) > 2)
        assert set(asked) == {"http://bb/"}  # a file that is broken changes nothing
        await rounds.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(story(), 300.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": []}, "targets or targets_file"),
        ({"targets": [{"urls": ["ftp://a"]}]}, "ftp://a"),
        ({"targets": [{"urls": []}]}, "urls"),
        ({"targets_file": "/nowhere/targets.yaml"}, "targets_file"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
def test_a_wrong_target_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        scraped(SPECS, 5.0, **{**OPTIONS, **changes})
