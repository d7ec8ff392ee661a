"""How the baselines check what `controller.options` holds."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class Given(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Options = TypeVar("Options", bound=Given)


def options_of(kind: type[Options], given: dict[str, Any]) -> Options:
    """The options, checked; raises ValueError naming the key that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(["controller.options", *(str(part) for part in first["loc"])])
        raise ValueError(f"{path}: {first['msg']}") from None
