"""What `python -m engine import prometheus` does, once it is known what is asked for."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

from engine.adapters.prometheus_history import connected
from engine.commands.importing import tell
from engine.config.strict import ConfigError
from engine.importing import files, history, measured, trace_files
from engine.importing.history import PlatformHistory
from engine.importing.settings import ImportConfig


def run(config: ImportConfig, line: str) -> list[Path]:
    """Ask, fit and write; returns the files.  Raises ConfigError."""
    if config.metrics.url is None:
        raise ConfigError("metrics.url: is missing; metrics.url=http://127.0.0.1:9090")
    platform = files.earlier(config.out, _name(config))
    asked = config.metrics
    span = history.span_of(config, dt.datetime.now(dt.UTC))
    with connected(
        config.metrics.url, asked.headers, asked.parameters, asked.timeout_s, ca=asked.ca,
        certificate=asked.certificate,
    ) as metrics:  # fmt: skip
        seen = history.read(
            metrics, config, platform, span,
            advance=lambda name: print(f"asking for {name}", file=sys.stderr),
        )  # fmt: skip
    platform = files.with_given(platform, config.services)
    platform, why = measured.fitted(platform, seen)
    files.checked(platform)
    where = files.shown(config.metrics.url)
    more = trace_files.texts(config.out, platform, seen, config.time_zone, where=where)
    files.written(more, overwrite=config.overwrite)
    # What was changed by hand in these is in what is written, so nobody loses anything.
    renewed = files.platform_files(config.out, platform, line)
    files.written(renewed, overwrite=True)
    tell(platform)
    _say(seen, why)
    return [*renewed, *more]


def _name(config: ImportConfig) -> str:
    """The import that is meant: the one that is there, where none is named."""
    if config.name is not None:
        return config.name
    there = sorted(path.stem for path in (config.out / "import").glob("*.json"))
    if len(there) == 1:
        return there[0]
    said = f"there are {', '.join(there)}" if there else f"{config.out}/import holds none"
    raise ConfigError(
        f"name: is missing ({said}); first: python -m engine import kubernetes out={config.out}"
        if not there else f"name: is missing ({said})"
    )  # fmt: skip


def _say(seen: PlatformHistory, why: dict[str, str]) -> None:
    if seen.silent:
        print(f"without any value: {', '.join(seen.silent)}", file=sys.stderr)
    if not seen.calls:
        print("call graph: missing, as no metric says who calls whom", file=sys.stderr)
    for name, reason in why.items():
        print(f"{name}: service times stay assumed: {reason}", file=sys.stderr)
