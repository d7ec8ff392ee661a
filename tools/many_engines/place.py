"""A PostgreSQL server, an actuator and engines, each in a network of its own where root allows.

The networks hang on one bridge, so a cut of one engine leaves the others as they are.  Without root
(or `ip`) all of it is on the loopback interface, and the faults of the network are left out.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import yaml

from twin.staging.parts import as_postgres, postgres_user

ROOT = Path(__file__).resolve().parents[2]
SERVER, ACTUATOR, PORT = "server", "actuator", 5432
ACTUATOR_PORT = 7070


def has_networks() -> bool:
    """Whether networks of their own can be made here."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nft") is None:
        return False
    name = f"wt-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    if made.returncode == 0:
        subprocess.run(["ip", "netns", "del", name], check=True)
    return made.returncode == 0


class Networks:
    """One for each name, on a bridge; `cut` keeps packets from going one way or both."""

    def __init__(self, names: Sequence[str]) -> None:
        self._prefix = f"wt{os.getpid() % 10000}"
        self._number = {name: k + 2 for k, name in enumerate(names)}
        self._run("ip", "link", "add", f"{self._prefix}b", "type", "bridge")
        self._run("ip", "link", "set", f"{self._prefix}b", "up")
        for name, number in self._number.items():
            inside, outside = f"{self._prefix}i{number}", f"{self._prefix}o{number}"
            space = self.space(name)
            self._run("ip", "netns", "add", space)
            self._run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
            self._run("ip", "link", "set", inside, "netns", space)
            self._run("ip", "link", "set", outside, "master", f"{self._prefix}b", "up")
            self._run("ip", "-n", space, "addr", "add", f"{self.address(name)}/24", "dev", inside)
            for link in (inside, "lo"):
                self._run("ip", "-n", space, "link", "set", link, "up")

    def space(self, name: str) -> str:
        """The network's name for the system."""
        return f"{self._prefix}-{name}"

    def address(self, name: str) -> str:
        """Of the only machine in it."""
        return f"10.213.77.{self._number[name]}"

    def inside(self, name: str) -> list[str]:
        """What a command begins with that is run in it."""
        return ["ip", "netns", "exec", self.space(name)]

    def cut(self, name: str, *, sends: bool, hears: bool, peer: str) -> None:
        """Drop what it sends to `peer`, or hears of it."""
        rules = ["add table ip wt", "add chain ip wt out { type filter hook output priority 0; }",
                 "add chain ip wt in { type filter hook input priority 0; }"]  # fmt: skip
        if sends:
            rules.append(f"add rule ip wt out ip daddr {self.address(peer)} drop")
        if hears:
            rules.append(f"add rule ip wt in ip saddr {self.address(peer)} drop")
        subprocess.run([*self.inside(name), "nft", "-f", "-"], input="\n".join(rules),
                       text=True, check=True)  # fmt: skip

    def mend(self, name: str) -> None:
        """Let all pass again."""
        subprocess.run([*self.inside(name), "nft", "delete", "table", "ip", "wt"],
                       capture_output=True)  # fmt: skip

    def close(self) -> None:
        """Take them down."""
        for name in self._number:
            subprocess.run(["ip", "netns", "del", self.space(name)], capture_output=True)
        subprocess.run(["ip", "link", "del", f"{self._prefix}b"], capture_output=True)

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


