"""What the commands about one infrastructure (`engine aws`, `engine kubernetes`) have in common.

All take the overrides of a run and look at the configuration with their infrastructure in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.config.live import LiveConfig


def parser_of(
    name: str, description: str | None, commands: Sequence[str]
) -> argparse.ArgumentParser:
    """The parser of `python -m engine NAME`; a command may add options of its own."""
    parser = argparse.ArgumentParser(
        prog=f"python -m engine {name}", allow_abbrev=False, description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("command", choices=commands)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument(
        "--config-dir", action="append", default=[], metavar="DIR",
        help="a folder of your own, searched besides the packaged tree",
    )  # fmt: skip
    return parser


def composed_with(
    name: str, overrides: Sequence[str], config_dirs: Sequence[str]
) -> dict[str, Any]:
    """The tree of a run with the infrastructure `name`, unless another is chosen.

    Raises ConfigError for what Hydra refuses.
    """
    from engine.config import secrets  # here, so that --help loads none of it
    from engine.config.composition import composed

    secrets.learn_arguments(overrides)
    chosen = any(one.startswith("infrastructure=") for one in overrides)
    ours = [] if chosen else [f"infrastructure={name}"]
    return composed([*ours, *overrides], config_dirs, root="live")


def parsed_with(name: str, settings: Mapping[str, Any], adapter: ModuleType) -> LiveConfig:
    """The configuration of a run whose infrastructure `adapter` makes; raises ConfigError."""
    from engine.config.live import parse
    from engine.config.strict import ConfigError

    config = parse(settings)
    if not config.infrastructure.factory.startswith(adapter.__name__):
        raise ConfigError(f"infrastructure: this is for infrastructure={name} alone")
    return config
