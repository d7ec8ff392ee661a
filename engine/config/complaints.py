"""What is wrong with a configuration, said so that it can be put right.

Pydantic knows everything about an error but says it in its own terms; here each becomes one line
that names the key by its dotted path, the value, what is allowed and, for a name, the nearest ones.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from scenarios.faults.kinds import KINDS as FAULT_KINDS

Location = tuple[int | str, ...]
"""Where in the configuration an error is, as pydantic says it."""


def close(name: str, allowed: Sequence[str]) -> str:
    """A hint at the nearest allowed names, or nothing."""
    matches = difflib.get_close_matches(name, allowed, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


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


def lines(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """One line for each wrong key; what its alternatives allow is joined."""
    lines: list[str] = []
    refused: dict[str, tuple[str, list[str]]] = {}
    for item in error.errors(include_url=False):
        path = _path(item["loc"])
        context = item.get("ctx", {})
        match item["type"]:
            case "extra_forbidden":
                allowed = _allowed_keys(item["loc"][:-1], root)
                hint = close(str(item["loc"][-1]), allowed)
                lines.append(f"{path}: unknown key{hint or f' (allowed: {_list(allowed)})'}")
            case "missing":
                lines.append(f"{path}: is missing")
            case "value_error":
                text = str(context["error"])
                lines.append(text if _names_a_key(text) or not path else f"{path}: {text}")
            case "union_tag_invalid":
                key = f"{path}.{str(context['discriminator']).strip(chr(39))}"
                tag, tags = str(context["tag"]), str(context["expected_tags"]).replace("'", "")
                hint = close(tag, tags.split(", "))
                lines.append(f"{key}: {_shown(tag)} is not allowed ({tags}){hint}")
            case "union_tag_not_found":
                key = f"{path}.{str(context['discriminator']).strip(chr(39))}"
                lines.append(f"{key}: is missing")
            case "literal_error" | "enum":
                expected = context["expected"]
                refused.setdefault(path, (_shown(item["input"]), []))[1].append(str(expected))
            case kind:
                expected = _range(KINDS.get(kind, item["msg"]), item["loc"], root)
                refused.setdefault(path, (_shown(item["input"]), []))[1].append(expected)
    lines.extend(
        f"{path}: {shown} is not allowed ({' or '.join(allowed)})"
        for path, (shown, allowed) in refused.items()
    )
    return lines


def _names_a_key(text: str) -> bool:
    head = text.partition(":")[0]
    return bool(re.fullmatch(r"[a-z_]+(\.[\w-]+)+", head))


def _path(location: Location) -> str:
    """Dotted path without what pydantic adds for unions and tags."""
    noise = ("constrained-", "literal[", "float", "int", "str", "list[", "function-", "nullable")
    parts: list[str] = []
    for i, part in enumerate(location):
        text = str(part)
        if isinstance(part, str) and (text.startswith(noise) or (text in FAULT_KINDS and i == 2)):
            continue
        parts.append(text)
    return ".".join(parts)


def _range(message: str, location: Location, root: type[BaseModel]) -> str:
    field = _field(location, root)
    low = high = ""
    for constraint in field.metadata if field is not None else ():
        if hasattr(constraint, "ge"):
            low = _figure(constraint.ge)
        elif hasattr(constraint, "gt"):
            low = f"more than {_figure(constraint.gt)}"
        if hasattr(constraint, "le"):
            high = _figure(constraint.le)
        elif hasattr(constraint, "lt"):
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


def _field(location: Location, root: type[BaseModel]) -> Any:
    """The pydantic field at `location`, or None."""
    model: Any = root
    field: Any = None
    for part in location:
        inner = _model_in(model)
        if inner is not None and part in inner.model_fields:
            field = inner.model_fields[str(part)]
            model = field.annotation
        elif inner is not None:
            continue
        else:
            arguments = get_args(model)
            if get_origin(model) in (dict, list) and arguments:
                model = arguments[-1]
                field = None
    return field


def _allowed_keys(location: Location, root: type[BaseModel]) -> list[str]:
    model: Any = root
    for part in location:
        inner = _model_in(model, str(part))
        if inner is None:
            origin, arguments = get_origin(model), get_args(model)
            model = arguments[-1] if origin in (dict, list) and arguments else model
        elif part in inner.model_fields:
            model = inner.model_fields[str(part)].annotation
    found = _model_in(model, str(location[-1]) if location else "")
    return list(found.model_fields) if found is not None else []


def _model_in(annotation: Any, tag: str = "") -> type[BaseModel] | None:
    """The model that an annotation stands for; of a tagged union, the one of `tag`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = get_origin(annotation)
    if origin is Annotated:
        return _model_in(get_args(annotation)[0], tag)
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        models = [m for a in get_args(annotation) if (m := _model_in(a)) is not None]
        for model in models:
            kind = model.model_fields.get("kind")
            if kind is not None and kind.default == tag:
                return model
        return models[0] if models else None
    return None