@dataclass
class Place:
    """All of it, running."""

    folder: Path
    networks: Networks | None
    services: int
    calls: int
    """Services in a row that call one another: a shard."""
    sample_s: float = 1.0
    cycle_s: float = 5.0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where a part of it is."""
        return "127.0.0.1" if self.networks is None else self.networks.address(name)

    @property
    def url(self) -> str:
        """Of the database."""
        return f"postgresql://wedtwin@{self.address(SERVER)}:{PORT}/wedtwin"

    @property
    def shard_of(self) -> dict[str, str]:
        """The shard of each service."""
        parts = [[f"s{k}" for k in range(first, min(first + self.calls, self.services))]
                 for first in range(0, self.services, self.calls)]  # fmt: skip
        return {name: min(part) for part in parts for name in part}

    def inside(self, name: str) -> list[str]:
        """What a command begins with that is run where `name` is."""
        return [] if self.networks is None else self.networks.inside(name)

    def start_engine(self, name: str) -> None:
        """Start it; under another name for the actuator each time."""
        life = self.lives[name] = self.lives.get(name, -1) + 1
        command = [
            *self.inside(name), sys.executable, "-m", "engine", "run", "--config-dir",
            str(self.folder / "conf"), "platform=many", "lease=shards", "engine=many",
            "infrastructure=many", "metrics=many", "bookings=many", "monitor.enabled=false",
            f"infrastructure.options.address={self.address(ACTUATOR)}",
            f"infrastructure.options.by={name}.{life}", f"live.store={self.url}",
            f"live.state={self.folder / name}", f"output={self.folder / 'outputs'}",
            "reporter=null", "approval=0",
        ]  # fmt: skip
        log = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def stop(self, name: str, how: signal.Signals) -> None:
        """Send a signal to the engine, and wait for its end if it has one."""
        process = self.processes[name]
        process.send_signal(how)
        if how in (signal.SIGKILL, signal.SIGTERM):
            process.wait(60.0)

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """What the database says, from where it is."""
        with psycopg.connect(
            f"postgresql:///wedtwin?host={self.folder}&user=wedtwin", autocommit=True
        ) as connection:
            return connection.execute(statement.encode()).fetchall()

    def log(self) -> list[dict[str, Any]]:
        """All that the actuator heard."""
        path = self.folder / "actuator.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


@contextlib.contextmanager
def place(
    folder: Path,
    engines: Sequence[str],
    *,
    services: int = 12,
    calls: int = 2,
    sample_s: float = 1.0,
    cycle_s: float = 5.0,
) -> Iterator[Place]:
    """A database, an actuator and engines that run."""
    networks = Networks([SERVER, ACTUATOR, *engines]) if has_networks() else None
    made = Place(folder, networks, services, calls, sample_s, cycle_s)
    user = postgres_user()
    folder.chmod(0o755)
    os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        _configure(made)
        _start_database(made)
        made.processes[ACTUATOR] = subprocess.Popen(
            [*made.inside(ACTUATOR), sys.executable, str(ROOT / "tools/many_engines/actuator.py"),
             made.address(ACTUATOR), str(ACTUATOR_PORT), str(services),
             str(folder / "actuator.jsonl")],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        for name in engines:
            made.start_engine(name)
        yield made
    finally:
        for process in made.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait(60.0)
        if networks is not None:
            networks.close()


def _start_database(made: Place) -> None:
    program = shutil.which("postgres")
    if program is None:
        raise FileNotFoundError("PostgreSQL is missing: apt-get install --yes postgresql")
    data, initdb = made.folder / "data", Path(program).resolve().with_name("initdb")
    begun = as_postgres([initdb, "-D", data, "-U", "wedtwin", "-A", "trust", "--no-locale",
                         "-E", "UTF8", "--no-sync"])  # fmt: skip
    subprocess.run([str(p) for p in begun], cwd=made.folder, check=True, capture_output=True)
    (data / "pg_hba.conf").write_text("local all all trust\nhost all all 0.0.0.0/0 trust\n")
    command = [program, "-D", data, "-c", f"listen_addresses={made.address(SERVER)}", "-c",
               f"port={PORT}", "-c", f"unix_socket_directories={made.folder}"]  # fmt: skip
    made.processes[SERVER] = subprocess.Popen(
        [*made.inside(SERVER), *map(str, as_postgres(command))], cwd=made.folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(600):
        with contextlib.suppress(psycopg.OperationalError):
            with psycopg.connect(
                f"postgresql:///postgres?host={made.folder}&user=wedtwin", autocommit=True
            ) as connection:
                connection.execute("CREATE DATABASE wedtwin")
            return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL does not answer")


def _configure(made: Place) -> None:
    shard_of = made.shard_of
    services = {
        name: {
            "slots": 4, "service_s": 0.16, "service_scv": 1.0, "boot": {"median_s": 2, "p95_s": 3},
            "price_per_hour": 0.1, "slo_p95_s": 1.0, "warmup_s": 1, "min_instances": 2,
            "max_instances": 20, "user_facing": True,
            "calls": {} if shard_of[name] == name else {shard_of[name]: {"per_request": 0.1}},
            "client": {"timeout_s": 10, "max_retries": 2, "retry_share": 0.8, "backoff_s": 2,
                       "queue_limit_per_slot": 20},
        }
        for name in shard_of
    }  # fmt: skip
    files: dict[str, Any] = {
        "platform": {"name": "many", "zones": ["a"], "services": services},
        "engine": {
            "defaults": ["staging", "_self_"],
            "sample_s": made.sample_s,
            "cycle_s": made.cycle_s,
        },
        "infrastructure": {
            "factory": "tools.many_engines.actuator:connect",
            "options": {"address": None, "port": ACTUATOR_PORT, "by": None},
        },
        "metrics": {"factory": "tools.many_engines.load:metrics"},
        "bookings": {"factory": "tools.many_engines.load:bookings", "options": {}, "keys": []},
    }
    for group, content in files.items():
        path = made.folder / "conf" / group / "many.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
