"""What people do on a real HAProxy stands, is told, and counts as not serving.

HAProxy and workers of a few lines, without the rest of the platform: an instance boots at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.adapters.pool import processes
from engine.adapters.pool.book import Instance, PoolFile, WorkerPhase
from engine.adapters.pool.haproxy import HaproxyPool, PoolDelays
from engine.adapters.pool.place import Place, Worker
from engine.adapters.pool.runtime_api import BACK, RuntimeApi
from engine.model import Status
from engine.ports.infrastructure import Counts
from engine.ports.lease import Fence
from tests.integration.staging.conftest import action
from tests.unit.engine.adapters.pool.test_haproxy import write_stack
from twin.staging.ports import free_ports

FENCE = Fence(1)
NEVER = 1e9
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
READY = WorkerPhase.READY

WORKER = """
import http.server, os, socket, sys, time

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        while self.path == "/slow" and not os.path.exists(sys.argv[3]):
            time.sleep(0.02)
        said = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.server_activate()
server.serve_forever()
"""

CONFIGURATION = """
global
    stats socket {admin} mode 600 level admin
    nbthread 1
defaults
    mode http
    timeout connect 60s
    timeout client 600s
    timeout server 600s
frontend front
    bind 127.0.0.1:{port}
    default_backend api
backend api
    balance leastconn
    option httpchk GET /health
