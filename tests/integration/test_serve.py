"""`python -m twin serve`: the product without a platform, from the command line to its end."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from engine.record.schema.summary import read
from tests import warm

PATIENCE_S = 300.0


def asked(url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(url, content, headers), timeout=PATIENCE_S
    ) as answer:
        return json.load(answer)


def answered(url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    """The same; whoever is told to come again by an engine that is busy does so."""
    try:
        return asked(url, token, body)
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return None


def waited(condition: Any) -> Any:
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        if (value := condition()) is not None:
            return value
        time.sleep(0.05)
    raise AssertionError("it never came")


def test_a_scenario_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    with warm.started(
        "twin", "serve", "population.simultaneous=3000", "api.port=0", "speed=120", "begin=600",
        "api.limits.request_s=300",
        f"output={tmp_path / 'out'}", cwd=tmp_path,
    ) as process:  # fmt: skip
        shown = waited(lambda: re.search(r"^token: (\S+)$", process.said()[1], re.MULTILINE))
        url = waited(lambda: re.search(r"http://[\d.:]+/api/scalability", process.said()[1]))[0]
        token = shown[1]
        waited(lambda: (answered(f"{url}/readiness", token) or {}).get("ready") or None)
        floor = {"service": "api", "instances": 44, "for_s": 36_000.0, "why": "to see it"}
        waited(lambda: answered(f"{url}/floors", token, floor))
        waited(
            lambda: (
                (answered(f"{url}/services/api", token) or {"desired": 0})["desired"] >= 44 or None
            )
        )
        # The evening goes on meanwhile, and may want more.
        place = f"{url}/decisions?kind=action&service=api"
        actions = waited(lambda: answered(place, token))["items"]
        assert "manual" in {action["reason"] for action in actions}
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    summary = read(Path(printed.strip().splitlines()[-1]))
    assert (summary.world, summary.partial) == ("twin", True)
    assert summary.decision.actions >= 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["speed=0"], "speed: 0 is not allowed"),
        (["begin=noon"], 'begin: "noon"'),
        (["replications=2"], "replications: 2 is not allowed (1)"),
        (["alerts.levels.0.receivers=[x]"], 'alerts.levels.0.receivers: "x" is not allowed ('),
        (["api.address=0.0.0.0"], 'api.address: "0.0.0.0" is not allowed without TLS'),
        (
            ["+faults.it={kind:engine_kill,at:0,duration_s:60}"],
            "faults.it: the live engine is not killed",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_key(
    words: list[str], complaint: str, tmp_path: Path
) -> None:
    run = warm.run("twin", "serve", *words, cwd=tmp_path)
    assert run.returncode == 2
    assert complaint in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())
