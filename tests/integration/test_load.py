"""Locust as a user runs it: processes of their own, against a real server on the loopback.

They are forks of one that has imported all of it; the demonstration of staging starts its own.

It is long because Locust runs in many ways: alone, with a page, with workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email
import json
import re
import signal
import socket
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import uvicorn

from locustfiles.arrivals import ArrivalSchedule
from locustfiles.plan import LoadPlan, WantedExcerpt, make
from tests.locusts import Locusts, locusts
from twin.staging.ports import free_ports

pytestmark = pytest.mark.load

SMALL = "population.simultaneous=200"
SERVICES = ("api", "real-time", "file-storage")
PATIENT = tuple(f"platform.services.{name}.client.timeout_s=600" for name in SERVICES)
"""No client gives up what a busy machine answers late."""
OVERRIDES = (SMALL, *PATIENT)
LOAD = (
    "--scale", "0.1", "--speed", "300", "--window", "15min",
    *(word for one in OVERRIDES for word in ("--override", one)),
)  # fmt: skip
IMPATIENT = (*LOAD[:6], "--override", SMALL)
LENIENT = ("--threshold", "availability >= 0.99")
"""A shared machine may be slow: only failures count, not times."""


@dataclass
class Platform:
    """A server that knows weddings; `delay_s` slows it, `broken` makes a path fail."""

    delay_s: float = 0.0
    broken: str = "none"
    seen: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    address: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            message = await receive()
            self.seen.append(("WS", scope["path"], "", message.get("text", "").encode()))
            await asyncio.sleep(self.delay_s)
            await send({"type": "websocket.send", "text": '{"said": 1}'})
            await receive()
            return
        body, more = b"", True
        while more:
            part = await receive()
            body += part.get("body", b"")
            more = part.get("more_body", False)
        headers = dict(scope["headers"])
        kind = headers.get(b"content-type", b"").decode()
        self.seen.append((scope["method"], scope["path"], kind, body))
        await asyncio.sleep(self.delay_s)
        page = re.fullmatch(r"/weddings/\d+(/[a-z-]+)?", scope["path"])
        status = 503 if self.broken in scope["path"] else 200 if page else 404
        length = (b"content-length", b"2")
        await send({"type": "http.response.start", "status": status, "headers": [length]})
        await send({"type": "http.response.body", "body": b"{}"})

    def paths(self) -> Counter[tuple[str, str]]:
        """How often each was asked for."""
        return Counter((method, path) for method, path, _, _ in self.seen)


@contextmanager
def served() -> Iterator[Platform]:
    app = Platform()
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="error", lifespan="off", ws="wsproto", timeout_keep_alive=60)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    app.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    yield app
    server.should_exit = True
    server.force_exit = True
    thread.join()


@pytest.fixture
def platform() -> Iterator[Platform]:
    with served() as app:
        yield app


def planned(seed: int | None = None) -> LoadPlan:
    """What LOAD amounts to."""
    return make("june_peak", scale=0.1, speed=300.0, seed=seed, part=WantedExcerpt(window="15min"),
                overrides=OVERRIDES)  # fmt: skip


def scheduled(plan: LoadPlan) -> Counter[tuple[str, str]]:
    """How often each path is asked for by the schedule."""
    return Counter(
        (a.step.method, a.step.path.replace("{id}", str(a.wedding))) for a in ArrivalSchedule(plan)
    )


USERS = ("-f", "locustfiles/wedsync.py", "--only-summary")
HEADLESS = (*USERS, "--headless")


@pytest.fixture(scope="module")
def locust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locusts]:
    with locusts(tmp_path_factory.mktemp("locusts")) as forks:
        yield forks


def free_port() -> str:
    return str(free_ports(1)[0])


def test_the_schedule_is_sent_whole_and_recorded(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    folder = tmp_path / "record"
    ended = locust.run(
        *HEADLESS, "--host", platform.address, *LOAD, *LENIENT, "--record", str(folder),
        "--photo-kib", "100",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert platform.paths() == scheduled(planned())
    assert ended.stdout.splitlines()[-1] == str(folder)

    summary = json.loads((folder / "load_summary.json").read_text())
    assert summary["verdict"] == "passed"
    assert summary["requests"]["sent"] == summary["requests"]["ok"] == len(platform.seen)
    roles = {arrival.role for arrival in ArrivalSchedule(planned())}
    assert set(summary["roles"]) == roles >= {"couple", "guest", "vendor"}
    rows = pd.read_parquet(folder / "load.parquet")
    assert rows["intended"].sum() == rows["ok"].sum() == len(platform.seen)
    assert set(rows["service"]) == {"api", "real-time", "file-storage"}
    assert "# Load of june_peak: passed" in (folder / "load.md").read_text()
    assert sorted(path.name for path in folder.iterdir()) == [
        "load.md", "load.parquet", "load_summary.json",
    ]  # fmt: skip

    photos = [(kind, body) for _, path, kind, body in platform.seen if path.endswith("/photos")]
    for kind, body in photos:
        form = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
        _, photo = form.get_payload()
        assert 100 * 1024 - 4 <= len(photo.get_payload(decode=True)) <= 100 * 1024
    assert photos
    said = [json.loads(body) for method, *_, body in platform.seen if method == "WS"]
    assert said
    assert all(message == {"text": "Cheers"} for message in said)


@pytest.mark.slow
def test_the_load_of_a_trace_has_guests_alone_and_no_exception(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    trace = tmp_path / "trace.csv"
    rows = (f"2024-05-{day:02d}T{hour:02d}:00Z,{hour + 1}" for day in (1, 2) for hour in range(24))
    trace.write_text("time,requests\n" + "\n".join(rows) + "\n")
    folder = tmp_path / "record"
    ended = locust.run(
        *HEADLESS, "--host", platform.address, "--scenario", "trace", "--scale", "1", "--speed",
        "300", "--start", "peak", "--duration", "10min", "--override", f"trace.path={trace}",
        "--override", "trace.peak_per_s=40", "--override", "trace.date=2024-05-02", *LENIENT,
        "--record", str(folder),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    summary = json.loads((folder / "load_summary.json").read_text())
    assert set(summary["roles"]) == {"guest"}
    assert summary["exceptions"] == {}
    assert "Error" not in ended.stderr
    assert "Couple" not in ended.stderr


BROKEN = """
from locust import task
from locustfiles import wedsync
from locustfiles.wedsync import *

