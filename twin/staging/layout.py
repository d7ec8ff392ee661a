"""Where everything of a stack is: one folder, and what is written down in it.

`stack.json` holds what does not change while the stack is up, and the processes that `up` started;
`pool.json` (see `engine.adapters.pool.book`) holds the workers, which come and go.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.adapters.pool.processes import Process
from engine.model import BootTime, Call, ServiceSpec, Thresholds
from engine.record.files import write_atomically

VERSION = 1
DEFAULT_FOLDER = Path("/tmp/wedtwin-staging")
LONGEST_FOLDER = 75
"""A socket's path may have 107 characters, and HAProxy needs some for a name while it starts."""


class StackError(RuntimeError):
    """The stack cannot be started, or is not there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files and sockets below a stack's folder."""

    folder: Path

    @property
    def stack(self) -> Path:
        """What does not change while the stack is up."""
        return self.folder / "stack.json"

    @property
    def pool(self) -> Path:
        """The workers, the counts that are asked for, and who may change them."""
        return self.folder / "pool.json"

    @property
    def admin_socket(self) -> Path:
        """HAProxy's runtime API."""
        return self.folder / "s" / "admin"

    @property
    def calls_socket(self) -> Path:
        """Where services reach each other, through HAProxy."""
        return self.folder / "s" / "calls"

    @property
    def redis_socket(self) -> Path:
        """Redis."""
        return self.folder / "s" / "redis"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's folder, which belongs to the user that it runs as; its socket is in it."""
        return self.folder / "pg"

    @property
    def targets(self) -> Path:
        """Where Prometheus finds the workers."""
        return self.folder / "targets"

    @property
    def logs(self) -> Path:
        """What the processes say, a file each."""
        return self.folder / "logs"

    @property
    def photos(self) -> Path:
        """What was uploaded, by content."""
        return self.folder / "photos"


@dataclass(frozen=True, slots=True)
class StagedService:
    """A service as its workers need to know it, together with how long its clients wait."""

    spec: ServiceSpec
    queue_limit_per_slot: float
    timeout_s: float

    @property
    def queue_limit(self) -> int:
        """Requests that may wait at one instance."""
        return max(0, round(self.queue_limit_per_slot * self.spec.slots))


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack as `up` made it.

    `token` marks its processes.  `ports` are those of the front, the exporter and Prometheus.
    """

    token: str
    seed: int
    weddings: int
    zones: tuple[str, ...]
    ports: dict[str, int]
    services: dict[str, StagedService]
    processes: dict[str, Process] = field(default_factory=dict)

    def save(self, layout: Layout) -> None:
        """Write it down."""
        text = json.dumps({"version": VERSION, **asdict(self)}, indent=1)
        write_atomically(layout.stack, text + "\n")


def load(layout: Layout) -> Stack:
    """The stack in a folder; raises StackError if there is none."""
    try:
        raw: dict[str, Any] = json.loads(layout.stack.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StackError(
            f"folder: no stack is up in {layout.folder}; "
            f"start one: python -m engine staging up folder={layout.folder}"
        ) from None
    except (OSError, ValueError) as error:
        raise StackError(f"{layout.stack} cannot be read: {error}") from None
    if raw.get("version") != VERSION:
        raise StackError(f"{layout.stack} has version {raw.get('version')}, this is {VERSION}")
    return Stack(
        token=raw["token"],
        seed=raw["seed"],
        weddings=raw["weddings"],
        zones=tuple(raw["zones"]),
        ports=raw["ports"],
        services={name: _service(service) for name, service in raw["services"].items()},
        processes={name: Process(**process) for name, process in raw["processes"].items()},
    )


def _service(raw: dict[str, Any]) -> StagedService:
    spec = dict(raw["spec"])
    spec["boot"] = BootTime(**spec["boot"])
    spec["thresholds"] = Thresholds(**spec["thresholds"])
    spec["calls"] = tuple(Call(**call) for call in spec["calls"])
    return StagedService(ServiceSpec(**spec), raw["queue_limit_per_slot"], raw["timeout_s"])
