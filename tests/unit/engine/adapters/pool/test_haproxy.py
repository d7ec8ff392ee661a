"""What the pool makes of one look, with HAProxy played: what real parts cannot be made to do."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from engine.adapters.pool import haproxy
from engine.adapters.pool.book import Book, Instance, PoolFile, WorkerPhase
from engine.adapters.pool.haproxy import HaproxyPool, PoolDelays
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

    def add(self, server: str, address: str, options: str, *, serving: bool = True) -> None:
        self.ask("")
        self.commands.append(f"add {server}{'' if serving else ' without requests'}")

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
    made = HaproxyPool(place, Worker(("false",), {}), delays=PoolDelays(poll_s=3600.0))
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


@pytest.fixture
def alive(pool: HaproxyPool) -> Iterator[Process]:
    """A process that does nothing, as that of a worker."""
    process = haproxy.processes.launch(["sleep", "600"], pool._place.folder / "log", token="token")
    yield process
    haproxy.processes.stop([process], first=haproxy.signal.SIGKILL, patience_s=1.0)


@pytest.mark.parametrize(
    ("states", "ready", "ways"),
    [
        ([ServerState(0, "MAINT")], 0, "MAINT"),
        ([ServerState(3, "DRAIN"), ServerState(0, "MAINT")], 0, "MAINT"),
        ([ServerState(0, "UP", weight=0), ServerState(0, "DOWN", weight=0)], 0, "weight 0"),
        ([ServerState(0, "DOWN (agent)")], 0, "agent down"),
        ([ServerState(0, "MAINT"), ServerState(0, "UP 1/2")], 1, ""),
        ([ServerState(0, "DOWN"), ServerState(0, "DRAIN"), ServerState(0, "UP")], 1, ""),
        ([ServerState(0, "no check", checked=False)], 1, "health check disabled"),
    ],
)
def test_what_somebody_did_by_hand_is_left_so_and_counted_as_it_is(
    pool: HaproxyPool, alive: Process, states: list[ServerState], ready: int, *, ways: str
) -> None:
    put(pool, WorkerPhase.READY, alive)
    for state in states:
        played(pool).states = {"api/api-1": state}
        look(pool)
    assert played(pool).commands == []
    assert alive.alive
    sighting = pool.observe()
    assert sighting.services["api"] == Counts(1, ready, 0, 1 - ready)
    assert [f"({ways})" in notice for notice in sighting.notices] == ([True] if ways else [])
    scraped = (pool._place.targets / "workers.json").read_text()
    assert ("api-1" in scraped) is (ready == 1)


def test_one_that_is_ill_is_replaced_and_one_that_somebody_took_out_is_not(
    pool: HaproxyPool, alive: Process
) -> None:
    pool._delays = pool._delays._replace(ill_s=-1.0)
    put(pool, WorkerPhase.READY, alive)
    played(pool).states = {"api/api-1": ServerState(0, "DOWN", admin=8)}
    look(pool)
    assert alive.alive
    played(pool).states = {"api/api-1": ServerState(0, "DOWN")}
    look(pool)
    until_s = time.monotonic() + 300.0
    while alive.alive:  # a signal takes its time
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_a_server_that_haproxy_forgot_is_added_as_it_was(pool: HaproxyPool, alive: Process) -> None:
    put(pool, WorkerPhase.READY, alive)
    look(pool)
    played(pool).states = {"api/api-1": ServerState(0, "MAINT")}
    look(pool)
    played(pool).states = {}
    look(pool)
    assert played(pool).commands == ["add api/api-1", "add api/api-1 without requests"]


def test_an_addition_that_was_interrupted_is_made_good_and_is_nobodys_wish(
    pool: HaproxyPool, alive: Process
) -> None:
    put(pool, WorkerPhase.READY, alive)
    api = played(pool)
    refuse = api.add

    def interrupted(*_: object, **__: object) -> None:
        assert pool._file.read().instances[0].adding  # written down before HAProxy is asked
        raise RuntimeApiError("gone")

    api.add = interrupted  # type: ignore[method-assign]
    look(pool)
    api.add = refuse  # type: ignore[method-assign]
    api.states = {"api/api-1": ServerState(0, "MAINT")}
    (instance,) = look(pool).instances
    assert api.commands == ["add api/api-1"]
    assert (instance.adding, instance.sidelined_s, instance.by_hand) == (False, 0.0, "")


def test_one_that_leaves_is_drained_again_while_there_is_patience(
    pool: HaproxyPool, alive: Process
) -> None:
    put(pool, WorkerPhase.DRAINING, alive)
    with pool._file.change() as book:
        book.services["api"].desired = 0
        book.instances[0].since_s = time.time()
    played(pool).states = {"api/api-1": ServerState(3, "UP")}
    (instance,) = look(pool).instances
    assert instance.phase is WorkerPhase.DRAINING
    assert played(pool).commands == ["drain api/api-1"]
    with pool._file.change() as book:
        book.instances[0].since_s = time.time() - 1000.0
    (instance,) = look(pool).instances
    assert instance.phase is WorkerPhase.STOPPING
    assert played(pool).commands == ["drain api/api-1", "remove api/api-1"]


def test_a_haproxy_that_does_not_answer_is_told_while_it_does_not(pool: HaproxyPool) -> None:
    assert pool.observe().notices == ()
    played(pool).answers = False
    pool._look()
    assert pool.observe().notices == ("no answer",)
    played(pool).answers = True
    pool._look()
    assert pool.observe().notices == ()


def test_a_book_of_before_is_read_as_if_nobody_had_done_anything_by_hand(
    pool: HaproxyPool, alive: Process
) -> None:
    put(pool, WorkerPhase.READY, alive)
    path = pool._place.pool
    kept = json.loads(path.read_text())
    kept["version"] = 2
    for instance in kept["instances"]:
        for name in ("sidelined_s", "by_hand", "adding"):
            del instance[name]
    path.write_text(json.dumps(kept))
    assert pool.observe().services["api"] == Counts(1, 1, 0, 0)
    path.write_text(json.dumps({**kept, "version": 1}))
    with pytest.raises(Unreachable, match="version 1"):
        pool.observe()


def test_a_launch_that_was_never_made_is_forgotten(pool: HaproxyPool) -> None:
    put(pool, WorkerPhase.BOOTING, None)
    assert look(pool).instances == []


def test_a_stack_that_goes_down_cannot_be_seen(pool: HaproxyPool) -> None:
    with pool._file.change() as book:
        book.closed = True
    with pytest.raises(Unreachable, match="is being taken down"):
        pool.observe()
