"""Mappings that ship with the tree and may be replaced by a file of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from engine.config.strict import ConfigError


def packaged_mapping(name: str, path: Path | None = None) -> dict[str, Any]:
    """The mapping in `path`, or in the packaged `conf/<name>`; raises ConfigError."""
    source = resources.files("conf").joinpath(*name.split("/")) if path is None else path
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: has to be a mapping")
    return content
