"""The figures of a summary by their dotted path: those that a run can have, and those that one has.

Which figures there can be follows from the types and from what is known before the run: its world
and resolution, its services, the horizons that its controller forecasts, its faults, and whether it
is run with several seeds.  So a limit on a figure that cannot exist is refused before the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from engine.record.schema.parts import About, Part, WorldName, about_of
from engine.record.schema.summary import Figures, Interval, Summary

HEADLINES = (
    "slo.violation_ratio",
    "slo.violation_minutes",
    "slo.availability",
    "cost.total_usd",
    "cost.per_wedding_usd",
    "requests.total",
    "requests.failed",
    "requests.peak_rate_per_s",
    "weddings.peak_simultaneous",
    "decision.actions",
    "decision.reversals",
    "decision.emergency_s.count",
)
"""What replications are compared by; and of each service and each horizon:"""
SERVICE_HEADLINES = ("p95_s", "cost_usd", "instance_hours", "violation_ratio")
HORIZON_HEADLINES = ("wape",)


@dataclass(frozen=True, slots=True)
class RunScope:
    """What is known of a run before it begins; names in the order of the summary."""

    world: WorldName
    services: tuple[str, ...]
    resolution: str = ""
    horizons: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    replicated: bool = False

    def names(self, keys: str) -> tuple[str, ...]:
        """The names that a mapping with these keys has."""
        return tuple(getattr(self, keys)) if keys else ()


Possible = Mapping[str, str]
"""Path of each figure that there can be -> path of the count of what it is a figure of, or "".

A count by name (actions by reason) is its own: without an entry it is 0.
"""


def possible(scope: RunScope) -> dict[str, str]:
    """The figures that the summary of a run can have."""
    figures = dict(_of_type(Figures, scope))
    for section in ("live", "simulation"):
        figures |= dict(_of_field(Summary, section, scope))
    if scope.replicated:
        figures |= {"replications.count": "", "replications.confidence": ""}
        for path in headlines(scope.services, scope.horizons):
            if path in figures:
                for figure in Interval.model_fields:
                    figures[f"replications.{path}.{figure}"] = figures[path]
    return figures


def elsewhere(metric: str, scope: RunScope) -> str:
    """Why a run of this scope has no such figure though another would; "" where none would."""
    if scope.world == "twin" and metric in possible(replace(scope, replicated=True)):
        return "only a run with replications has it"
    if metric in possible(replace(scope, resolution="")):
        return f"at resolution {scope.resolution} there is no such figure"
    worlds: tuple[tuple[WorldName, str], ...] = (
        ("twin", "a run of the twin"), ("live", "a live run")
    )  # fmt: skip
    for world, where in worlds:
        other = replace(scope, world=world, resolution="", replicated=True)
        if world != scope.world and metric in possible(other):
            return f"only {where} has it"
    return ""


def of_kind(kind: type[Part], scope: RunScope) -> dict[str, str]:
    """The figures that any part of the schema can have, such as the summary of a load test."""
    return dict(_of_type(kind, scope))


def figures_of(part: Part) -> dict[str, int | float | None]:
    """Each figure that `part` has, by its path; None where it was not measured."""
    return dict(_values(part, ""))


def headlines(services: Iterable[str], horizons: Iterable[str]) -> list[str]:
    """Paths of the figures that replications are compared by."""
    return [
        *HEADLINES,
        *(f"services.{name}.{figure}" for name in services for figure in SERVICE_HEADLINES),
        *(f"prediction.{horizon}.{figure}" for horizon in horizons for figure in HORIZON_HEADLINES),
    ]


def _of_type(
    kind: type[BaseModel], scope: RunScope, prefix: str = "", of: str = ""
) -> Iterator[tuple[str, str]]:
    for name in kind.model_fields:
        yield from _of_field(kind, name, scope, prefix, of=of)


def _of_field(
    kind: type[BaseModel], name: str, scope: RunScope, prefix: str = "", *, of: str = ""
) -> Iterator[tuple[str, str]]:
    field = kind.model_fields[name]
    about = about_of(field.metadata) or About("")
    if about.only not in (None, scope.world) or about.never_at == scope.resolution != "":
        return
    counted = of if not about.of else about.of[1:] if about.of[0] == "/" else prefix + about.of
    inner, path = without_none(field.annotation), prefix + name
    if is_number(inner):
        yield path, counted
    elif is_part(inner):
        yield from _of_type(inner, scope, f"{path}.", counted)
    elif get_origin(inner) is dict:
        value = without_none(get_args(inner)[1])
        for key in scope.names(about.keys):
            here = f"{path}.{key}"
            if is_number(value):
                yield here, here  # a count by name
            elif is_part(value):
                own = f"{here}.{about.of[2:]}" if about.of.startswith("./") else counted
                yield from _of_type(value, scope, f"{here}.", own)


def _values(value: object, path: str) -> Iterator[tuple[str, int | float | None]]:
    if isinstance(value, Part):
        for name, field in type(value).model_fields.items():
            own = getattr(value, name)
            if own is None and is_number(without_none(field.annotation)):
                yield f"{path}{name}", None
            yield from _values(own, f"{path}{name}.")
    elif isinstance(value, Mapping):
        for name, own in value.items():
            yield from _values(own, f"{path}{name}.")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path.removesuffix("."), value


def without_none(annotation: Any) -> Any:
    """An annotation without what Annotated and Optional add to it."""
    if get_origin(annotation) is Annotated:
        return without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        others = [inner for inner in get_args(annotation) if inner is not NoneType]
        return without_none(others[0]) if len(others) == 1 else Union[tuple(others)]  # noqa: UP007
    return annotation


def is_part(annotation: Any) -> bool:
    """Whether it is a part of the schema."""
    return isinstance(annotation, type) and issubclass(annotation, Part)


def is_number(annotation: Any) -> bool:
    """Whether it is a figure."""
    return annotation in (int, float)
