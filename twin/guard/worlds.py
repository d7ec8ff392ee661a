"""The worlds that the guard looks at, as overrides of the configuration tree (`conf/guard`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from engine.config.complaints import close
from engine.config.composition import composed
from engine.config.packaged import packaged_mapping
from engine.config.strict import ConfigError, Strict, validated


class GuardWorldConfig(Strict):
    """One world: what happens in it, and by which overrides of the configuration."""

    says: Annotated[str, Field(min_length=1, max_length=200)]
    overrides: Annotated[tuple[str, ...], Field(min_length=1)]


class GuardWorldsConfig(Strict):
    """The `short` ones that the guard looks at, and the `full` ones in which harm is judged."""

    short: Annotated[dict[str, GuardWorldConfig], Field(min_length=1)]
    full: dict[str, GuardWorldConfig] = Field(default_factory=dict)


def read(path: Path | None = None) -> GuardWorldsConfig:
    """The worlds of the file `path`, or the packaged ones; raises ConfigError."""
    return validated(GuardWorldsConfig, packaged_mapping("guard/worlds.yaml", path))


def chosen(wanted: tuple[str, ...], there: dict[str, GuardWorldConfig]) -> list[str]:
    """The names asked for in the order of the file, all without any; raises ConfigError."""
    for name in wanted:
        if name not in there:
            raise ConfigError(
                f'"{name}" is no world of the guard ({", ".join(there)}){close(name, list(there))}'
            )
    return [name for name in there if not wanted or name in wanted]


def settings(world: GuardWorldConfig) -> dict[str, Any]:
    """The composed configuration; raises ConfigError.

    The scenarios' own limits are for their whole days; here only the difference counts.
    """
    return composed([*world.overrides, "~thresholds"])
