"""Bring the stack up, take it down, say what runs.

`up` writes down every process as soon as it is started; `down` stops those, and whatever else
carries the stack's token, so it also cleans up after an `up` that was killed half-way.  Before a
signal is sent, the process has to be the one that was started and not a later one with its pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from engine.adapters.pool import processes
from engine.adapters.pool.book import PoolFile, WorkerPhase
from engine.adapters.pool.haproxy import HaproxyPool, counts
from engine.adapters.pool.processes import Process
from engine.adapters.pool.runtime_api import RuntimeApi, RuntimeApiError, ServerState
from engine.ports.infrastructure import Counts, Unreachable
from twin.staging import layout, parts
from twin.staging.keeper import Keeper
from twin.staging.layout import LONGEST_FOLDER, Layout, Stack, StackError, StagedService
from twin.staging.ports import free_ports
from twin.staging.worker_environment import WORKER

START_S = 60.0
"""So long a part may take to start, on a machine that is busy."""

STOP_S = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StackOptions:
    """What a stack is to be like; a port 0 stands for any free one."""

    folder: Path
    services: Mapping[str, StagedService]
    zones: tuple[str, ...]
    seed: int = 1
    weddings: int = 1000
    port: int = 0
    prometheus_port: int = 0
    remote_write: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class StackProcess:
    """A process of the stack and whether it runs."""

    name: str
    pid: int
    running: bool
    address: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of a stack."""

    parts: tuple[StackProcess, ...]
    services: Mapping[str, Counts]
    trouble: tuple[str, ...]


def up(wish: StackOptions, say: Say = lambda _: None) -> Stack:
    """Start everything and wait until it serves; raises StackError and leaves nothing behind."""
    stack, keeper = _bring_up(wish, say)
    keeper.let_go()
    return stack


@contextlib.contextmanager
def held_up(wish: StackOptions, say: Say = lambda _: None) -> Iterator[Stack]:
    """The same for as long as the block lasts, or this process: also if it is killed.

    Raises StackError when the stack cannot be brought up.
    """
    place = Layout(wish.folder)
    stack, keeper = _bring_up(wish, say)
    try:
        yield stack
    finally:
        say("the stack goes down")
        take_down(place, keep_logs=False)
        keeper.let_go()


def _bring_up(wish: StackOptions, say: Say) -> tuple[Stack, Keeper]:
    programs = parts.find_programs()
    place = Layout(wish.folder)
    _refuse(place)
    stack = Stack(
        token=secrets.token_hex(8),
        seed=wish.seed,
        weddings=wish.weddings,
        zones=wish.zones,
        ports={
            "front": _port("port", wish.port),
            "exporter": _port("", 0),
            "prometheus": _port("prometheus_port", wish.prometheus_port),
        },
        services=dict(wish.services),
    )
    keeper = Keeper(place, stack)
    try:
        _prepare(place, stack)
        try:
            return _start(programs, place, stack, wish.remote_write, say=say), keeper
        except BaseException:
            take_down(place, keep_logs=False)
            raise
    except BaseException:
        keeper.let_go()
        raise


def take_down(place: Layout, *, keep_logs: bool) -> list[str]:
    """Stop every process of the stack and remove its folder, the logs apart if they are wanted.

    Returns the names of those that had to be killed.  Raises StackError if there is no stack.
    """
    stack = layout.load(place)
    with contextlib.suppress(OSError, ValueError), PoolFile(place.pool).change() as book:
        book.closed = True  # an engine that still runs launches nothing any more
    workers: dict[str, Process] = {}
    with contextlib.suppress(OSError, ValueError):
        for instance in PoolFile(place.pool).read().instances:
            if instance.process is not None:
                workers[instance.id] = instance.process
    names = {process.pid: name for name, process in (stack.processes | workers).items()}
    killed = []
    database = [p for name, p in stack.processes.items() if name == "postgres"]
    others = [p for name, p in stack.processes.items() if name != "postgres"]
    killed += processes.stop(workers.values(), first=signal.SIGTERM, patience_s=1.0)
    killed += processes.stop(others, first=signal.SIGTERM, patience_s=STOP_S)
    # SIGINT is PostgreSQL's "fast": it breaks off sessions and shuts down in order.
    killed += processes.stop(database, first=signal.SIGINT, patience_s=STOP_S)
    while left := processes.marked(stack.token):
        processes.stop(left, first=signal.SIGTERM, patience_s=1.0)
    _remove(place, keep_logs=keep_logs)
    return [names.get(pid, str(pid)) for pid in killed if names.get(pid) not in workers]


