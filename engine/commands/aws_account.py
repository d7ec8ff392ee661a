"""What `python -m engine aws` does, once it is known what is asked for."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from engine.adapters.aws import infrastructure as adapter
from engine.adapters.aws.client import AwsError
from engine.adapters.aws.policy import document
from engine.adapters.aws.settings import AwsConfig
from engine.commands.of_infrastructure import parsed_with
from engine.config.strict import ConfigError
from engine.model import ServiceSpec
from engine.ports.infrastructure import Unreachable


def done(command: str, settings: Mapping[str, Any], account: str, *, recommends: bool) -> int:
    """Do what `command` says; returns the exit code, and raises ValueError for bad input."""
    config = parsed_with("aws", settings, adapter)
    specs, options = config.platform.specs(), config.infrastructure.options
    if command == "policy":
        return _print_policy(specs, options, account, acts=not recommends)
    made = adapter.connect(specs, **options)
    return asyncio.run(_check(made) if command == "check" else _show(made))


def _print_policy(
    specs: Sequence[ServiceSpec], options: Mapping[str, Any], account: str, *, acts: bool
) -> int:
    config = AwsConfig.of(options)
    region = config.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigError(
            "infrastructure.options.region: null is not allowed here without AWS_DEFAULT_REGION"
        )
    targets = adapter.targets_of([spec.name for spec in specs], config)
    holding = adapter.holding_of(specs, targets)
    policy = document(config, targets, region, account, acts=acts, holding=holding)
    print(json.dumps(policy, indent=2))
    return 0


async def _check(made: adapter.AwsInfrastructure) -> int:
    """`connect` has looked at what can be wrong; whoever is away it has left alone."""
    try:
        who = await made.clients.identity()
        seen = await made.look()
    except AwsError as error:
        print(f"it cannot be seen: {error}", file=sys.stderr)
        return 1
    finally:
        await made.close()
    print(f"as {who}")
    for name, target in made.targets.items():
        offer = made.specs[name].warm
        warm = "" if offer is None else f"; 0 … {offer.most} held warm"
        print(f"{name}: {target.title}, {seen[name].least} … {seen[name].most}{warm}")
    return 0


async def _show(made: adapter.AwsInfrastructure) -> int:
    try:
        sighting = await made.observe()
    except Unreachable as error:
        print(f"it cannot be seen: {error}", file=sys.stderr)
        return 1
    finally:
        await made.close()
    for name, counts in sighting.services.items():
        one = made.seen.get(name)
        if one is None:
            continue
        zones = ", ".join(f"{n} in {zone or 'no zone'}" for zone, n in sorted(one.zones.items()))
        warm = f", {one.warm} warm" if one.warm else ""
        if one.pool is not None:
            warm = f", {one.warm} of {one.pool.desired} warm"
        print(
            f"{name} ({made.targets[name].title}): {counts.desired} desired; {counts.ready} ready, "
            f"{counts.booting} booting, {counts.draining} draining{warm}; {zones or 'none ready'}; "
            f"{time.monotonic() - one.seen_s:.1f} s old"
        )
    for notice in sighting.notices:
        print(f"trouble: {notice}")
    return 0
