"""A manual action before it is asked for: whether it fits, what it costs, when it would be done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.api.problems import FieldProblem, Problem, ProblemError, wrong
from engine.api.snapshot import ServiceLook, StepLook
from engine.config.complaints import close
from engine.model import Direction
from engine.security.roles import Permission
from engine.settings import EngineSettings

MOST_OVERRIDE_S = 3600.0
"""What passes the limits holds for so long at the most, as emergency access does."""


@dataclass(frozen=True, slots=True)
class Target:
    """A service and the count that is wanted for it; `field` is where the request has it."""

    service: str
    instances: int
    field: str


def checked_names(targets: Sequence[Target], allowed: Sequence[str]) -> None:
    """Raises the problem that a service is not there, or is there twice."""
    seen: set[str] = set()
    for target in targets:
        where = target.field.replace("instances", "service")
        if target.service not in allowed:
            raise wrong(where, target.service, ", ".join(allowed), close(target.service, allowed))
        if target.service in seen:
            detail = f'{where}: "{target.service}" is there twice'
            raise ProblemError(
                Problem.INVALID, detail, fields=[FieldProblem(where, detail, "each service once")]
            )
        seen.add(target.service)


def permissions(targets: Sequence[Target], look: StepLook) -> Mapping[str, Permission]:
    """What each target takes to be allowed."""
    return {
        target.service: (
            Permission.SCALE_IN
            if target.instances < look.services[target.service].desired
            else Permission.SCALE_OUT
        )
        for target in targets
    }


def check_override(targets: Sequence[Target], look: StepLook, why: str, for_s: float) -> None:
    """Raises the problem that limits are to be passed for no reason, for long, or downwards."""
    if not why.strip():
        detail = "why: a count that passes the limits needs a reason"
        raise ProblemError(
            Problem.INVALID, detail, fields=[FieldProblem("why", detail, "a reason")]
        )
    if for_s > MOST_OVERRIDE_S:
        raise wrong("for_s", for_s, f"1 … {MOST_OVERRIDE_S:,.0f} with override")
    for target in targets:
        if target.instances < look.services[target.service].desired:
            raise wrong(
                target.field, target.instances,
                f"at least {look.services[target.service].desired:,} with override",
            )  # fmt: skip


def check(targets: Sequence[Target], look: StepLook, *, override: bool) -> None:
    """Raises the problem that a count is out of bounds, protected, or beyond quota or budget.

    `override`: quota and budget do not count.
    """
    for target in targets:
        spec = look.services[target.service].spec
        if not spec.min_instances <= target.instances <= spec.max_instances:
            raise wrong(
                target.field, target.instances, f"{spec.min_instances:,} … {spec.max_instances:,}"
            )
    for target in targets:
        service = look.services[target.service]
        if target.instances < min(service.wedding_floor, service.desired):
            raise ProblemError(
                Problem.PROTECTED,
                f"{target.service}: {service.wedding_floor} instances stand for "
                f"{look.weddings.noun}; {target.instances} are fewer",
            )
    if override:
        return
    wanted = {target.service: target.instances for target in targets}
    after = {name: wanted.get(name, s.desired) for name, s in look.services.items()}
    before = {name: s.desired for name, s in look.services.items()}
    budget = look.budget
    if sum(after.values()) > max(budget.instances, sum(before.values())):
        raise ProblemError(
            Problem.BEYOND_QUOTA,
            f"{sum(after.values()):,} instances in all; the quota is {budget.instances:,.0f}",
        )
    usd, was = cost_per_hour(after, look), cost_per_hour(before, look)
    if usd > max(budget.usd_per_hour, was) + 1e-9:
        raise ProblemError(
            Problem.BEYOND_BUDGET,
            f"{usd:,.2f} USD/h in all; the budget is {budget.usd_per_hour:,.2f}",
        )


def warnings(targets: Sequence[Target], look: StepLook) -> list[str]:
    """What may keep the engine from it, though it may be asked for."""
    said: list[str] = []
    for target in targets:
        service = look.services[target.service]
        way = Direction.IN if target.instances < service.desired else Direction.OUT
        said += [
            f"{target.service}: it is paused ({pause.direction.value})"
            for pause in look.pauses
            if pause.service in ("", target.service) and pause.direction in (Direction.ALL, way)
        ]
        said += [
            f"{target.service}: a floor of {floor.instances} stands"
            for floor in look.floors
            if floor.service == target.service and floor.instances > target.instances
        ]
        if target.instances == service.desired:
            said.append(f"{target.service}: it has {service.desired} already")
    return said


def cost_per_hour(counts: Mapping[str, int], look: StepLook) -> float:
    """USD/h of these counts."""
    return math.fsum(n * look.services[name].spec.price_per_hour for name, n in counts.items())


def done_s(
    service: ServiceLook,
    target: int,
    settings: EngineSettings,
    now_s: float,
    *,
    override: bool = False,
) -> float:
    """When the engine should be there: in its steps, each after a rest, the last one booted.

    With `override` in one step.
    """
    limits, count, rests_s = settings.limits, service.desired, 0.0
    at_s = now_s + settings.cycle_s
    while count != target and not override:
        if count < target:
            count = min(target, max(math.ceil(count * (1.0 + limits.step_out)), count + 1))
            rests_s = limits.cooldown_out_s
        else:
            count = max(target, min(math.floor(count * (1.0 - limits.step_in)), count - 1))
            rests_s = limits.cooldown_in_s
        if count != target:
            at_s += rests_s
    if target > service.ready:
        at_s += service.spec.boot.quantile_s(1.645) + service.spec.warmup_s
    return at_s
