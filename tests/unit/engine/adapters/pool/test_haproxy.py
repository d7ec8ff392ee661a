"""What the pool makes of one look, with HAProxy played: what real parts cannot be made to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.adapters.pool import haproxy
from engine.adapters.pool.book import Book, Instance, PoolFile, WorkerPhase
from engine.adapters.pool.haproxy import HaproxyPool
from engine.adapters.pool.place import Place, Worker
from engine.adapters.pool.processes import Process
from engine.adapters.pool.runtime_api import RuntimeApiError, ServerState
from engine.model import BootTime, ServiceSpec
from engine.ports.infrastructure import Counts, Unreachable

DEAD = Process(1, -1)


class Played:
    """HAProxy's side: its servers, what it was told, and whether it answers and lets go."""

    def __init__(self, _: Path) -> None:
        self.states: dict[str, ServerState] = {}
        self.commands: list[str] = []
        self.answers = True
        self.lets_go = True

    def ask(self, command: str) -> str:
        if not self.answers:
            raise RuntimeApiError("no answer")
        return command

    def servers(self) -> dict[str, ServerState]:
        self.ask("")
        return self.states

    def add(self, server: str, address: str, options: str) -> None:
        self.commands.append(f"add {server}")

    def enable(self, server: str) -> None:
        self.commands.append(f"enable {server}")

    def drain(self, server: str) -> None:
        self.commands.append(f"drain {server}")

    def remove(self, server: str) -> bool:
        self.ask("")
        self.commands.append(f"remove {server}")
        return self.lets_go


def write_stack(place: Place) -> None:
    """What whoever brought the platform up left in its folder."""
    spec = ServiceSpec("api", 1, 4, 2, 0.1, 1.0, BootTime(5.0, 8.0), 1.0, 0.5, 0.1)
    stack = {
        "token": "token", "zones": ["a"], "ports": {"prometheus": 9090},
        "services": {"api": {"spec": asdict(spec)}},
    }  # fmt: skip
    place.stack.write_text(json.dumps(stack))


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HaproxyPool]:
    """A pool of api that looks only when it is told to and cannot launch anything."""
    place = Place(tmp_path)
    write_stack(place)
    place.targets.mkdir()
    PoolFile(place.pool).create({"api": 1})
    monkeypatch.setattr(haproxy, "RuntimeApi", Played)
    monkeypatch.setattr(HaproxyPool, "_launch", lambda *_: None)
    made = HaproxyPool(place, Worker(("false",), {}), poll_s=3600.0)
    yield made
    made.close()


def played(pool: HaproxyPool) -> Played:
    api = pool._api
    assert isinstance(api, Played)
    return api


def put(pool: HaproxyPool, phase: WorkerPhase, process: Process | None) -> None:
    with pool._file.change() as book:
        book.instances = [Instance("api-1", "api", "a", 4001, phase, 1.0, 2.0, 0.0, process)]


def look(pool: HaproxyPool) -> Book:
    pool._look()
    return pool._file.read()


def test_the_dead_are_not_counted_on_while_haproxy_still_holds_them(
    pool: HaproxyPool,
) -> None:
    put(pool, WorkerPhase.READY, DEAD)
    api = played(pool)
    api.states = {"api/api-1": ServerState(3, "MAINT")}
    api.lets_go = False
    look(pool)
    assert pool.observe().services["api"] == Counts(desired=1, ready=0, booting=0, draining=1)
    assert api.commands == ["remove api/api-1"]  # and by no means enabled again
    api.lets_go = True
    assert look(pool).instances == []


def test_without_haproxy_nobody_is_taken_for_drained(pool: HaproxyPool) -> None:
    alive = haproxy.processes.launch(["sleep", "60"], pool._place.folder / "log", token="token")
    try:
        put(pool, WorkerPhase.DRAINING, alive)
        played(pool).answers = False
        (instance,) = look(pool).instances
        assert instance.phase is WorkerPhase.DRAINING
        assert alive.alive
    finally:
        haproxy.processes.stop([alive], first=haproxy.signal.SIGKILL, patience_s=1.0)


@pytest.mark.parametrize("status", ["MAINT", "DRAIN"])
def test_a_ready_server_that_was_left_without_requests_gets_them_again(
    pool: HaproxyPool, status: str
) -> None:
    alive = haproxy.processes.launch(["sleep", "60"], pool._place.folder / "log", token="token")
    try:
        put(pool, WorkerPhase.READY, alive)
        played(pool).states = {"api/api-1": ServerState(0, status)}
        look(pool)
        assert played(pool).commands == ["enable api/api-1"]
    finally:
        haproxy.processes.stop([alive], first=haproxy.signal.SIGKILL, patience_s=1.0)


def test_a_launch_that_was_never_made_is_forgotten(pool: HaproxyPool) -> None:
    put(pool, WorkerPhase.BOOTING, None)
    assert look(pool).instances == []


def test_a_stack_that_goes_down_cannot_be_seen(pool: HaproxyPool) -> None:
    with pool._file.change() as book:
        book.closed = True
    with pytest.raises(Unreachable, match="is being taken down"):
        pool.observe()
