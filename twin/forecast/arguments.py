"""The command line of `python -m twin forecast`, read before what forecasts is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.config import assignments, composition
from engine.config.complaints import close
from engine.config.strict import ConfigError

KEYS = {
    "day": ("date", "now", "weddings", "model"),
    "wedding": ("date", "time", "zone", "type", "guests", "vendors", "now"),
    "season": ("year", "season", "now"),
    "train": ("model",),
}


@dataclass(frozen=True, slots=True)
class ForecastArguments:
    """What the command line asks: the kind of forecast, its own keys, and all others as a tree."""

    kind: str
    given: Mapping[str, str]
    tree: Mapping[str, Any]
    """The configuration as it was composed; not validated."""


def read(arguments: Sequence[str]) -> ForecastArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    if not arguments or arguments[0] not in KEYS:
        named = arguments[0] if arguments else ""
        raise ConfigError(f'"{named}" is not allowed ({", ".join(KEYS)}){close(named, list(KEYS))}')
    kind, own = arguments[0], KEYS[arguments[0]]
    words = assignments.read(arguments[1:], own)
    tree = composition.composed(words.overrides, root="forecasting", own=own)
    return ForecastArguments(kind, words.own, tree)
