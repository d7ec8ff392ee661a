"""Scaling for real: no request is lost on the way, and whatever breaks is mended."""

from __future__ import annotations

import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import websocket

from engine.adapters.pool import processes
from engine.adapters.pool.book import Instance, PoolFile, WorkerPhase
from engine.adapters.pool.haproxy import HaproxyPool, PoolDelays
from engine.adapters.pool.runtime_api import RuntimeApi, RuntimeApiError
from engine.model import Status
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from tests.integration.staging.conftest import Staging, action, until
from twin.staging import parts
from twin.staging.worker_environment import LAUNCHED, WORKER

FENCE = Fence(1)

Scale = Callable[[str, int], Counts]


@pytest.fixture
def pool(staging: Staging) -> Iterator[HaproxyPool]:
    # Patient: what a busy machine does late is neither ill nor hangs.
    made = HaproxyPool(staging.place, WORKER, delays=PoolDelays(300.0, 300.0, 300.0))
    yield made
    made.close()


@pytest.fixture
def scale(pool: HaproxyPool) -> Scale:
    """Bring a service to a count and wait until it is there."""

    def to(service: str, count: int) -> Counts:
        before = pool.observe().services[service].desired
        name = f"{service}-{before}-{count}-{time.time_ns()}"
        if before != count:
            (result,) = pool.apply([action(name, service, before, count)], FENCE)
            assert result.status is Status.ACCEPTED, result
        return until(pool, service, lambda c: c == Counts(count, count, 0, 0))

    return to


def instances(staging: Staging, service: str, *phases: WorkerPhase) -> list[Instance]:
    return PoolFile(staging.place.pool).read().of(service, *(phases or tuple(WorkerPhase)))


def booting(staging: Staging, service: str) -> list[processes.Process]:
    """The processes of those that boot, as far as they are started."""
    return [i.process for i in instances(staging, service, WorkerPhase.BOOTING) if i.process]


