"""The live page over `python -m twin serve`, as a newcomer sees it: from the command to a floor."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm
from tests.integration.page.browser import Browser

PATIENCE_S = 300.0


@pytest.fixture
def served(browser: Browser, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address and the token that a served twin prints; no twin without a browser to see it."""
    with warm.started(
        "twin", "serve", "population.simultaneous=3000", "population.duration_s=43200", "speed=30",
        "begin=600", "api.port=0", "api.limits.request_s=300", f"output={tmp_path}", cwd=tmp_path,
    ) as process:  # fmt: skip
        until_s = time.monotonic() + PATIENCE_S
        place = token = None
        while not (place and token):
            assert process.poll() is None and time.monotonic() < until_s, process.said()
            _, printed = process.said()
            place = re.search(r"the page is at (http://\S+/),", printed)
            token = re.search(r"^token: (\S+)$", printed, re.MULTILINE)
            time.sleep(0.1)
        yield place[1], token[1]


@pytest.mark.slow
def test_a_newcomer_sees_the_evening_go_on_and_keeps_a_floor(
    browser: Browser, served: tuple[str, str]
) -> None:
    address, token = served
    browser.open(address)
    browser.type("#token", token)
    browser.press("Enter")
    for shown in ("weddings in progress", "ceremony", "api", "leads and acts"):
        browser.reads(shown)
    before = browser.text("header time")
    browser.until(f"document.querySelector('header time').textContent > {before!r}")
    browser.press("5")
    browser.choose("#if-zone", "b")
    browser.type("#if-load", "api")
    browser.click("#if-try")
    browser.reads("With zone b lost and 3 times the load at api, users miss")
    browser.reads("Tried out in")
    assert browser.value("document.querySelectorAll('figure svg[role=img]').length") == 3
    browser.go("todo")
    browser.type("#floor-service", "api")
    browser.type("#floor-instances", "44")
    browser.click("#floor-show")
    browser.reads("keeps at least 44")
    browser.click("#floor-do")
    browser.reads("api: at least 44")
    browser.go("why")
    browser.reads("somebody asked for this floor")
    browser.click("a.item")
    browser.reads("Rollback plan")
