"""`python -m twin leases`: what it takes, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.config import assignments
from engine.config.strict import ConfigError

KEYS = ("worlds", "seed", "histories", "workers", "plants")


@dataclass(frozen=True, slots=True)
class LeaseArguments:
    """What the command line asks for."""

    worlds: int
    seed: int
    histories: int
    workers: int | None
    plants: int


def read(arguments: Sequence[str]) -> LeaseArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    own = assignments.read(arguments, KEYS, tree=False).own
    return LeaseArguments(
        worlds=_whole("worlds", own.get("worlds", "1000"), 1),
        seed=_whole("seed", own.get("seed", "0"), 0),
        histories=_whole("histories", own.get("histories", "1"), 0),
        workers=_whole("workers", own["workers"], 1) if "workers" in own else None,
        plants=_whole("plants", own.get("plants", "0"), 0),
    )


def _whole(key: str, text: str, least: int) -> int:
    value = int(text) if text.isdecimal() and len(text) < 10 else -1
    if value < least:
        raise ConfigError(f'{key}: "{text}" is not allowed (a whole number from {least})')
    return value


def run(options: LeaseArguments) -> int:
    """Play the worlds; 0 if none shows what must not be and each planted fault is seen, else 1."""
    from twin.commands import terminal
    from twin.leases import campaign
    from twin.leases.plants import PLANTS

    with terminal.progress("worlds", options.worlds) as advance:
        tally = campaign.campaign(
            options.seed, options.worlds, options.histories, options.workers, advance=advance
        )
    print(f"{tally.worlds} worlds, {tally.worlds / tally.cpu_s:.0f} in a CPU second: "
          f"{tally.rounds} rounds, {tally.actions} actions, {tally.refused} refused, "
          f"{tally.moves} changes of owner")  # fmt: skip
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.kinds.items()))
    print(f"faults, in so many worlds: {kinds}")
    print(f"longest without an owner while there was a way: {tally.longest_unowned_s:.0f} s; "
          f"{tally.histories} histories checked")  # fmt: skip
    for violation, count in tally.violations.most_common():
        print(f"  {violation}: {count} worlds, such as seed={tally.examples[violation]} worlds=1")
    code = 1 if tally.violations else 0
    for plant in PLANTS if options.plants else ():
        seen = campaign.seen_at(plant, options.plants, options.seed)
        if seen is None:
            print(f"  planted: {plant}: not seen in {options.plants} worlds")
            code = 1
        else:
            print(f"  planted: {plant}: seen in world {seen[0]} ({seen[1]})")
    if not code:
        print("nothing that must not be")
    return code
