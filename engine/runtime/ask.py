"""One step of any controller, with what it wants checked before anybody carries it out.

Both shells, the one in simulated and the one in wall time, ask their controller through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from engine.model import Action, Controller, Observation, Plan, Quantity, ServiceSpec
from engine.runtime.errors import ControllerError


def decide(
    controller: Controller,
    observation: Observation,
    specs: Mapping[str, ServiceSpec],
    when: str,
    *,
    name: str = "",
) -> Plan:
    """The controller's plan for `observation`.

    Raises ControllerError, which says `when` and the controller's `name` (or else its class), if
    there is none or one that cannot be meant.
    """
    name = name or type(controller).__name__
    try:
        plan: object = controller.step(observation)
    except Exception as error:
        raise _blame(error, name, when) from error
    if not isinstance(plan, Plan):
        raise ControllerError(f"controller {name} returned {type(plan).__name__}, not a Plan")
    for field in ("actions", "awaiting"):
        wanted: object = getattr(plan, field)
        if not isinstance(wanted, tuple):
            raise ControllerError(f"controller {name}: {field} of its plan are no tuple")
        for action in wanted:
            _check(action, specs, name)
    return plan


@contextmanager
def blaming(name: str, when: str) -> Iterator[None]:
    """Whatever is raised inside is the fault of the controller `name`: a ControllerError."""
    try:
        yield
    except Exception as error:
        raise _blame(error, name, when) from error


def _blame(error: Exception, name: str, when: str) -> ControllerError:
    return ControllerError(f"controller {name} raised {error!r} {when}")


def _check(action: object, specs: Mapping[str, ServiceSpec], name: str) -> None:
    """Nonsense is reported, never silently put right."""
    if not isinstance(action, Action):
        raise ControllerError(f"controller {name}: {action!r:.60} is no Action")
    spec = specs.get(action.service)
    if spec is None:
        raise ControllerError(f'controller {name}: unknown service "{action.service}"')
    least, most, what = spec.min_instances, spec.max_instances, "instances"
    if action.quantity is Quantity.WARM:
        least, most, what = 0, 0 if spec.warm is None else spec.warm.most, "held warm"
    if not isinstance(action.to_instances, int) or not least <= action.to_instances <= most:
        raise ControllerError(
            f"controller {name}: {spec.name} to {action.to_instances} {what} is not allowed "
            f"({least} … {most})"
        )