"""


@dataclass
class Balanced:
    """A HAProxy in front of workers, and the pools that look after them."""

    place: Place
    port: int
    haproxy: subprocess.Popen[bytes] | None = None
    pools: list[HaproxyPool] = field(default_factory=list)

    @property
    def api(self) -> RuntimeApi:
        return RuntimeApi(self.place.admin_socket)

    def start_haproxy(self) -> None:
        self.haproxy = subprocess.Popen([HAPROXY, "-db", "-f", str(self.place.folder / "cfg")])
        wait_until(lambda: self.place.admin_socket.exists() and bool(self.api.ask("show version")))

    def stop_haproxy(self) -> None:
        assert self.haproxy is not None
        self.haproxy.kill()
        self.haproxy.wait()
        self.place.admin_socket.unlink()

    def pool(self, **options: float) -> HaproxyPool:
        folder = self.place.folder
        command = (
            "{python}", str(folder / "worker.py"), "{socket}", "{instance}", str(folder / "go"),
        )  # fmt: skip
        pool = HaproxyPool(
            self.place, Worker(command, {}),
            delays=PoolDelays(poll_s=0.05, drain_s=300.0, ill_s=NEVER, sidelined_s=NEVER)._replace(
                **options
            ),
        )  # fmt: skip
        self.pools.append(pool)
        return pool

    def by_hand(self, command: str, instance: Instance) -> None:
        said = self.api.ask(command.format(server=instance.server))
        assert said == "", said

    def instances(self, *phases: WorkerPhase) -> list[Instance]:
        return PoolFile(self.place.pool).read().of("api", *(phases or (READY,)))

    def status(self, instance: Instance) -> str:
        return self.api.servers()[instance.server].status

    def ask(self, path: str = "/") -> str:
        """Which instance answers a request from outside."""
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=600) as page:
            return str(page.read().decode())

    def answering(self) -> set[str]:
        """Which instances answer requests from outside."""
        return {self.ask() for _ in range(12)}

    def scale(self, pool: HaproxyPool, before: int, after: int) -> None:
        name = f"{before}-{after}-{time.time_ns()}"
        (result,) = pool.apply([action(name, "api", before, after)], FENCE)
        assert result.status is Status.ACCEPTED, result


def wait_until(true: Callable[[], bool], why: Callable[[], object] = lambda: "") -> None:
    end_s = time.monotonic() + 300.0
    while not true():
        assert time.monotonic() < end_s, why()
        time.sleep(0.02)


def counted(pool: HaproxyPool, *counts: int) -> None:
    """Wait until so many are desired, ready, booting and draining."""
    wait_until(
        lambda: pool.observe().services["api"] == Counts(*counts),
        lambda: (pool.observe(), counts),
    )


def looks(pool: HaproxyPool, count: int = 6) -> None:
    """Let the pool look so often, and HAProxy check its servers."""
    time.sleep(count * max(pool._delays.poll_s, 0.2))


@pytest.fixture
def balanced() -> Iterator[Balanced]:
    if shutil.which(HAPROXY) is None:
        pytest.skip("haproxy is not installed: sudo apt-get install haproxy")
    folder = Path(tempfile.mkdtemp(prefix="wh-", dir="/tmp"))  # sockets need short paths
    place, port = Place(folder), free_ports(1)[0]
    for each in (place.targets, place.logs, place.admin_socket.parent):
        each.mkdir()
    token = f"by-hand-{os.getpid()}-{folder.name}"
    write_stack(place)
    place.stack.write_text(
        place.stack.read_text().replace('"token": "token"', f'"token": "{token}"')
    )
    (folder / "worker.py").write_text(WORKER)
    (folder / "cfg").write_text(CONFIGURATION.format(admin=place.admin_socket, port=port))
    PoolFile(place.pool).create({"api": 2})
    standing = Balanced(place, port)
    try:
        standing.start_haproxy()
        yield standing
    finally:
        for pool in standing.pools:
            pool.close()
        processes.stop(processes.marked(token), first=signal.SIGKILL, patience_s=1.0)
        if standing.haproxy is not None:
            standing.haproxy.kill()
            standing.haproxy.wait()
        shutil.rmtree(folder)


BY_HAND = {
    "MAINT": ("set server {server} state maint", "MAINT"),
    "disable server": ("disable server {server}", "MAINT"),
    "DRAIN": ("set server {server} state drain", "DRAIN"),
    "weight 0": ("set weight {server} 0", "weight 0"),
    "a share of a weight of one": ("set server {server} weight 40%", "weight 0"),
    "down by order": (
        "disable health {server}; set server {server} health down",
        "health down, health check disabled",
    ),
    "stopping by order": (
        "disable health {server}; set server {server} health stopping",
        "health stopping, health check disabled",
    ),
}


@pytest.mark.parametrize("way", BY_HAND)
def test_what_somebody_took_out_stays_out_is_told_and_not_counted(
    balanced: Balanced, way: str
) -> None:
    command, words = BY_HAND[way]
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    assert pool.observe().notices == ()
    kept, out = balanced.instances()
    for each in command.split("; "):
        balanced.by_hand(each, out)
    counted(pool, 2, 1, 0, 1)
    looks(pool)
    counted(pool, 2, 1, 0, 1)
    assert balanced.answering() == {kept.id}
    (notice,) = pool.observe().notices
    assert notice.startswith(
        f"{out.server} was changed by hand in HAProxy ({words}): it is left so, counts as not ready"
    )
    assert out.id not in (balanced.place.targets / "workers.json").read_text()
    for each in notice.rpartition("to take it back: ")[2].split("; "):
        balanced.by_hand(each, out)
    counted(pool, 2, 2, 0, 0)
    # It was taken back by several commands, and the pool may have looked between two of them.
    wait_until(lambda: pool.observe().notices == ())
    wait_until(lambda: balanced.answering() == {kept.id, out.id})
    assert out.process in {i.process for i in balanced.instances()}
    assert out.id in (balanced.place.targets / "workers.json").read_text()


def test_a_health_check_that_somebody_disabled_stays_so_and_the_instance_serves(
    balanced: Balanced,
) -> None:
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    _, unchecked = balanced.instances()
    balanced.by_hand("disable health {server}", unchecked)
    wait_until(lambda: len(pool.observe().notices) == 1)
    looks(pool)
    assert balanced.status(unchecked) == "no check"
    assert pool.observe().services["api"] == Counts(2, 2, 0, 0)
    (notice,) = pool.observe().notices
    assert "(health check disabled): it counts as ready" in notice
    balanced.by_hand(BACK["health check disabled"], unchecked)
    wait_until(lambda: pool.observe().notices == ())


@pytest.mark.parametrize("command", ["set server {server} state drain", "set weight {server} 0"])
def test_what_is_out_is_not_taken_for_ill(balanced: Balanced, command: str) -> None:
    pool = balanced.pool(ill_s=0.5)
    counted(pool, 2, 2, 0, 0)
    _, out = balanced.instances()
    assert out.process is not None
    balanced.by_hand(command, out)
    counted(pool, 2, 1, 0, 1)
    out.process.send(signal.SIGSTOP)
    wait_until(lambda: balanced.status(out) == "DOWN")
    looks(pool)
    assert out.process.alive
    assert pool.observe().services["api"] == Counts(2, 1, 0, 1)
    # When it is to serve again and cannot, it is replaced as any that is ill.
    balanced.by_hand("set server {server} state ready", out)
    balanced.by_hand("set weight {server} 100%", out)
    counted(pool, 2, 2, 0, 0)
    assert not out.process.alive


def test_what_stays_out_is_replaced_and_one_goes_when_it_is_back(balanced: Balanced) -> None:
    pool = balanced.pool(sidelined_s=0.2)
    counted(pool, 2, 2, 0, 0)
    kept, out = balanced.instances()
    balanced.by_hand("set server {server} state maint", out)
    counted(pool, 2, 2, 0, 1)
    assert balanced.status(out) == "MAINT"
    assert out.id not in balanced.answering()
    balanced.by_hand("set server {server} state ready", out)
    counted(pool, 2, 2, 0, 0)
    assert {i.id for i in balanced.instances()} == {kept.id, out.id}  # the youngest went


def test_all_of_a_service_can_be_taken_out_at_once(balanced: Balanced) -> None:
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    both = balanced.instances()
    balanced.by_hand("set server {server} state maint", both[0])
    balanced.by_hand("set server {server} state drain", both[1])
    counted(pool, 2, 0, 0, 2)
    looks(pool)
    assert [balanced.status(one) for one in both] == ["MAINT", "DRAIN"]
    assert len(pool.observe().notices) == 2
    for one in both:
        balanced.by_hand("set server {server} state ready", one)
    counted(pool, 2, 2, 0, 0)


def test_scaling_leaves_what_is_out_alone(balanced: Balanced) -> None:
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    out = balanced.instances()[-1]
    balanced.by_hand("set server {server} state maint", out)
    counted(pool, 2, 1, 0, 1)
    balanced.scale(pool, 2, 4)
    counted(pool, 4, 3, 0, 1)
    balanced.scale(pool, 4, 3)  # three serve already: there is nothing to take away
    counted(pool, 3, 3, 0, 1)
    balanced.scale(pool, 3, 1)
    counted(pool, 1, 1, 0, 1)
    assert balanced.status(out) == "MAINT"
    assert out.process is not None
    assert out.process.alive


@pytest.mark.parametrize("command", ["set server {server} state maint", "set weight {server} 0"])
def test_it_stays_out_for_the_engine_that_follows(balanced: Balanced, command: str) -> None:
    first = balanced.pool()
    counted(first, 2, 2, 0, 0)
    one, other = balanced.instances()
    balanced.by_hand(command, one)
    counted(first, 2, 1, 0, 1)
    first.close()
    balanced.by_hand(command, other)  # while nobody looks
    second = balanced.pool()
    counted(second, 2, 0, 0, 2)
    looks(second)
    assert not any(state.up for state in balanced.api.servers().values())
    assert len(second.observe().notices) == 2


def test_it_stays_out_when_haproxy_is_restarted_or_its_server_deleted(balanced: Balanced) -> None:
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    kept, out = balanced.instances()
    balanced.by_hand("set server {server} state drain", out)
    counted(pool, 2, 1, 0, 1)
    balanced.stop_haproxy()
    wait_until(lambda: any("does not answer" in text for text in pool.observe().notices))
    balanced.start_haproxy()
    wait_until(lambda: balanced.api.servers().keys() >= {out.server, kept.server})
    wait_until(lambda: balanced.api.servers()[kept.server].up)
    assert balanced.status(out) == "MAINT"
    assert balanced.api.ask(f"del server {out.server}") == "Server deleted."
    wait_until(lambda: out.server in balanced.api.servers())
    looks(pool)
    assert balanced.status(out) == "MAINT"
    counted(pool, 2, 1, 0, 1)
    balanced.by_hand("set server {server} state ready", out)
    counted(pool, 2, 2, 0, 0)
    assert pool.observe().notices == ()


def test_what_leaves_goes_on_leaving_and_loses_no_request(balanced: Balanced) -> None:
    pool = balanced.pool(drain_s=600.0)
    counted(pool, 2, 2, 0, 0)
    with ThreadPoolExecutor() as clients:
        answers = [clients.submit(balanced.ask, "/slow") for _ in range(2)]
        wait_until(lambda: [s.used for s in balanced.api.servers().values()] == [1, 1])
        _, leaving = balanced.instances()
        balanced.scale(pool, 2, 1)
        wait_until(lambda: balanced.status(leaving).startswith("DRAIN"))
        balanced.by_hand("set server {server} state ready", leaving)
        wait_until(lambda: balanced.status(leaving).startswith("DRAIN"))
        assert pool.observe().services["api"] == Counts(1, 1, 0, 1)
        (balanced.place.folder / "go").touch()
        assert {answer.result() for answer in answers} == {"api-1", "api-2"}
    counted(pool, 1, 1, 0, 0)
    assert leaving.server not in balanced.api.servers()


def test_a_drain_that_was_never_ordered_is_made_good(balanced: Balanced) -> None:
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    pool.close()
    _, leaving = balanced.instances()
    with PoolFile(balanced.place.pool).change() as book:  # killed before HAProxy was told
        book.services["api"].desired = 1
        book.instances[-1].phase, book.instances[-1].since_s = WorkerPhase.DRAINING, time.time()
    counted(balanced.pool(drain_s=600.0), 1, 1, 0, 0)
    assert leaving.server not in balanced.api.servers()


def test_what_the_pool_left_half_done_is_no_wish_of_anybody(balanced: Balanced) -> None:
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    pool.close()
    one, other = balanced.instances()
    with PoolFile(balanced.place.pool).change() as book:
        for instance in book.instances:
            if instance.id == one.id:
                instance.adding = True
            else:
                instance.phase = WorkerPhase.BOOTING
    for each in (one, other):  # added and not yet let have requests
        balanced.by_hand("set server {server} state maint", each)
        balanced.by_hand("disable health {server}", each)
    again = balanced.pool()
    counted(again, 2, 2, 0, 0)
    wait_until(lambda: all(state.up for state in balanced.api.servers().values()))
    assert again.observe().notices == ()


def test_killed_at_any_moment_of_a_scale_in_it_leaves_nobody_sidelined(balanced: Balanced) -> None:
    """The drain is written down before HAProxy is told."""
    ordered: list[tuple[str, WorkerPhase]] = []
    pool = balanced.pool()
    counted(pool, 2, 2, 0, 0)
    drain = pool._api.drain

    def watched(server: str) -> None:
        (instance,) = (i for i in balanced.instances(*WorkerPhase) if i.server == server)
        ordered.append((server, instance.phase))
        drain(server)

    pool._api.drain = watched  # type: ignore[method-assign]
    balanced.scale(pool, 2, 1)
    counted(pool, 1, 1, 0, 0)
    assert [phase for _, phase in ordered] == [WorkerPhase.DRAINING]
