"""What is wrong with a configuration, said so that it can be put right.

Pydantic knows everything about an error but says it in its own terms; here each becomes one line
that names the key by its dotted path, the value, what is allowed and, for a name, the nearest ones.

The path is what stands in the configuration.  Pydantic's own has more in it: which member of a
union was tried, the tag of a tagged one.  `_walk` goes along the types beside it, so it can tell
the two apart, whatever the types are.
"""

from __future__ import annotations

import difflib
import math
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Location = tuple[int | str, ...]
"""Where in the configuration an error is, as pydantic says it."""


def close(name: str, allowed: Sequence[str]) -> str:
    """A hint at the nearest allowed names, or nothing."""
    matches = difflib.get_close_matches(name, allowed, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def check_name(name: str, allowed: Sequence[str], key: str) -> None:
    """Raise ValueError, beginning with `key`, for a name that is not one of the `allowed`."""
    if name not in allowed:
        raise ValueError(
            f'{key}: "{name}" is not allowed ({", ".join(allowed)}){close(name, allowed)}'
        )


class WrongKeysError(ValueError):
    """What was validated by itself is wrong: `lines`, each beginning with a key of its own."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


KINDS = {
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def lines(error: ValidationError, root: type[BaseModel], under: str = "") -> list[str]:
    """One line for each wrong key; what its alternatives allow is joined.

    `under` is the dotted key at which the validated part stands, empty at the root.
    """
    lines: list[str] = []
    refused: dict[str, tuple[str, list[str]]] = {}
    for item in error.errors(include_url=False):
        location = item["loc"]
        path = _path(location, root, under)
        context = item.get("ctx", {})
        match item["type"]:
            case "extra_forbidden":
                path = _joined(_path(location[:-1], root, under), location[-1])
                allowed = _keys(location[:-1], root)
                hint = close(str(location[-1]), allowed)
                lines.append(f"{path}: unknown key{hint or f' (allowed: {_list(allowed)})'}")
            case "missing":
                lines.append(f"{path}: is missing")
            case "value_error" if isinstance(context["error"], WrongKeysError):
                lines.extend(_joined(path, line) for line in context["error"].lines)
            case "value_error":
                text = str(context["error"])
                lines.append(text if _names_a_key(text) or not path else f"{path}: {text}")
            case "union_tag_invalid":
                key = _joined(path, str(context["discriminator"]).strip("'"))
                tag, tags = str(context["tag"]), str(context["expected_tags"]).replace("'", "")
                hint = close(tag, tags.split(", "))
                lines.append(f"{key}: {_shown(tag)} is not allowed ({tags}){hint}")
            case "union_tag_not_found":
                key = _joined(path, str(context["discriminator"]).strip("'"))
                lines.append(f"{key}: is missing")
            case "literal_error" | "enum":
                expected = context["expected"]
                refused.setdefault(path, (_shown(item["input"]), []))[1].append(str(expected))
            case kind:
                expected = _range(KINDS.get(kind, item["msg"]), location, root)
                allowed = refused.setdefault(path, (_shown(item["input"]), []))[1]
                if expected not in allowed:
                    allowed.append(expected)
    lines.extend(
        f"{path}: {shown} is not allowed ({' or '.join(allowed)})"
        for path, (shown, allowed) in refused.items()
    )
    return lines


def _names_a_key(text: str) -> bool:
    head = text.partition(":")[0]
    return bool(re.fullmatch(r"[a-z_]+(\.[\w-]+)+", head))


def _joined(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _path(location: Location, root: type[BaseModel], under: str) -> str:
    """Dotted path without what pydantic adds for unions and tags."""
    path = under
    for step in _walk(location, root):
        if step.key:
            path = _joined(path, step.part)
    return path


def _range(message: str, location: Location, root: type[BaseModel]) -> str:
    low = high = ""
    for constraint in _constraints(location, root):
        if getattr(constraint, "ge", None) is not None:
            low = _figure(constraint.ge)
        elif getattr(constraint, "gt", None) is not None:
            low = f"more than {_figure(constraint.gt)}"
        if getattr(constraint, "le", None) is not None:
            high = _figure(constraint.le)
        elif getattr(constraint, "lt", None) is not None:
            high = f"less than {_figure(constraint.lt)}"
    if low and high:
        return f"{low} … {high}"
    if low:
        return low if low.startswith("more") else f"at least {low}"
    return message[0].lower() + message[1:]


def _figure(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (" …" if len(names) > 20 else "")


# --- along the types


@dataclass(frozen=True, slots=True)
class _Step:
    """A part of pydantic's location: whether it is a key, and what may stand there."""

    part: int | str
    key: bool
    alternatives: tuple[Any, ...]
    """The types, unions taken apart; each still with its constraints."""
    constraints: tuple[Any, ...]
    """Those of the field as a whole."""


def _walk(location: Location, root: type[BaseModel]) -> Iterator[_Step]:
    alternatives: tuple[Any, ...] = (root,)
    constraints: tuple[Any, ...] = ()
    for part in location:
        models = [bare for a in alternatives if _is_model(bare := _bare(a))]
        holders = [field for model in models if (field := _field(model, part)) is not None]
        tagged = [model for model in models if part in _names(model)]
        items = [argument for a in alternatives if (argument := _item(_bare(a), part)) is not None]
        key = bool(holders or (items and not tagged))
        if holders:
            alternatives = tuple(a for f in holders for a in _alternatives(f.annotation))
            constraints = tuple(c for f in holders for c in f.metadata)
        elif tagged:
            alternatives, constraints = tuple(tagged), ()
        elif items:
            alternatives = tuple(a for item in items for a in _alternatives(item))
            constraints = ()
        yield _Step(part, key, alternatives, constraints)


def _constraints(location: Location, root: type[BaseModel]) -> list[Any]:
    """What bounds the value at `location`: of the field, or of the alternatives of its type."""
    steps = list(_walk(location, root))
    if not steps:
        return []
    bounds = list(steps[-1].constraints)
    for alternative in steps[-1].alternatives:
        if get_origin(alternative) is Annotated:
            for extra in get_args(alternative)[1:]:
                bounds.extend(extra.metadata if isinstance(extra, FieldInfo) else [extra])
    return bounds


def _keys(location: Location, root: type[BaseModel]) -> list[str]:
    """The keys that are allowed below `location`, as they are written."""
    alternatives: tuple[Any, ...] = (root,)
    for step in _walk(location, root):
        alternatives = step.alternatives
    return [
        field.alias or name
        for alternative in alternatives
        if _is_model(model := _bare(alternative))
        for name, field in model.model_fields.items()
    ]


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, also of one in an annotation; else itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(a for member in get_args(annotation) for a in _alternatives(member))
    if get_origin(annotation) is Annotated and len(_alternatives(get_args(annotation)[0])) > 1:
        return _alternatives(get_args(annotation)[0])
    return (annotation,)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _field(model: type[BaseModel], part: int | str) -> FieldInfo | None:
    for name, field in model.model_fields.items():
        if part == (field.alias or name):
            return field
    return None


def _names(model: type[BaseModel]) -> set[object]:
    """By what pydantic tells this member of a union: its name, or the value of its tag."""
    tags = {
        field.default
        for field in model.model_fields.values()
        if get_origin(field.annotation) is Literal
    }
    return {model.__name__, *tags}


def _item(annotation: Any, part: int | str) -> Any:
    """The type of what a mapping or a list holds, None for what holds nothing at `part`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not arguments or not isinstance(origin, type):
        return None
    if issubclass(origin, Mapping):
        return arguments[-1]
    if issubclass(origin, Sequence | set | frozenset) and isinstance(part, int):
        fixed = origin is tuple and arguments[-1] is not Ellipsis
        return arguments[part] if fixed and part < len(arguments) else arguments[0]
    return None