class Watching:
    """Guests who watch a wedding, and connect again when they are asked to."""

    def __init__(self, address: str, count: int) -> None:
        self.closings: Counter[int] = Counter()
        self.broken: list[str] = []
        self.heard = 0
        self._address = address
        self._leaving = threading.Event()
        self._threads = [threading.Thread(target=self._watch) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def leave(self) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        while not self._leaving.is_set():
            try:
                connection = websocket.create_connection(self._address, timeout=300.0)
            except (OSError, websocket.WebSocketException) as error:
                self.broken.append(f"connecting: {error!r}")
                return
            connection.settimeout(0.5)  # so soon it is seen that the guests leave
            while not self._leaving.is_set():
                try:
                    code, body = connection.recv_data()
                except websocket.WebSocketTimeoutException:
                    continue
                except (OSError, websocket.WebSocketException) as error:
                    self.broken.append(f"watching: {error!r}")
                    return
                if code == websocket.ABNF.OPCODE_CLOSE:
                    self.closings[int.from_bytes(body[:2], "big")] += 1
                    break
                self.heard += 1
            connection.close()


@contextmanager
def load(staging: Staging, wrk: str, path: str) -> Iterator[list[str]]:
    """wrk with 8 connections, for as long as the block; afterwards the list holds what it said."""
    said: list[str] = []
    command = [wrk, "-t1", "-c8", "-d3600s", "--timeout", "600s", f"{staging.front}{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            yield said
        finally:
            running.send_signal(signal.SIGINT)
            said.append(running.communicate(timeout=600)[0])


def statistics(staging: Staging, service: str) -> list[dict[str, str]]:
    """What HAProxy has counted of a service's servers, and in the last row of them all."""
    said = RuntimeApi(staging.place.admin_socket).ask("show stat")
    head, *lines = said.lstrip("# ").strip().splitlines()
    rows = [dict(zip(head.split(","), line.split(","), strict=False)) for line in lines]
    return [row for row in rows if row["pxname"] == service]


def wait_until(true: Callable[[], bool], why: Callable[[], object]) -> None:
    end_s = time.monotonic() + 300.0
    while not true():
        assert time.monotonic() < end_s, why()
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.load
def test_no_request_fails_while_instances_come_and_go(
    staging: Staging, scale: Scale, wrk: str
) -> None:
    def asked_of(service: str) -> int:
        return int(statistics(staging, service)[-1]["stot"])

    scale("real-time", 3)
    watching = Watching(f"{staging.front.replace('http', 'ws')}/weddings/5/live", 9)
    moved = 0
    with ExitStack() as stack:
        stack.callback(watching.leave)
        pages = stack.enter_context(load(staging, wrk, "/weddings/5"))
        updates = stack.enter_context(load(staging, wrk, "/weddings/5/updates"))
        before = {name: asked_of(name) for name in ("api", "real-time")}
        enough_s = time.monotonic() + 5
        while time.monotonic() < enough_s or moved < 1:
            scale("api", 4)
            scale("real-time", 1)
            scale("api", 2)
            scale("real-time", 3)
            moved += 1
        for name, count in before.items():
            wait_until(lambda n=name, c=count: asked_of(n) > c + 300, lambda n=name: asked_of(n))  # type: ignore[misc]
    scale("real-time", 1)
    assert moved >= 1
    for said in (*pages, *updates):
        requests = re.search(r"(\d+) requests in", said)
        assert requests is not None, said
        assert int(requests[1]) > 100, said
        assert "Socket errors" not in said, said
        assert "Non-2xx" not in said, said
    assert watching.broken == []
    # Guests were moved by being asked to connect again, and in no other way.
    assert set(watching.closings) == {1012}


@pytest.mark.load
def test_connections_to_workers_are_used_again(staging: Staging, wrk: str) -> None:
    """Or each request would cost one, and a worker the memory of them all."""

    def connections() -> tuple[int, int]:
        """New ones and uses of a kept one, by the servers of real-time."""
        mine = [r for r in statistics(staging, "real-time") if r["svname"] != "BACKEND"]
        return sum(int(r["connect"]) for r in mine), sum(int(r["reuse"]) for r in mine)

    made, used = connections()
    with load(staging, wrk, "/weddings/5/updates"):
        wait_until(lambda: connections()[1] > used + 100, connections)
    made_then, used_then = connections()
    assert used_then - used > 50
    assert used_then - used > 5 * (made_then - made)


@pytest.mark.slow
@pytest.mark.load
def test_three_instances_carry_about_three_times_as_much_as_one(
    staging: Staging, scale: Scale, wrk: str
) -> None:
    carried: dict[int, int] = {}

    def is_three_times_as_much() -> bool:
        """Once for a few seconds the machine does nothing else, or the same beside both."""
        for count in (1, 3):
            scale("real-time", count)
            command = [wrk, "-t1", "-c60", "-d3s", "--timeout", "600s",
                       f"{staging.front}/weddings/5/updates"]  # fmt: skip
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert "Non-2xx" not in said
            carried[count] = int(said.split(" requests in")[0].split()[-1])
        return carried[3] / max(carried[1], 1) == pytest.approx(3.0, rel=0.2)

    wait_until(is_three_times_as_much, lambda: carried)
    scale("real-time", 1)


def test_a_decision_counts_once(staging: Staging, pool: HaproxyPool, scale: Scale) -> None:
    scale("api", 2)
    out, back = action("once", "api", 2, 3), action("back", "api", 3, 2)
    for asked in (out, out, back, back, out):
        (result,) = pool.apply([asked], FENCE)
        assert result.status is Status.ACCEPTED
    assert pool.observe().services["api"].desired == 2
    until(pool, "api", lambda c: c == Counts(2, 2, 0, 0))


@pytest.mark.parametrize(
    ("service", "before", "after", "said"),
    [
        ("api", 5, 6, "conflict: 2 are desired, not 5"),
        ("api", 2, 99, "99 instances are not allowed (2 … 8)"),
        ("api", 2, 0, "0 instances are not allowed (2 … 8)"),
        ("cinema", 1, 2, 'there is no service "cinema"'),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    pool: HaproxyPool, scale: Scale, service: str, before: int, *, after: int, said: str
) -> None:
    scale("api", 2)
    (result,) = pool.apply([action(f"{service}{after}", service, before, after)], FENCE)
    assert (result.status, result.detail) == (Status.FAILED, said)


def test_an_engine_that_was_followed_by_another_is_refused(
    staging: Staging, pool: HaproxyPool
) -> None:
    follower = HaproxyPool(staging.place, WORKER)
    try:
        (result,) = pool.apply([action("late", "api", 2, 3)], FENCE)
        assert result.status is Status.FAILED
        why = f"keeper {pool.keeper} is over, {follower.keeper} looks after the pool"
        assert result.detail == why
    finally:
        follower.close()


def test_a_worker_that_dies_is_replaced(staging: Staging, pool: HaproxyPool, scale: Scale) -> None:
    scale("api", 2)
    victim = instances(staging, "api")[0]
    assert victim.process is not None
    victim.process.send(signal.SIGKILL)
    until(pool, "api", lambda c: c.ready == 1)
    until(pool, "api", lambda c: c == Counts(2, 2, 0, 0))
    assert victim.id not in {i.id for i in instances(staging, "api")}
    assert victim.server not in RuntimeApi(staging.place.admin_socket).servers()


def test_a_worker_that_hangs_is_replaced(staging: Staging, pool: HaproxyPool, scale: Scale) -> None:
    scale("api", 2)
    victim = instances(staging, "api")[0]
    assert victim.process is not None
    pool._delays = pool._delays._replace(ill_s=1.0)
    victim.process.send(signal.SIGSTOP)
    until(pool, "api", lambda c: c.ready == 1)  # HAProxy's health check has found it
    until(pool, "api", lambda c: c == Counts(2, 2, 0, 0))
    assert not victim.process.alive


@pytest.mark.slow
def test_a_boot_that_hangs_or_dies_is_reported_and_made_good(staging: Staging) -> None:
    # They boot for as long as it takes to see them boot.
    never = {LAUNCHED: f"{time.time() + 3600.0}"}
    slow = replace(WORKER, environment={**WORKER.environment, **never})
    pool = HaproxyPool(staging.place, slow, delays=PoolDelays(boot_timeout_s=300.0))
    try:
        until(pool, "api", lambda c: c == Counts(2, 2, 0, 0))
        pool.apply([action("slow-boot", "api", 2, 4)], FENCE)
        until(pool, "api", lambda _: len(booting(staging, "api")) == 2)
        hung, dead = booting(staging, "api")
        pool._worker = WORKER
        hung.send(signal.SIGSTOP)
        dead.send(signal.SIGKILL)
        wait_until(lambda: dead not in booting(staging, "api"), lambda: dead)
        pool._delays = pool._delays._replace(boot_timeout_s=5.0)
        wait_until(lambda: hung not in booting(staging, "api"), lambda: hung)
        pool._delays = pool._delays._replace(boot_timeout_s=300.0)
        results = []
        end = time.monotonic() + 300
        while not any(r.status is Status.COMPLETED for r in results):
            assert time.monotonic() < end, results
            results += pool.observe().results
            time.sleep(0.1)
        details = " ".join(r.detail for r in results if r.status is Status.FAILED)
        assert "ended in its boot" in details
        assert "was not ready after" in details
        assert not hung.alive
        pool.apply([action("slow-boot-back", "api", 4, 2)], FENCE)
        until(pool, "api", lambda c: c == Counts(2, 2, 0, 0))
    finally:
        pool.close()


def test_an_engine_killed_right_after_acting_is_followed_up(staging: Staging) -> None:
    asked = pickle.dumps(action("last-words", "real-time", 1, 3))
    script = f"""
import os, pickle, signal, time
from pathlib import Path
from engine.adapters.pool.haproxy import HaproxyPool, PoolDelays
from twin.staging.layout import Layout
from twin.staging.worker_environment import LAUNCHED, WORKER
pool = HaproxyPool(Layout(Path({str(staging.folder)!r})), WORKER, delays=PoolDelays(poll_s=0.01))
pool.apply([pickle.loads({asked!r})], {FENCE})
time.sleep(0.03)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    pool = HaproxyPool(staging.place, WORKER)
    try:
        (again,) = pool.apply([action("last-words", "real-time", 1, 3)], FENCE)
        assert again.status is Status.ACCEPTED
        until(pool, "real-time", lambda c: c == Counts(3, 3, 0, 0))
        listed = {i.process for i in instances(staging, "real-time")}
        marked = processes.marked(staging.stack.token)
        assert listed == {p for p in marked if _is_worker(p, "real-time")}
        pool.apply([action("after", "real-time", 3, 1)], FENCE)
        until(pool, "real-time", lambda c: c == Counts(1, 1, 0, 0))
    finally:
        pool.close()


def _is_worker(process: processes.Process, service: str) -> bool:
    return f"\0{service}\0".encode() in Path(f"/proc/{process.pid}/cmdline").read_bytes()


def test_without_the_admin_socket_commands_fail_and_work_again_with_it(
    staging: Staging, pool: HaproxyPool, scale: Scale
) -> None:
    scale("api", 2)
    path = staging.place.admin_socket
    hidden = path.rename(path.with_name("hidden"))
    (result,) = pool.apply([action("blind", "api", 2, 3)], FENCE)
    assert result.status is Status.FAILED
    assert f"HAProxy's admin socket {path} does not answer" in result.detail
    assert pool.observe().services["api"] == Counts(2, 2, 0, 0)
    hidden.rename(path)
    (result,) = pool.apply([action("seeing", "api", 2, 3)], FENCE)
    assert result.status is Status.ACCEPTED
    until(pool, "api", lambda c: c == Counts(3, 3, 0, 0))
    scale("api", 2)


def test_a_haproxy_that_was_restarted_gets_its_servers_again(
    staging: Staging, pool: HaproxyPool, programs: parts.Programs
) -> None:
    before = set(RuntimeApi(staging.place.admin_socket).servers())
    processes.stop([staging.stack.processes["haproxy"]], first=signal.SIGTERM, patience_s=5.0)
    processes.launch(
        parts.haproxy(programs, staging.place),
        staging.place.logs / "haproxy.log",
        token=staging.stack.token,
    )
    end = time.monotonic() + 300
    while True:
        assert time.monotonic() < end
        time.sleep(0.2)
        try:
            servers = RuntimeApi(staging.place.admin_socket).servers()
        except RuntimeApiError:
            continue  # the socket of before may be there, with nobody behind it yet
        if set(servers) == before and all(state.up for state in servers.values()):
            break
