"""The folder that a pool of workers lives in: what the adapter finds there, and what it is told.

Whoever brings a platform up on this machine makes the folder: HAProxy's admin socket is in it, and
`stack.json` with the services, the zones, and the token that marks the processes.  More may be in
either; the adapter reads no more than this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model import BootTime, Call, ServiceSpec, Thresholds
from engine.security.foreign_json import parsed_object


class PlaceError(RuntimeError):
    """There is no platform in the folder, or none that can be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """The files and sockets of a pool, below its folder."""

    folder: Path

    @property
    def stack(self) -> Path:
        """What does not change while the platform is up."""
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
    def targets(self) -> Path:
        """Where Prometheus finds the workers."""
        return self.folder / "targets"

    @property
    def logs(self) -> Path:
        """What the processes say, a file each."""
        return self.folder / "logs"


@dataclass(frozen=True, slots=True)
class PoolPlatform:
    """What the adapter has to know of a platform that is up."""

    token: str
    """Marks its processes."""
    zones: tuple[str, ...]
    services: Mapping[str, ServiceSpec]
    metrics_url: str
    """Where its Prometheus is asked."""


@dataclass(frozen=True, slots=True)
class Worker:
    """How an instance is started: its command, and what it is told in its environment.

    Both may hold `{python}` (the interpreter of the engine), `{folder}`, `{instance}`, `{service}`,
    `{zone}`, `{launched}` (epoch seconds), `{booted}` (1: it was there from the beginning and skips
    its boot) and `{socket}` (the number of an inherited socket, bound and not yet listened on).
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.command:
            raise ValueError("worker: a command is needed")
        for text in (*self.command, *self.environment.values()):
            try:
                text.format_map(dict.fromkeys(WORKER_WORDS, ""))
            except (KeyError, IndexError, ValueError) as error:
                allowed = ", ".join(f"{{{word}}}" for word in WORKER_WORDS)
                raise ValueError(f'worker: "{text}": {error} is not allowed ({allowed})') from None

    def started_with(self, **words: object) -> tuple[list[str], dict[str, str]]:
        """Command and environment with the words in their places."""
        return (
            [part.format_map(words) for part in self.command],
            {name: text.format_map(words) for name, text in self.environment.items()},
        )


WORKER_WORDS = ("python", "folder", "instance", "service", "zone", "launched", "booted", "socket")


def raw_stack(place: Place) -> dict[str, Any]:
    """`stack.json` as it stands; raises PlaceError without a platform in the folder."""
    try:
        return parsed_object(place.stack.read_bytes())
    except FileNotFoundError:
        raise PlaceError(
            f"folder: no stack is up in {place.folder}; "
            f"start one: python -m twin staging up folder={place.folder}"
        ) from None
    except (OSError, ValueError) as error:
        raise PlaceError(f"{place.stack} cannot be read: {error}") from None


def load(place: Place) -> PoolPlatform:
    """What is up in a folder; raises PlaceError."""
    raw = raw_stack(place)
    try:
        return PoolPlatform(
            token=str(raw["token"]),
            zones=tuple(raw["zones"]),
            services={name: spec_of(service["spec"]) for name, service in raw["services"].items()},
            metrics_url=f"http://127.0.0.1:{raw['ports']['prometheus']}",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PlaceError(f"{place.stack} cannot be used: {error!r}") from None


def spec_of(raw: Mapping[str, Any]) -> ServiceSpec:
    """A service as `stack.json` holds it; raises KeyError or TypeError for anything else."""
    return ServiceSpec(
        **{
            **raw,
            "boot": BootTime(**raw["boot"]),
            "thresholds": Thresholds(**raw["thresholds"]),
            "calls": tuple(Call(**call) for call in raw["calls"]),
        }
    )
