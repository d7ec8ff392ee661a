"""What is found by configuration: `module:callable`, the one way across a boundary.

The engine imports neither the world that it scales nor who reads its records.  An adapter, a
controller, a scenario's bookings or a reporter is named in the configuration, imported when it is
needed, and checked for what it has to be able to do; whatever is wrong is said of the key that
names it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from engine.config.complaints import close
from engine.config.strict import ConfigError

Reference = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""`module:callable`."""


def load(reference: str, key: str) -> Callable[..., Any]:
    """The callable that `reference` names; `key` is where the configuration has it.

    Raises ConfigError when it cannot be imported, is not there, or cannot be called.
    """
    module, _, name = reference.partition(":")
    try:
        target: object = getattr(importlib.import_module(module), name)
    except Exception as error:  # importing runs the module, which may raise anything
        raise ConfigError(f"{key}: {reference} cannot be loaded ({error})") from error
    if not callable(target):
        raise ConfigError(f"{key}: {reference} cannot be called")
    return target


def is_installed(reference: str) -> bool:
    """Whether the package that `reference` names is there at all; nothing of it is run."""
    return importlib.util.find_spec(reference.partition(":")[0].partition(".")[0]) is not None


def build(
    reference: str,
    *given: object,
    key: str,
    options: Mapping[str, Any],
    options_key: str,
    methods: Sequence[str] = (),
) -> Any:
    """What the callable of `reference` makes of `given` and, as keywords, of `options`.

    The result has all `methods`.  Raises ConfigError naming `key`, or `options_key` when the
    options do not fit; what the callable raises passes as it is.
    """
    make = load(reference, key)
    _check_options(make, given, options, options_key)
    made = make(*given, **options)
    for method in methods:
        if not callable(getattr(made, method, None)):
            raise ConfigError(
                f"{key}: {reference} makes something of type {type(made).__name__}, "
                f"which has no {method}()"
            )
    return made


def _check_options(
    make: Callable[..., Any], given: Sequence[object], options: Mapping[str, Any], key: str
) -> None:
    """Whether `make` takes them, before it is called: a TypeError of its own is no wrong option."""
    try:
        signature = inspect.signature(make)
    except (TypeError, ValueError):
        return  # something built in, which says for itself what it does not take
    taken = list(signature.parameters.values())[len(given) :]
    named = [p.name for p in taken if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not any(p.kind is p.VAR_KEYWORD for p in taken):
        for name in options:
            if name not in named:
                allowed = f" (allowed: {', '.join(named)})" if named else " (there are none)"
                raise ConfigError(f"{key}.{name}: unknown key{close(name, named) or allowed}")
    try:
        signature.bind(*given, **options)
    except TypeError as error:
        missing = [
            p.name for p in taken
            if p.name in named and p.default is p.empty and p.name not in options
        ]  # fmt: skip
        if missing:
            raise ConfigError(f"{key}.{missing[0]}: is missing") from None
        raise ConfigError(f"{key}: {error}") from None
