"""One step of any controller, with what it wants checked before anybody carries it out.

Both shells, the one in simulated and the one in wall time, ask their controller through here.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.model import Action, Controller, Observation, Plan, ServiceSpec


class ControllerError(RuntimeError):
    """The controller raised, or asked for something that makes no sense."""


def decide(
    controller: Controller, observation: Observation, specs: Mapping[str, ServiceSpec], when: str
) -> Plan:
    """The controller's plan for `observation`.

    Raises ControllerError, which says `when`, if there is none or one that cannot be meant.
    """
    name = type(controller).__name__
    try:
        plan: object = controller.step(observation)
    except Exception as error:
        raise ControllerError(f"controller {name} raised {error!r} {when}") from error
    if not isinstance(plan, Plan):
        raise ControllerError(f"controller {name} returned {type(plan).__name__}, not a Plan")
    for action in plan.actions:
        _check(action, specs, name)
    return plan


def _check(action: Action, specs: Mapping[str, ServiceSpec], name: str) -> None:
    """Nonsense is reported, never silently put right."""
    spec = specs.get(action.service)
    if spec is None:
        raise ControllerError(f'controller {name}: unknown service "{action.service}"')
    if not isinstance(action.to_instances, int) or not (
        spec.min_instances <= action.to_instances <= spec.max_instances
    ):
        raise ControllerError(
            f"controller {name}: {spec.name} to {action.to_instances} instances is not allowed "
            f"({spec.min_instances} … {spec.max_instances})"
        )
