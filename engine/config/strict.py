"""The one base of everything that is read from a configuration, and the one error about it.

A value that comes from outside is validated once, at the border, into a frozen type that is closed
to unknown keys and to figures that are none.  What does not fit becomes a `ConfigError` with a line
for each wrong key: where it is, what was given, what is allowed, which name is near.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.config.complaints import lines


class ConfigError(ValueError):
    """The configuration is wrong; the message names the keys."""


class Strict(BaseModel):
    """Frozen, closed to unknown keys, without NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


Kind = TypeVar("Kind", bound=BaseModel)


def validated(kind: type[Kind], raw: Mapping[str, Any], under: str = "") -> Kind:
    """`raw` as a `kind`; raises ConfigError, a line a wrong key.

    `under` is the dotted key that `raw` stands at in the configuration, empty at its root.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, kind, under))) from None