class Guest(wedsync.Guest):
    def on_start(self):
        if id(self) % 2:
            self.desk["nobody"]

    @task
    def cut_the_cake(self):
        self.knife.cut()

class Couple(wedsync.Couple):
    def on_stop(self):
        raise OSError("the car has gone")
"""


def test_an_exception_in_a_user_class_fails_the_load_with_few_words(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    locustfile = tmp_path / "broken.py"
    locustfile.write_text(BROKEN)
    folder = tmp_path / "record"
    ended = locust.run(
        "-f", str(locustfile), "--only-summary", "--headless", "--host", platform.address, *LOAD,
        *LENIENT, "--record", str(folder),
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr[-2000:]
    summary = json.loads((folder / "load_summary.json").read_text())
    assert summary["verdict"] == "failed"
    assert all(one["passed"] for one in summary["thresholds"])
    raised = " ".join(summary["exceptions"])
    assert "Guest: AttributeError: 'Guest' object has no attribute 'knife'" in raised
    assert "Couple: OSError: the car has gone" in raised
    assert "User classes raised exceptions" in ended.stderr
    assert len(ended.stderr) < 60_000


def test_two_workers_send_together_what_one_would_and_begin_when_they_are_told_to(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    port = free_port()
    begins_s = time.time() + 15.0
    workers = [locust.start(*USERS, "--worker", "--master-port", port) for _ in range(2)]
    ended = locust.run(
        *HEADLESS, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port,
        "--expect-workers", "2", "--host", platform.address, "--seed", "8", *LOAD, *LENIENT,
        "--record", str(tmp_path / "record"), "--begin-at", f"{begins_s:.3f}",
    )  # fmt: skip
    if ended.returncode == 1 and "could not send the load as planned" in ended.stderr:
        pytest.skip("the machine was too busy for the load that the workers share")
    assert ended.returncode == 0, ended.stderr
    for worker in workers:
        assert worker.ended().returncode == 0, worker.said()
    assert platform.paths() == scheduled(planned(seed=8))
    summary = json.loads((tmp_path / "record" / "load_summary.json").read_text())
    assert summary["generator"]["workers"] == 2
    started_s = dt.datetime.fromisoformat(summary["started_at"]).timestamp()
    assert started_s >= begins_s - 0.01
    assert summary["requests"]["ok"] == len(platform.seen)


MORTAL = """
import os, signal
from locust import events
from locustfiles import wedsync
from locustfiles.wedsync import *

