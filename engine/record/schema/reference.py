"""The schema in words, for `docs/reference/record.md`: what each key and each column says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args, get_origin

from engine.record.schema.events import FILE as EVENTS
from engine.record.schema.events import Event
from engine.record.schema.load import FILE as LOAD_SUMMARY
from engine.record.schema.load import LoadSummary
from engine.record.schema.parts import About, Part, about_of
from engine.record.schema.paths import is_part, without_none
from engine.record.schema.summary import FILE as SUMMARY
from engine.record.schema.summary import Interval, Summary
from engine.record.schema.tables import LOAD, RUN_TABLES, Table

NAMES = {
    "services": "SERVICE", "horizons": "SECONDS", "faults": "FAULT", "reasons": "REASON"
}  # fmt: skip


def markdown() -> str:
    """All tables; those of a path that a limit can be set on say so by their type."""
    parts = [
        f"### `{SUMMARY}`\n\n{_of_part(Summary)}",
        *(f"### `{table.file}`\n\n{table.text}\n\n{_of_table(table)}" for table in RUN_TABLES),
        f"### `{EVENTS}`\n\nOne JSON object a line.\n\n{_of_part(Event)}",
        f"### `{LOAD_SUMMARY}`\n\n{_of_part(LoadSummary)}",
        f"### `{LOAD.file}`\n\n{LOAD.text}\n\n{_of_table(LOAD)}",
    ]
    return "\n".join(parts)


def _of_part(kind: type[Part]) -> str:
    rows = [f"| `{path}` | {type_} | {text} |" for path, type_, text in _rows(kind)]
    return "\n".join(["| key | type | what it says |", "| --- | --- | --- |", *rows]) + "\n"


def _of_table(table: Table) -> str:
    rows = [
        f"| `{column.name}` | {column.type} | {column.text}{_only(column.only)} |"
        for column in table.columns
    ]
    if table.others:
        rows.append(f"| … | {table.others_type} | {table.others} |")
    return "\n".join(["| column | type | what it says |", "| --- | --- | --- |", *rows]) + "\n"


def _rows(kind: type[Part], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, field in kind.model_fields.items():
        about = about_of(field.metadata) or About("nested as in the summary")
        path = prefix + (field.alias or name)
        inner = without_none(field.annotation)
        text = about.text + _only(about.only)
        if about.never_at:
            text += f" (not at resolution {about.never_at})"
        if is_part(inner):
            yield path, "section", text
            yield from _rows(inner, f"{path}.")
            continue
        if get_origin(inner) is dict:
            entry = f"{path}.{NAMES.get(about.keys, 'NAME')}"
            value = without_none(get_args(inner)[1])
            yield entry, "section" if is_part(value) else _type(value), text
            if is_part(value) and value is not Interval:
                yield from _rows(value, f"{entry}.")
            continue
        if get_origin(inner) is tuple:
            value = get_args(inner)[0]
            yield f"{path}[]", "section" if is_part(value) else _type(value), text
            if is_part(value):
                yield from _rows(value, f"{path}[].")
            continue
        yield path, _type(inner), text


def _type(annotation: object) -> str:
    if annotation is bool:
        return "true or false"
    words = annotation is str or any(isinstance(word, str) for word in get_args(annotation))
    return "text" if words else "number"


def _only(world: str | None) -> str:
    return "" if world is None else f" ({world} only)"
