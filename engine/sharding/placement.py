"""Who should own which shard: rendezvous hashing, bounded, and as little moved as possible.

Each engine and shard have a score; a shard that is free goes to the engine with the highest score
that has room.  Room is a tenth above an equal share of the cost, so that a few large shards cannot
heap up in one engine, as they do with the scores alone.  What an engine has already it keeps, as
long as it has no more than that: when an engine goes, only its own shards move, and when one comes,
no more than makes it room.

All engines work this out from what the database told them, so they agree as far as they know the
same; where they do not, the lease decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

from engine.sharding.shards import Shard

ROOM = 1.1
"""Of an equal share of the cost."""


@lru_cache(maxsize=1 << 17)
def score(member: str, shard: str) -> int:
    """How much `member` is the one for `shard`: the same for all who ask."""
    text = f"{len(member)} {member} {shard}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def ranked(shard: str, members: Sequence[str]) -> list[str]:
    """The members, the one with the highest score first."""
    return sorted(members, key=lambda member: (-score(member, shard), member))


def owners(
    shards: Sequence[Shard], members: Sequence[str], holders: Mapping[str, str]
) -> dict[str, str]:
    """Who should own each of the `shards`, of which some have `holders`; empty without members."""
    if not members:
        return {}
    load = dict.fromkeys(members, 0)
    owner: dict[str, str] = {}
    for shard in shards:
        holder = holders.get(shard.name, "")
        if holder in load:
            owner[shard.name] = holder
            load[holder] += shard.cost
    room = ROOM * sum(shard.cost for shard in shards) / len(members)
    for shard in _heaviest_first([one for one in shards if one.name not in owner]):
        order = ranked(shard.name, members)
        with_room = [member for member in order if load[member] + shard.cost <= room]
        to = with_room[0] if with_room else min(order, key=load.__getitem__)
        owner[shard.name] = to
        load[to] += shard.cost
    if max(load.values()) > room:
        _even_out(shards, members, owner, load, room=room)
    return owner


def _even_out(
    shards: Sequence[Shard],
    members: Sequence[str],
    owner: dict[str, str],
    load: dict[str, int],
    *,
    room: float,
) -> None:
    """Move what is too much, what is least its holder's first; only what helps is moved."""
    too_much = [one for one in shards if load[owner[one.name]] > room]
    for shard in sorted(too_much, key=lambda one: (score(owner[one.name], one.name), one.name)):
        holder = owner[shard.name]
        if load[holder] <= room:
            continue
        order = ranked(shard.name, members)
        to = next((m for m in order if load[m] + shard.cost <= room), None)
        if to is None:
            to = min(order, key=load.__getitem__)
            if load[to] + shard.cost >= load[holder]:
                continue
        owner[shard.name] = to
        load[holder] -= shard.cost
        load[to] += shard.cost


def _heaviest_first(shards: Sequence[Shard]) -> list[Shard]:
    return sorted(shards, key=lambda shard: (-shard.cost, shard.name))
