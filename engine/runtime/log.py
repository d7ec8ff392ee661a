"""The one log of a process, on stderr: lines for people on a terminal, JSON in a pipe.

Whatever is logged, by structlog here or by the standard library's `logging` in an adapter or a
library, comes out in the same form.  A line of JSON holds `time` (ISO 8601, UTC), `level`,
`logger`, `event` and the event's own fields.  A log that cannot be written ends nothing.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

OURS = ("engine", "twin")
"""Loggers that tell what goes on; of all others only warnings are of interest."""


def set_up(stream: TextIO | None = None) -> None:
    """Log to `stream` (stderr if None) from now on, whatever was set up before."""
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _timed,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_for_people() if stream.isatty() else _for_programs()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _timed(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Put the moment of the event into it: its own `time_s` (epoch seconds), else now."""
    time_s: float | None = event.pop("time_s", None)
    when = dt.datetime.now(dt.UTC) if time_s is None else dt.datetime.fromtimestamp(time_s, dt.UTC)
    return {"time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"), **event}


def _for_people() -> list[Processor]:
    def short(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """The time of day, and neither where it comes from nor that all is well."""
        event["time"] = str(event["time"])[11:19]
        event.pop("logger", None)
        if event.get("level") == "info":
            del event["level"]
        return event

    return [
        short,
        structlog.dev.ConsoleRenderer(
            timestamp_key="time",
            pad_event_to=0,
            pad_level=False,
            # The richer ones show local variables, and with them what is secret.
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _for_programs() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=_plain)]


def _plain(value: Any) -> Any:
    """NumPy's figures as numbers, anything else as its text."""
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)
