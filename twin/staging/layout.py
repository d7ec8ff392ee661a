"""Where everything of a stack is: one folder, and what is written down in it.

`stack.json` holds what does not change while the stack is up, and the processes that `up` started;
`pool.json` (see `engine.adapters.pool.book`) holds the workers, which come and go.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.adapters.pool.place import Place, PlaceError, raw_stack, spec_of
from engine.adapters.pool.processes import Process
from engine.model import ServiceSpec
from engine.record.files import write_atomically

VERSION = 1
DEFAULT_FOLDER = Path("/tmp/wedtwin-staging")
LONGEST_FOLDER = 75
"""A socket's path may have 107 characters, and HAProxy needs some for a name while it starts."""


class StackError(RuntimeError):
    """The stack cannot be started, or is not there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Layout(Place):
    """The files and sockets below a stack's folder: those of its pool, and the bench's own."""

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
        raw = raw_stack(layout)
    except PlaceError as error:
        raise StackError(str(error)) from None
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
    return StagedService(spec_of(raw["spec"]), raw["queue_limit_per_slot"], raw["timeout_s"])
