"""Every key of a configuration in words: what it is, its default, and what is allowed.

`docs/reference/keys.md` is made of it, so the page says what is checked and nothing else.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

LONGEST = 60
"""A default that takes more characters is not shown."""


class ConfigurationKey(NamedTuple):
    """A key by its dotted path; `<…>` stands for a name that the user gives."""

    path: str
    default: str
    allowed: str
    text: str


def keys_of(
    model: type[BaseModel], defaults: Mapping[str, Any], elsewhere: Mapping[str, str] | None = None
) -> Iterator[ConfigurationKey]:
    """All keys below `model`, in its order; `defaults` is the configuration as it is composed.

    What stands below the paths of `elsewhere` is described on another page, whose words these are.
    """
    yield from _below(model, defaults, "", elsewhere or {})


def table(keys: Sequence[ConfigurationKey]) -> str:
    """The keys as a Markdown table."""
    rows = [f"| `{key.path}` | {key.default} | {key.allowed} | {key.text} |" for key in keys]
    return "\n".join(["| key | default | allowed | |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _below(
    model: type[BaseModel], defaults: object, prefix: str, elsewhere: Mapping[str, str]
) -> Iterator[ConfigurationKey]:
    for name, field in model.model_fields.items():
        key = field.alias or name
        path = f"{prefix}{key}"
        default = defaults.get(key) if isinstance(defaults, Mapping) else None
        text = field.description or _docstrings(model).get(name, "")
        if path in elsewhere:
            yield ConfigurationKey(path, "", "", elsewhere[path])
            continue
        inner, holds = _part(field.annotation)
        if inner is None:
            yield ConfigurationKey(path, _default(field, default), _allowed(field), _line(text))
            continue
        said = text or inspect.cleandoc(inner.__doc__ or "").partition("\n\n")[0]
        yield ConfigurationKey(path, _nothing(default, field), "", _line(said))
        below = default if holds == "" else None
        yield from _below(inner, below, f"{path}{holds}.", elsewhere)


def _part(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model that stands under a key, and what is put behind the key before its own keys."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _part(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    if origin in (Union, types.UnionType):
        models = [one for one in arguments if one is not type(None)]
        return _part(models[0]) if len(models) == 1 else (None, "")
    if origin is dict:
        inner, holds = _part(arguments[1])
        return inner, f".<name>{holds}"
    if origin in (tuple, list) and arguments:
        inner, holds = _part(arguments[0])
        return inner, f"[]{holds}"
    return None, ""


@cache
def _docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """What stands below each field of a class in its source, its bases' fields among them."""
    said: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not (issubclass(one, BaseModel) and one is not BaseModel):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, below in pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                said[field.target.id] = below.value.value
    return said


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(field: FieldInfo, composed: object) -> str:
    if composed is None and field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True) if composed is None else composed
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list, tuple)) and not value:
        return "empty"
    if isinstance(value, float):
        return _figure(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = str(list(value) if isinstance(value, tuple) else value).replace("|", "\\|")
    return f"`{text}`" if 0 < len(text) <= LONGEST else "…" if text else "empty"


def _nothing(composed: object, field: FieldInfo) -> str:
    """The default of a section, where it is that there is none."""
    optional = type(None) in get_args(field.annotation)
    return "none" if composed is None and optional else ""


def _allowed(field: FieldInfo) -> str:
    return _bounds(field.annotation, tuple(field.metadata))


def _bounds(annotation: Any, metadata: tuple[Any, ...]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounds(arguments[0], (*_constraints(arguments[1:]), *metadata))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        parts = [_bounds(one, metadata) for one in arguments if one is not type(None)]
        return " or ".join(dict.fromkeys(part for part in parts if part))
    if origin in (tuple, list, set, frozenset):
        inner = _bounds(arguments[0], ()) if arguments else ""
        return f"a list of {inner}" if inner else "a list"
    if origin is dict:
        return "a mapping"
    if annotation is bool:
        return "true, false"
    if annotation in (int, float):
        return range_of(metadata) or ("a whole number" if annotation is int else "a number")
    pattern = next((one.pattern for one in metadata if getattr(one, "pattern", None)), None)
    if pattern is None or "](" in pattern:  # the latter is a link to whoever reads Markdown
        return "text"
    return f"text like `{pattern}`".replace("|", "\\|")


def _constraints(extras: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(
        inner for one in extras for inner in (one.metadata if isinstance(one, FieldInfo) else [one])
    )


def range_of(metadata: Sequence[Any]) -> str:
    """The bounds among the constraints of a figure in words; "" where there are none."""
    low = high = ""
    for one in metadata:
        if getattr(one, "ge", None) is not None:
            low = _figure(one.ge)
        elif getattr(one, "gt", None) is not None:
            low = f"more than {_figure(one.gt)}"
        if getattr(one, "le", None) is not None:
            high = _figure(one.le)
        elif getattr(one, "lt", None) is not None:
            high = f"less than {_figure(one.lt)}"
    if low and high:
        return f"{low} … {high}"
    return (low if low.startswith("more") else f"at least {low}") if low else high


def _figure(value: float) -> str:
    """Whole numbers with all their digits, up to where nobody counts them any more."""
    whole = abs(value) < 1e12 and value == int(value)
    return f"{int(value):,}" if whole else f"{value:,g}"
