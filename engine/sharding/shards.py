"""The parts of a platform that can be decided on apart: connected parts of its call graph.

A caller hands load to its callees within one step, so both have to be in one step.  Between two
parts nothing passes, so each may be in another engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from engine.model import ServiceSpec


@dataclass(frozen=True, slots=True)
class Shard:
    """Services that are decided on together; its name is that of the first of them."""

    name: str
    services: tuple[str, ...]

    @property
    def cost(self) -> int:
        """What it is to have it: its services."""
        return len(self.services)


@dataclass(frozen=True, slots=True)
class ShardLayout:
    """All shards of a platform; engines with the same `digest` cut it the same way."""

    shards: tuple[Shard, ...]
    digest: str


def layout_of(specs: Sequence[ServiceSpec]) -> ShardLayout:
    """The shards of a platform, by name.

    Raises ValueError for a call of what is no service.
    """
    group = {spec.name: spec.name for spec in specs}

    def first(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    for spec in specs:
        for call in spec.calls:
            if call.service not in group:
                raise ValueError(f"{spec.name} calls {call.service}, which is not a service")
            one, other = sorted((first(spec.name), first(call.service)))
            group[other] = one
    members: dict[str, list[str]] = {}
    for name in sorted(group):
        members.setdefault(first(name), []).append(name)
    shards = tuple([Shard(name, tuple(members[name])) for name in sorted(members)])
    text = "\n".join(" ".join(shard.services) for shard in shards)
    return ShardLayout(shards, hashlib.sha256(text.encode()).hexdigest()[:16])
