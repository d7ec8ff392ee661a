"""One file for each reader of foreign bytes, with a `TARGET`; its name is the file's."""

from __future__ import annotations

import importlib
import pkgutil

from tools.fuzz.target import FuzzTarget


def names() -> list[str]:
    """All targets."""
    return sorted(one.name for one in pkgutil.iter_modules(__path__))


def target_of(name: str) -> FuzzTarget:
    """The target of a name."""
    target: FuzzTarget = importlib.import_module(f"{__name__}.{name}").TARGET
    return target
