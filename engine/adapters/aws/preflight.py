"""What can be known to be wrong before a run begins: credentials, names, rights, other writers.

Each message names the key of the configuration that is wrong, or the right that is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.adapters.aws.client import AwsError, Obstacle
from engine.adapters.aws.ecs import NOTHING_WARM
from engine.adapters.aws.target import AwsTarget, OtherHands, SeenTarget, limits
from engine.config.complaints import close
from engine.model import ServiceSpec

if TYPE_CHECKING:
    from engine.adapters.aws.infrastructure import AwsInfrastructure

RIGHTS = "python -m engine aws policy prints the rights that the engine needs"
KEYS = {
    Obstacle.CREDENTIALS: "infrastructure.options.profile",
    Obstacle.EXPIRED: "infrastructure.options.profile",
    Obstacle.RIGHTS: "infrastructure.options.profile",
    Obstacle.CONFIGURATION: "infrastructure.options.region",
}


async def check(made: AwsInfrastructure, specs: Sequence[ServiceSpec]) -> None:
    """Raise ValueError for what cannot be right; an AWS that is away is no error."""
    _names(made)
    _warm(made, specs)
    try:
        seen = await made.look()
        for name, aim in made.targets.items():
            if name not in seen:
                raise ValueError(
                    f"infrastructure.options.workloads.{name}: there is no {aim.title}"
                    f"{await _others(made, aim)}"
                )
        hands = await made.hands(list(seen))
    except AwsError as error:
        if error.may_pass:
            return
        key = KEYS.get(error.obstacle, "infrastructure.options")
        if error.obstacle is Obstacle.CONFIGURATION and "profile" in str(error):
            key = "infrastructure.options.profile"
        hint = f"; {RIGHTS}" if error.obstacle is Obstacle.RIGHTS else ""
        raise ValueError(f"{key}: {error}{hint}") from None
    for spec in specs:
        _fits(spec, made.targets[spec.name], seen[spec.name], hands[spec.name])


def _fits(spec: ServiceSpec, aim: AwsTarget, one: SeenTarget, others: OtherHands) -> None:
    """Whether the target is what the service needs."""
    if one.refusal:
        raise ValueError(
            f"infrastructure.options.workloads.{spec.name}: {aim.title}: {one.refusal}"
        )
    if others.refusal:
        raise ValueError(f"infrastructure.options.workloads.{spec.name}: {others.refusal}")
    if one.pool is not None and one.pool.refusal:
        raise ValueError(f"platform.services.{spec.name}.warm: {aim.title}: {one.pool.refusal}")
    least, most = limits(one, others)
    if spec.min_instances < least:
        raise ValueError(
            f"platform.services.{spec.name}.min_instances: {spec.min_instances} is below "
            f"{least}, the least that {aim.title} may have"
        )
    if spec.max_instances > most:
        raise ValueError(
            f"platform.services.{spec.name}.max_instances: {spec.max_instances} is above "
            f"{most}, the most that {aim.title} may have"
        )


def _warm(made: AwsInfrastructure, specs: Sequence[ServiceSpec]) -> None:
    for spec in specs:
        if spec.warm is not None and not made.holds(spec.name):
            raise ValueError(
                f"platform.services.{spec.name}.warm: is not allowed (leave it out), as "
                f"{made.targets[spec.name].title} {NOTHING_WARM}"
            )


def _names(made: AwsInfrastructure) -> None:
    taken: dict[AwsTarget, str] = {}
    for name, aim in made.targets.items():
        if aim in taken:
            raise ValueError(
                f"infrastructure.options.workloads.{name}: {aim.title} is {taken[aim]} already"
            )
        taken[aim] = name
    for name in made.config.workloads:
        if name not in made.targets:
            raise ValueError(
                f'infrastructure.options.workloads.{name}: "{name}" is not allowed '
                f"({', '.join(made.targets)}){close(name, list(made.targets))}"
            )


async def _others(made: AwsInfrastructure, aim: AwsTarget) -> str:
    """What there is instead, as far as one may know."""
    try:
        names = await made.kinds[aim.kind].names(aim)
    except AwsError:
        return ""
    return f" (there are: {', '.join(names) or 'none'}){close(aim.name, names)}"
