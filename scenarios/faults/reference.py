"""The kinds of fault in words, for `docs/reference/faults.md`: what each does, and its figures."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from engine.config.keys import range_of
from scenarios.faults.base import Fault
from scenarios.faults.registry import KINDS

PARTS = {
    "load": "Users",
    "slowness": "Services",
    "calls": "Calls",
    "fleets": "Instances",
    "commands": "The cloud's interface",
    "samples": "Metrics",
    "engine": "The engine",
    "feed": "The schedule",
}
"""The parts that faults spoil, in the order of the reference."""


def markdown() -> str:
    """A section for each part and, in it, for each kind of fault that spoils it."""
    lines: list[str] = []
    for part, title in PARTS.items():
        lines += [f"## {title}", ""]
        for name, kind in KINDS.items():
            if kind.spoils == part:
                lines += [*_section(name, kind), ""]
    return "\n".join(lines)


def _section(name: str, kind: type[Fault]) -> Iterator[str]:
    yield f"### `{name}`"
    yield ""
    yield " ".join(inspect.cleandoc(kind.__doc__ or "").replace("\n\n", " ").split())
    yield ""
    yield "| key | default | allowed |"
    yield "| --- | --- | --- |"
    for key, field in kind.model_fields.items():
        if key not in ("kind", "name"):
            yield f"| `{key}` | {_default(field)} | {_allowed(key, field)} |"
    yield ""
    yield "```yaml"
    yield f"{name}: {_flow({'kind': name, **kind.example})}"
    yield "```"


def _flow(example: Mapping[str, Any]) -> str:
    """The example as a YAML mapping on one line."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in example.items()) + "}"


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    if value is None:
        return "the whole run"
    if value == ():
        return "all"
    return f"{value:,g}" if isinstance(value, float) else str(value)


def _allowed(key: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    if key == "at":
        return "seconds from the start, or `peak` or `ramp` with an offset such as `peak-600`"
    if key in ("service", "services"):
        return "names of the platform's services" if key == "services" else "a service's name"
    if key in ("zone", "zones"):
        return "indices of zones, from 0" if key == "zones" else "index of a zone, from 0"
    bounds = range_of(field.metadata)
    return f"{bounds} s" if key.endswith("_s") else bounds
