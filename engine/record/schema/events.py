"""`events.jsonl`: what happened beside the decisions, a JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from engine.record.schema.parts import About, Part
from engine.record.schema.summary import SchemaError, checked
from engine.security.foreign_json import ForeignJsonError, parsed

FILE = "events.jsonl"


class Event(Part):
    """Something that happened to the platform or to the engine."""

    time_s: Annotated[float, About("epoch seconds")]
    kind: Annotated[str, About("fault_started, fault_ended, trouble_started, …")]
    name: Annotated[str, About("of the fault or the port")] = ""
    service: Annotated[str, About("the service, if it is about one")] = ""
    what: Annotated[str, About("the kind of fault, or what the trouble is with")] = ""
    detail: Annotated[str, About("in words")] = ""


def write(folder: Path, events: Iterable[Event]) -> None:
    """Write them into `folder`; raises OSError."""
    with (folder / FILE).open("w", encoding="utf-8") as lines:
        for event in events:
            lines.write(json.dumps(event.model_dump(exclude_unset=True)) + "\n")


def read(folder: Path) -> Iterator[Event]:
    """The events in `folder`, in order; raises SchemaError naming the file and the line."""
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SchemaError(f"{path}: is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SchemaError(f"{path}: cannot be read: {reason}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            raw = parsed(line)
        except ForeignJsonError as error:
            raise SchemaError(f"{path}: line {number}: {error}") from error
        yield checked(Event, raw, f"{path}: line {number}")
