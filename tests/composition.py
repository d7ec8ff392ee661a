"""The packaged configuration as tests want it, composed once for each set of overrides.

Hydra takes half a second for it, and most worlds of the tests differ in what is changed afterwards.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any

from engine.config.composition import composed
from twin.config import RunConfig, parse


@lru_cache(maxsize=256)
def _composed(overrides: tuple[str, ...]) -> dict[str, Any]:
    return composed(overrides)


def settings(*overrides: str) -> dict[str, Any]:
    """The tree of `python -m twin run`, one's own copy.  Raises ConfigError."""
    return copy.deepcopy(_composed(overrides))


def configuration(*overrides: str, **sections: Any) -> RunConfig:
    """The same, checked, with whole sections replaced.  Raises ConfigError."""
    return parse(settings(*overrides) | sections)
