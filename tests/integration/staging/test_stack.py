"""The stack as a user meets it: up, what it serves, status, down, and every way to go wrong."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
import websocket

from engine.adapters.pool import processes
from engine.adapters.pool.book import PoolFile, WorkerPhase
from tests.integration.staging.conftest import FAST_BOOT, Staging, staged
from twin.staging import layout
from twin.staging.command import run as staging_command
from twin.staging.layout import Layout

PAGES = ("", "/guests", "/timeline", "/seating", "/updates")
POSTS = ("/rsvp", "/songs", "/check-ins", "/timeline", "/messages", "/photos")


def metric(staging: Staging, query: str) -> float:
    answer = requests.get(
        f"{staging.prometheus}/api/v1/query", params={"query": query}, timeout=60
    ).json()
    series = answer["data"]["result"]
    return float(series[0]["value"][1]) if series else 0.0


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_a_wedding_is_served(staging: Staging, page: str) -> None:
    answer = requests.get(f"{staging.front}/weddings/7{page}", timeout=60)
    assert answer.status_code == 200
    assert answer.json() is not None


@pytest.mark.parametrize("page", POSTS)
def test_everything_that_people_send_is_taken(staging: Staging, page: str) -> None:
    answer = requests.post(f"{staging.front}/weddings/7{page}", json={"text": "x"}, timeout=60)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "path",
    ["/health", "/metrics", "/drain", "/database/guests/1", "/api/x/1", "/weddings/x", "/nonsense"],
)
def test_what_is_not_for_users_is_not_found(staging: Staging, path: str) -> None:
    assert requests.get(staging.front + path, timeout=60).status_code == 404


def test_an_answer_is_in_the_database_when_it_is_confirmed(staging: Staging) -> None:
    answers = [staging.front + "/weddings/9/rsvp"] * 40  # each is for another guest of the forty
    with ThreadPoolExecutor(8) as guests_answering:
        list(
            guests_answering.map(
                lambda url: requests.post(url, b"yes, gladly", timeout=60), answers
            )
        )
    guests = requests.get(f"{staging.front}/weddings/9/guests", timeout=60).json()
    assert {guest["answer"] for guest in guests} == {"yes, gladly"}


def test_a_message_reaches_everybody_who_watches_the_wedding(staging: Staging) -> None:
    address = staging.front.replace("http", "ws")
    watching = [websocket.create_connection(f"{address}/weddings/{w}/live") for w in (11, 11, 12)]
    try:
        for number, guest in enumerate(watching):  # who hears what they say is there
            guest.settimeout(300)
            guest.send(json.dumps({"text": f"guest {number}"}))
            while json.loads(guest.recv())["text"] != f"guest {number}":
                pass
        watching[0].send(json.dumps({"text": "cake!"}))
        for guest in watching[:2]:
            while (heard := json.loads(guest.recv()))["text"] != "cake!":
                assert heard == {"wedding": 11, "text": "guest 1"}
            assert heard == {"wedding": 11, "text": "cake!"}
        watching[2].settimeout(0.5)
        with pytest.raises(websocket.WebSocketTimeoutException):
            watching[2].recv()
    finally:
        for guest in watching:
            guest.close()
    latest = requests.get(f"{staging.front}/weddings/11/updates", timeout=60).json()
    assert latest[0]["text"] == "cake!"


def test_what_is_said_counts_to_its_end_though_the_guest_has_left(staging: Staging) -> None:
    address = f"{staging.front.replace('http', 'ws')}/weddings/13/live"
    (worker,) = PoolFile(staging.place.pool).read().of("real-time", WorkerPhase.READY)

    def counted() -> tuple[int, int]:
        """Requests that arrived, and what became of them."""
        page = requests.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=60).text
        lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
        return tuple(
            sum(int(float(value)) for name, _, value in lines if name.startswith(counter))
            for counter in ("wedtwin_requests_total{", "wedtwin_responses_total{")
        )  # type: ignore[return-value]

    arrived, _ = counted()
    for _ in range(12):
        guests = [websocket.create_connection(address) for _ in range(3)]
        for guest in guests:
            guest.send(json.dumps({"text": "bye"}))
        for guest in guests:
            guest.shutdown()  # the connection is cut, nobody says goodbye
    end = time.monotonic() + 300
    while (now := counted())[0] != now[1]:
        assert time.monotonic() < end, now
        time.sleep(0.2)
    assert now[0] - arrived > 12


@pytest.mark.slow
def test_uploads_make_jobs_that_are_worked_off_and_prometheus_sees_it_all(staging: Staging) -> None:
    for k in range(20):
        sent = requests.post(f"{staging.front}/weddings/3/photos", data=b"%d" % k, timeout=60)
        assert sent.status_code == 200
    expected = {
        'sum(wedtwin_responses_total{service="ai-services",outcome="served"})': 1,
        "count(up == 1)": 7,  # HAProxy and six workers
        'sum(wedtwin_requests_total{service="file-storage"})': 20,
        'sum(haproxy_backend_http_responses_total{proxy="file-storage"})': 20,
    }
    end = time.monotonic() + 300
    while any(metric(staging, query) < least for query, least in expected.items()):
        assert time.monotonic() < end, {query: metric(staging, query) for query in expected}
        time.sleep(0.5)
    assert len(list(staging.place.photos.iterdir())) >= 20


def test_all_is_bound_to_the_loopback_interface(staging: Staging) -> None:
    ours = [
        connection.laddr.ip
        for process in processes.marked(staging.stack.token)
        for connection in psutil.Process(process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(ours) >= 9  # front, exporter, Prometheus, six workers
    assert set(ours) == {"127.0.0.1"}


def test_status_says_what_runs_and_exits_with_0(staging: Staging) -> None:
    end = time.monotonic() + 300
    while (ended := staged("status", f"folder={staging.folder}")).returncode:
        # HAProxy may have waited in vain for a worker, or be waited for: a busy machine is late.
        assert "HAProxy" in ended.stderr and time.monotonic() < end, ended.stderr
    for name, process in staging.stack.processes.items():
        assert f"{name:<14} pid {process.pid}" in ended.stdout
    assert "api            2 desired, 2 ready, 0 booting, 0 draining" in ended.stdout
    assert ended.stdout.splitlines()[-1] == str(staging.folder)


def test_a_second_stack_in_the_same_folder_is_refused(staging: Staging) -> None:
    ended = staged("up", f"folder={staging.folder}")
    assert ended.returncode == 2
    assert f"python -m twin staging down folder={staging.folder}" in ended.stderr
    assert "api            2 desired" in staged("status", f"folder={staging.folder}").stdout


def test_a_port_in_use_is_named_and_nothing_is_left(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = staged("up", f"folder={folder}", f"port={port}")
    assert ended.returncode == 2
    assert f"error: port: {port} cannot be used (Address already in use)" in ended.stderr
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ip"], '"ip" is not a command; did you mean up?'),
        (["up", "folder=/tmp/" + "x" * 80], "a path of sockets may have 75; choose a shorter one"),
        (["up", "platform=nowhere"], 'platform: "nowhere" is not allowed ('),
        (["up", "prot=1"], "prot: unknown key"),
        (["up", "port=70000"], "port: 70000 is not allowed (0 … 65,535)"),
        (["up", "platform.services.api.slots=0"], "platform.services.api.slots: 0 is not allowed"),
        (["up", "--port"], "--port: unknown option"),
        (["down", "folder=/tmp/wt-no-such"], "no stack is up in /tmp/wt-no-such; start one: "),
        (["status", "folder=/tmp/wt-no-such"], "no stack is up in /tmp/wt-no-such; start one: "),
    ],
)
def test_bad_input_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert staging_command(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_part_that_does_not_start_is_named_with_its_last_words(
    folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho no memory for me\nexit 1\n")
    broken.chmod(0o755)
    ended = staged("up", f"folder={folder}", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert ended.returncode == 2
    assert "error: redis ended while it was started: no memory for me" in ended.stderr
    assert not folder.exists()


def test_a_part_that_died_is_named_with_the_way_out_and_down_still_cleans_up(folder: Path) -> None:
    assert staged("up", f"folder={folder}").returncode == 0
    stack = layout.load(Layout(folder))
    stack.processes["prometheus"].send(signal.SIGKILL)
    worker = PoolFile(Layout(folder).pool).read().instances[0]
    assert worker.process is not None
    worker.process.send(signal.SIGKILL)
    end = time.monotonic() + 300
    while stack.processes["prometheus"].alive or worker.process.alive:
        assert time.monotonic() < end
        time.sleep(0.01)
    seen = staged("status", f"folder={folder}")
    assert seen.returncode == 1
    assert f"prometheus (pid {stack.processes['prometheus'].pid}) has ended" in seen.stderr
    assert f"{worker.id} has ended" in seen.stderr
    assert f"python -m twin staging down folder={folder}" in seen.stderr
    assert staged("down", f"folder={folder}", "keep_logs=true").returncode == 0
    assert processes.marked(stack.token) == []
    assert [item.name for item in folder.iterdir()] == ["logs"]
    assert (folder / "logs" / f"{worker.id}.log").exists()


def all_gone(folder: Path, token: str) -> None:
    """Wait until a stack of which nobody takes care has been taken down."""
    end = time.monotonic() + 300
    while folder.exists() or processes.marked(token):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def unready(tmp_path: Path) -> dict[str, str]:
    """An environment in which an `up` does not end before it is seen: Prometheus is never ready."""
    silent = tmp_path / "prometheus"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def kill_an_up(folder: Path, started: int, unready: dict[str, str], *, keeper_too: bool) -> str:
    """Kill an `up` when so many of its processes are there; returns its token."""
    command = [sys.executable, "-m", "twin", "staging", "up", f"folder={folder}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=unready) as starting:
        end = time.monotonic() + 300
        while not (folder / "stack.json").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        token = layout.load(Layout(folder)).token
        # As many of its processes as there are to be then, whether they are written down or not.
        while len(processes.marked(token)) < started:
            assert time.monotonic() < end
            time.sleep(0.01)
        if keeper_too:
            keepers: list[psutil.Process] = []
            while not keepers:
                assert time.monotonic() < end
                for child in psutil.Process(starting.pid).children():
                    with contextlib.suppress(psutil.Error):  # it has ended meanwhile
                        keepers += [child] if token in child.cmdline() else []
            keepers[0].kill()
        starting.kill()
    return token


@pytest.mark.parametrize("started", [0, 3, 5])
def test_an_up_that_is_killed_half_way_leaves_nothing(
    folder: Path, started: int, unready: dict[str, str]
) -> None:
    all_gone(folder, kill_an_up(folder, started, unready, keeper_too=False))


@pytest.mark.parametrize("started", [0, 3, 5])
def test_down_cleans_up_when_even_that_was_prevented(
    folder: Path, started: int, unready: dict[str, str]
) -> None:
    token = kill_an_up(folder, started, unready, keeper_too=True)
    ended = staged("down", f"folder={folder}")
    assert ended.returncode == 0, ended.stderr
    assert processes.marked(token) == []
    assert not folder.exists()


def test_a_demonstration_that_is_killed_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "twin", "staging", "demo", f"folder={folder}",
        f"demo.output={tmp_path}", "demo.duration_s=3600", "demo.speed=1", *FAST_BOOT,
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as playing:
        end = time.monotonic() + 300
        while not (folder / "logs" / "locust.log").exists():
            assert playing.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        token = layout.load(Layout(folder)).token
        playing.kill()
    all_gone(folder, token)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_nothing(
    folder: Path, number: signal.Signals, unready: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "twin", "staging", "up", f"folder={folder}"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=unready
    ) as starting:  # fmt: skip
        while not (folder / "haproxy.cfg").exists():
            time.sleep(0.01)
        token = layout.load(Layout(folder)).token
        starting.send_signal(number)
        _, said = starting.communicate(timeout=600)
    assert starting.returncode == 130, said
    assert processes.marked(token) == []
    assert not folder.exists()


def test_the_photo_of_a_form_is_what_is_kept(staging: Staging) -> None:
    photo = b"\xff\xd8 a cake \r\n\r\n in two lines \xff\xd9"
    answer = requests.post(
        f"{staging.front}/weddings/3/photos",
        files={"photo": ("cake.jpg", photo, "image/jpeg")},
        data={"caption": "The cake"},
        timeout=600,
    )
    assert (staging.place.photos / answer.json()["photo"]).read_bytes() == photo
