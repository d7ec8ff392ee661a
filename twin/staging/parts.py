"""The parts that are not ours: how HAProxy, PostgreSQL, Redis and Prometheus are started.

Everything is bound to the loopback interface or to a socket in the stack's folder, and every file
that a part writes is in that folder.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from twin.staging.layout import Layout, Stack, StackError

POSTGRES_USER = "postgres"
"""Whom PostgreSQL runs as when we are root, as which it refuses to run (Debian's package makes it).
"""

PACKAGES = {
    "haproxy": ("haproxy", ("/usr/sbin/haproxy",)),
    "prometheus": ("prometheus", ()),
    "redis-server": ("redis-server", ()),
    "postgres": ("postgresql", ("/usr/lib/postgresql/*/bin/postgres",)),
    "initdb": ("postgresql", ("/usr/lib/postgresql/*/bin/initdb",)),
}
"""Program -> Debian package, and where it is if it is not on the PATH."""

MODULES = (
    "uvicorn", "uvloop", "httptools", "wsproto", "asyncpg", "redis", "prometheus_client",
    "python_multipart",
)  # fmt: skip
"""Python packages of the extra `staging`."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are."""

    haproxy: Path
    prometheus: Path
    redis: Path
    postgres: Path
    initdb: Path


def find_programs() -> Programs:
    """All programs; raises StackError with one command that installs whatever is missing."""
    paths_of = {name: _find(name, places) for name, (_, places) in PACKAGES.items()}
    missing = sorted({PACKAGES[name][0] for name, path in paths_of.items() if path is None})
    lacking = [name for name in MODULES if find_spec(name) is None]
    complaints = []
    if missing:
        complaints.append(
            f"missing on this machine: {', '.join(missing)}; install: "
            f"sudo apt-get install --yes --no-install-recommends {' '.join(missing)}"
        )
    if lacking:
        complaints.append(
            f"missing in this Python: {', '.join(lacking)}; install: "
            'pip install -c constraints.txt -e ".[staging]"'
        )
    if complaints:
        raise StackError("\n".join(complaints))
    paths = {name: path for name, path in paths_of.items() if path is not None}
    return Programs(
        haproxy=paths["haproxy"],
        prometheus=paths["prometheus"],
        redis=paths["redis-server"],
        postgres=paths["postgres"],
        initdb=paths["initdb"],
    )


def _find(name: str, places: Sequence[str]) -> Path | None:
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    candidates = sorted(
        (path for place in places for path in Path("/").glob(place.lstrip("/"))),
        key=lambda path: [int(part) for part in path.parts if part.isdecimal()],
    )
    return candidates[-1] if candidates else None


def as_postgres(command: Sequence[str | Path]) -> list[str | Path]:
    """The command, by PostgreSQL's own user when we are root; raises StackError without one."""
    if os.geteuid() != 0:
        return list(command)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError(
            "missing on this machine: setpriv, to run PostgreSQL as another user than root; "
            "install: apt-get install --yes util-linux"
        )
    user = postgres_user()
    return [
        setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command,
    ]  # fmt: skip


def postgres_user() -> pwd.struct_passwd:
    """Whom PostgreSQL runs as; raises StackError when we are root and there is nobody."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam(POSTGRES_USER)
    except KeyError:
        raise StackError(
            f"PostgreSQL refuses to run as root and there is no user {POSTGRES_USER}; add one: "
            f"useradd --system {POSTGRES_USER}"
        ) from None


def initdb(programs: Programs, place: Layout) -> list[str | Path]:
    """The command that makes PostgreSQL's data."""
    return as_postgres(
        [programs.initdb, "-D", place.postgres / "data", "-U", "wedsync", "-A", "trust",
         "--no-locale", "-E", "UTF8", "--no-sync"]
    )  # fmt: skip


def postgres(programs: Programs, place: Layout) -> list[str | Path]:
    """The command that runs PostgreSQL: on a socket alone, and careless about power cuts."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(place.postgres),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "shared_buffers": "64MB",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "jit": "off",
        "logging_collector": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return as_postgres([programs.postgres, "-D", place.postgres / "data", *options])


def redis(programs: Programs, place: Layout) -> list[str | Path]:
    """The command that runs Redis: on a socket alone, in memory alone."""
    return [
        programs.redis, "--port", "0", "--unixsocket", place.redis_socket, "--unixsocketperm",
        "700", "--save", "", "--appendonly", "no", "--dir", place.folder, "--daemonize", "no",
        # Else it overwrites its environment, by which `down` finds it after a crash.
        "--set-proc-title", "no",
    ]  # fmt: skip


def prometheus(programs: Programs, place: Layout, stack: Stack) -> list[str | Path]:
    """The command that runs Prometheus."""
    return [
        programs.prometheus,
        f"--config.file={place.folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={place.folder / 'prometheus'}",
        "--storage.tsdb.retention.time=12h",
        f"--web.listen-address=127.0.0.1:{stack.ports['prometheus']}",
        "--log.level=warn",
    ]


def haproxy(programs: Programs, place: Layout) -> list[str | Path]:
    """The command that runs HAProxy, in the foreground."""
    return [programs.haproxy, "-db", "-f", place.folder / "haproxy.cfg"]


def prometheus_config(
    place: Layout, stack: Stack, remote_write: Mapping[str, str] | None = None
) -> str:
    """Prometheus looks at HAProxy and at all workers each 5 s, and finds new workers at once.

    With `remote_write` (url, credentials_file) it also sends on what it sees, within a second.
    """
    if remote_write is None:
        sending = ""
    else:
        sending = f"""\
remote_write:
  - url: {json.dumps(remote_write["url"])}
    authorization: {{credentials_file: {json.dumps(remote_write["credentials_file"])}}}
    queue_config: {{batch_send_deadline: 1s, min_backoff: 100ms, max_backoff: 1s}}
"""
    return f"""\
global:
  scrape_interval: 5s
  scrape_timeout: 4s
scrape_configs:
  - job_name: haproxy
    static_configs:
      - targets: ["127.0.0.1:{stack.ports["exporter"]}"]
  - job_name: workers
    honor_labels: true
    file_sd_configs:
      - files: ["{place.targets}/*.json"]
        refresh_interval: 5s
{sending}"""


def haproxy_config(place: Layout, stack: Stack) -> str:
    """HAProxy's configuration: a front for users, one for calls, a backend for each service.

    Backends start empty: their servers come and go over the admin socket.
    """
    services = stack.services
    routes = "\n".join(
        f"    use_backend {service} if {{ path_end {' '.join(ends)} }}"
        for service, ends in _routes(services).items()
    )
    names = " ".join(services)
    backends = "\n".join(
        f"""
backend {name}
    balance leastconn
    option httpchk GET /health
    # A server may die under a request: one that may be repeated is, on another server.
    option redispatch 1
    retries 2
    retry-on conn-failure empty-response
    http-request disable-l7-retry if METH_POST
    http-reuse aggressive
    timeout server {service.timeout_s + 30:g}s"""
        for name, service in services.items()
    )
    return f"""\
global
    stats socket {place.admin_socket} mode 600 level admin
    stats timeout 10s
    nbthread 1
    maxconn 4000
    # Dynamic servers take numbers of their own; checks need not come all at once.
    spread-checks 20

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout client-fin 5s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout queue 10s
    timeout check 2s
    timeout tunnel 1h

frontend front
    bind 127.0.0.1:{stack.ports["front"]}
    # What workers say to Prometheus and to the engine is nobody else's business.
    http-request return status 404 if {{ path /health /metrics /drain }}
    http-request return status 404 if {{ path_beg {" ".join(f"/{name}/" for name in services)} }}
{routes}
    default_backend {_first(services)}

frontend calls
    bind unix@{place.calls_socket} mode 600
    http-request return status 404 unless {{ path,field(2,/) -m str {names} }}
    use_backend %[path,field(2,/)]

frontend exporter
    bind 127.0.0.1:{stack.ports["exporter"]}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 200 content-type text/plain string ok if {{ path / }}
    http-request return status 404
{backends}
"""


def _routes(services: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    """Which pages of a wedding go to which service, of those that there are."""
    pages = {
        "real-time": ("/updates", "/messages", "/live"),
        "file-storage": ("/photos",),
    }
    return {service: ends for service, ends in pages.items() if service in services}


def _first(services: Mapping[str, object]) -> str:
    return "api" if "api" in services else next(iter(services))