def look(place: Layout) -> Standing:
    """What runs, and what is not as it should be; raises StackError if there is no stack."""
    stack = layout.load(place)
    addresses = {
        "haproxy": f"http://127.0.0.1:{stack.ports['front']}",
        "prometheus": f"http://127.0.0.1:{stack.ports['prometheus']}",
        "postgres": str(place.postgres),
        "redis": str(place.redis_socket),
    }
    members = tuple(
        StackProcess(name, process.pid, process.alive, addresses.get(name, ""))
        for name, process in stack.processes.items()
    )
    trouble = [
        f"{part.name} (pid {part.pid}) has ended: "
        f"{processes.last_words(place.logs / f'{part.name}.log')}"
        for part in members
        if not part.running
    ]
    trouble += [f"{name} was never started" for name in addresses if name not in stack.processes]
    services: Mapping[str, Counts] = {}
    try:
        book = PoolFile(place.pool).read()
        for instance in list(book.instances):
            if instance.process is None or not instance.process.alive:
                words = processes.last_words(place.logs / f"{instance.id}.log")
                trouble.append(f"{instance.id} has ended: {words}")
                book.instances.remove(instance)
        services = counts(book)
        servers = RuntimeApi(place.admin_socket).servers()
        trouble += [
            f"HAProxy has {instance.server} as {_in_words(servers.get(instance.server))}"
            for instance in book.instances
            if instance.phase is WorkerPhase.READY
            and not (instance.server in servers and servers[instance.server].up)
        ]
    except (OSError, ValueError, RuntimeApiError) as error:
        trouble.append(str(error))
    return Standing(members, services, tuple(trouble))


def _in_words(state: ServerState | None) -> str:
    if state is None:
        return "unknown"
    return ", ".join(state.sidelined) or state.status


def _start(
    programs: parts.Programs,
    place: Layout,
    stack: Stack,
    remote_write: Mapping[str, str] | None,
    *,
    say: Say,
) -> Stack:
    (place.folder / "haproxy.cfg").write_text(parts.haproxy_config(place, stack))
    (place.folder / "prometheus.yml").write_text(
        parts.prometheus_config(place, stack, remote_write)
    )
    say("PostgreSQL: making its data")
    _initdb(programs, place, stack)
    commands: dict[str, Sequence[str | Path]] = {
        "postgres": parts.postgres(programs, place),
        "redis": parts.redis(programs, place),
        "haproxy": parts.haproxy(programs, place),
        "prometheus": parts.prometheus(programs, place, stack),
    }
    for name, command in commands.items():
        process = processes.launch(
            command, place.logs / f"{name}.log", token=stack.token, folder=place.folder
        )
        stack = replace(stack, processes={**stack.processes, name: process})
        stack.save(place)
    say("PostgreSQL, Redis, HAProxy and Prometheus: starting")
    _wait(place, stack, "redis", lambda: _accepts(place.redis_socket))
    _wait(place, stack, "postgres", lambda: _accepts(place.postgres / ".s.PGSQL.5432"))
    _wait(place, stack, "haproxy", lambda: _accepts(place.admin_socket))
    _fill(place, stack)
    PoolFile(place.pool).create(
        {name: service.spec.min_instances for name, service in stack.services.items()}
    )
    _start_workers(place, stack, say)
    url = f"http://127.0.0.1:{stack.ports['prometheus']}/-/ready"
    _wait(place, stack, "prometheus", lambda: _answers(url))
    return stack


def _start_workers(place: Layout, stack: Stack, say: Say) -> None:
    total = sum(service.spec.min_instances for service in stack.services.values())
    said: list[str] = []
    pool = HaproxyPool(place, WORKER, boot_at_once=True, say=said.append)
    try:
        end_s = time.monotonic() + START_S + 2.0 * total
        while True:
            seen = pool.observe().services
            ready = sum(count.ready for count in seen.values())
            say(f"workers: {ready} of {total} are ready")
            if ready >= total:
                return
            if len(said) >= 3:
                raise StackError("workers do not start: " + "; ".join(said[:3]))
            if time.monotonic() > end_s:
                raise StackError(f"{total - ready} workers are not ready; see {place.logs}")
            _check_children(place, stack)
            time.sleep(0.2)
    except Unreachable as error:
        raise StackError(str(error)) from None
    finally:
        pool.close()