sent = 0

@events.request.add_listener
def count(**_):
    global sent
    sent += 1
    if sent == 10:
        os.kill(os.getpid(), signal.SIGKILL)
"""
"""A worker that is killed in the middle of its load, whenever that is."""


@pytest.mark.slow
def test_what_a_lost_worker_did_not_send_is_counted_and_nothing_is_judged(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    port = free_port()
    mortal = tmp_path / "mortal.py"
    mortal.write_text(MORTAL)
    workers = [
        locust.start("-f", file, "--only-summary", "--worker", "--master-port", port)
        for file in (str(mortal), USERS[1])
    ]
    master = locust.start(
        *HEADLESS, "--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port,
        "--expect-workers", "2", "--host", platform.address, *LOAD, "--speed", "100", *LENIENT,
        "--record", str(tmp_path / "record"),
    )  # fmt: skip
    try:
        assert workers[0].ended().returncode == -signal.SIGKILL
        assert master.ended().returncode == 1, master.said()
        assert workers[1].ended().returncode == 0
    finally:
        for process in (*workers, master):
            process.send_signal(signal.SIGKILL)
    summary = json.loads((tmp_path / "record" / "load_summary.json").read_text())
    assert summary["verdict"] == "not judged"
    assert summary["generator"]["lost_workers"] == 1
    requests = summary["requests"]
    assert 10 <= requests["ok"] < 0.9 * requests["intended"]


def test_a_slow_system_gets_the_same_load_and_fails_its_limits(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    platform.delay_s = 0.8
    ended = locust.run(
        *HEADLESS, "--host", platform.address, *LOAD, "--record", str(tmp_path),
        "--threshold", "api.p95_s <= 0.5",
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert platform.paths() == scheduled(planned())
    summary = json.loads((tmp_path / "load_summary.json").read_text())
    assert summary["verdict"] in ("failed", "not judged")  # the machine may be too busy to tell
    # a quantile comes out of a histogram, so it may lie a bucket below the shortest delay
    assert summary["services"]["api"]["p50_s"] >= 0.8 * 0.98
    assert "FAILED  api.p95_s" in ended.stderr


@pytest.mark.slow
def test_what_a_closed_loop_would_hide_is_measured(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    platform.delay_s = 0.2
    ended = locust.run(
        *HEADLESS, "--host", platform.address, *IMPATIENT, *LENIENT, "--record", str(tmp_path),
        "--max-in-flight", "4",
    )  # fmt: skip
    summary = json.loads((tmp_path / "load_summary.json").read_text())
    assert ended.returncode in (0, 1)
    generator = summary["generator"]
    assert generator["peak_in_flight"] == generator["max_in_flight"] == 4
    assert generator["held_ratio"] > 0.3
    hidden = summary["coordinated_omission"]["api"]
    assert hidden["hidden_p95_s"] > 0.3
    assert hidden["felt_p95_s"] > 2 * hidden["answered_p95_s"] - 1.0


def test_failures_are_counted_by_reason_and_tried_again(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    platform.broken = "/photos"
    ended = locust.run(*HEADLESS, "--host", platform.address, *LOAD, "--record", str(tmp_path))
    assert ended.returncode == 1, ended.stderr
    summary = json.loads((tmp_path / "load_summary.json").read_text())
    photos = summary["services"]["file-storage"]
    assert photos["shed"] == photos["sent"] > 0
    assert summary["reasons"] == {"file-storage: HTTP 503": photos["shed"]}
    assert summary["services"]["api"]["shed"] == 0


@pytest.mark.slow
def test_the_web_ui_starts_stops_and_starts_again(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    port = free_port()
    running = locust.start(
        *USERS, "--web-host", "127.0.0.1", "--web-port", port, *LOAD, *LENIENT, "--record",
        str(tmp_path),
    )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        _wait(lambda: "june_peak" in _get(base))  # our options are on the page
        for seed in ("1", "4"):
            platform.seen.clear()
            (tmp_path / "load.md").unlink(missing_ok=True)
            _post(f"{base}/swarm", {"host": platform.address, "seed": seed})
            _wait(
                lambda: (
                    json.loads(_get(f"{base}/stats/requests"))["user_count"] > 0
                    or (tmp_path / "load.md").exists()  # all of it is over before we looked
                )
            )
            _wait((tmp_path / "load.md").exists)
            _wait(lambda: json.loads(_get(f"{base}/stats/requests"))["state"] == "stopped")
            assert platform.paths() == scheduled(planned(seed=int(seed)))
    finally:
        running.send_signal(signal.SIGTERM)
        ended = running.ended()
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_interrupted_load_is_recorded_as_partial(
    locust: Locusts, tmp_path: Path, platform: Platform
) -> None:
    running = locust.start(
        *HEADLESS, "--host", platform.address, *LOAD[:2], "--speed", "10", *LOAD[4:], *LENIENT,
        "--record", str(tmp_path),
    )  # fmt: skip
    _wait(lambda: len(platform.seen) > 20)
    running.send_signal(signal.SIGINT)
    ended = running.ended()
    assert ended.returncode == 130, ended.stderr
    assert "Traceback" not in ended.stderr
    summary = json.loads((tmp_path / "load_summary.json").read_text())
    assert summary["partial"]
    # What was under way at the end may not have arrived.
    assert 20 < summary["requests"]["ok"] <= len(platform.seen)


WRONG = {
    "": "error: --host: is missing; name the platform under test",
    "--scenario=june_peek": "did you mean june_peak",
    "--speed=-1": "argument --speed: '-1' is not allowed (a finite number above 0)",
    "--threshold=fast": 'argument --threshold: "fast" is not allowed',
    "--threshold=api.p96_s <= 1": "did you mean services.api.p9",
    "--record=README.md": "error: --record: README.md is no folder",
    "--override=seed": 'error: --override: "seed" is not allowed, write KEY=VALUE',
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_options_end_before_any_load_with_one_message(
    locust: Locusts, platform: Platform, wrong: str
) -> None:
    host = ["--host", platform.address, wrong] if wrong else []
    ended = locust.run(*HEADLESS, *LOAD[:4], "--override", SMALL, *host)
    assert ended.returncode == 2, ended.stderr
    assert WRONG[wrong] in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not platform.seen


def _wait(until: Any, limit_s: float = 300.0) -> None:
    ends_s = time.monotonic() + limit_s
    while time.monotonic() < ends_s:
        with contextlib.suppress(OSError):
            if until():
                return
        time.sleep(0.1)
    raise AssertionError("it did not come to pass")


def _get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        text: str = answer.read().decode()
    return text


def _post(address: str, form: dict[str, str]) -> None:
    data = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(address, data=data, timeout=60) as answer:
        assert json.loads(answer.read())["success"]