def _refuse(place: Layout) -> None:
    """Raise StackError for a folder that is in use or cannot hold a stack."""
    folder = place.folder
    if len(str(folder)) > LONGEST_FOLDER:
        raise StackError(
            f"folder: {folder} has {len(str(folder))} characters, and a path of sockets may have "
            f"{LONGEST_FOLDER}; choose a shorter one, such as folder=/tmp/staging"
        )
    if place.stack.exists():
        raise StackError(
            f"folder: {folder} holds a stack already; take it down first: "
            f"python -m twin staging down folder={folder}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StackError(f"folder: {folder} is not an empty folder; choose another one")


def _prepare(place: Layout, stack: Stack) -> None:
    """Make the folder, and leave none when something is wrong with it."""
    folder = place.folder
    user = parts.postgres_user()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        folder.chmod(0o711)
        stack.save(place)  # first of all, so that `down` finds whatever comes
        for part in (place.admin_socket.parent, place.logs, place.photos, place.targets):
            part.mkdir(mode=0o700)
        place.postgres.mkdir(mode=0o700)
        os.chown(place.postgres, user.pw_uid, user.pw_gid)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StackError(f"folder: {folder} cannot be made: {error}") from None
    entered = subprocess.run(
        [str(p) for p in parts.as_postgres(["test", "-w", place.postgres])], check=False
    )
    if entered.returncode != 0:
        _remove(place, keep_logs=False)
        raise StackError(
            f"folder: PostgreSQL runs as {user.pw_name}, who may not enter {folder}; "
            "choose one that everybody may enter, such as folder=/tmp/staging"
        )


def _remove(place: Layout, *, keep_logs: bool) -> None:
    items = [place.folder]
    if keep_logs:
        items = [item for item in place.folder.iterdir() if item != place.logs]
    for item in items:
        if not item.is_dir() or item.is_symlink():
            item.unlink(missing_ok=True)
        while item.is_dir():
            with contextlib.suppress(FileNotFoundError):  # a keeper may be at it, too
                shutil.rmtree(item)


def _port(key: str, asked: int) -> int:
    """A free port on the loopback interface, or the one that was asked for if it is free."""
    if asked == 0:
        return free_ports(1)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", asked))
        except OSError as error:
            raise StackError(
                f"{key}: {asked} cannot be used ({error.strerror}); choose another one or leave "
                f"it at 0 for any free port"
            ) from None
        return int(probe.getsockname()[1])


def _initdb(programs: parts.Programs, place: Layout, stack: Stack) -> None:
    made = subprocess.run(
        [str(part) for part in parts.initdb(programs, place)],
        cwd=place.postgres,
        env={**os.environ, processes.TOKEN: stack.token},
        capture_output=True,
        text=True,
        check=False,
    )
    (place.logs / "initdb.log").write_text(made.stdout + made.stderr)
    if made.returncode != 0:
        raise StackError(f"PostgreSQL cannot make its data: {made.stderr.strip()[-500:]}")


def _fill(place: Layout, stack: Stack) -> None:
    from twin.staging.stores import StoreError, fill

    end_s = time.monotonic() + START_S
    while True:
        try:
            asyncio.run(fill(place.postgres, stack.weddings))
            return
        except StoreError as error:
            # It listens a moment before it takes connections.
            if "starting up" not in str(error) or time.monotonic() > end_s:
                raise StackError(str(error)) from None
            time.sleep(0.1)


def _wait(place: Layout, stack: Stack, name: str, there: Callable[[], bool]) -> None:
    end_s = time.monotonic() + START_S
    while not there():
        _check_children(place, stack)
        if time.monotonic() > end_s:
            words = processes.last_words(place.logs / f"{name}.log")
            raise StackError(f"{name} does not answer after {START_S:.0f} s: {words}")
        time.sleep(0.05)


def _check_children(place: Layout, stack: Stack) -> None:
    """Raise StackError when a part has ended already."""
    processes.reap()
    for name, process in stack.processes.items():
        if not process.alive:
            words = processes.last_words(place.logs / f"{name}.log")
            raise StackError(f"{name} ended while it was started: {words}")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False
