"""What a part of the schema is made of: typed fields that say what they mean and where they exist.

A figure that is not a number (infinite, or 0/0) is written as null, like one that nobody measured:
JSON knows no other numbers, and one figure that cannot be computed must not cost the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_serializer

WorldName = Literal["twin", "live"]


@dataclass(frozen=True, slots=True)
class About:
    """What a field says, for people; where it exists; and what it counts.

    `only` is the one world whose runs have it.  `never_at` is a resolution at which it says
    nothing.  `of` is the path of the count of what it is a figure of: beside the field, or from the
    summary's root where it begins with a slash, or in each entry of a mapping where it begins with
    "./"; at 0 there was nothing to judge.  `keys` says which
    names a mapping has.  A section that is `optional` is left out of the file where it is None.
    """

    text: str
    only: WorldName | None = None
    never_at: str = ""
    of: str = ""
    keys: Literal["services", "horizons", "faults", "reasons", ""] = ""
    optional: bool = False


class Part(BaseModel):
    """Frozen; keys of a later version are ignored, those that are missing are an error."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        written = write(self)
        for name, field in type(self).model_fields.items():
            about = about_of(field.metadata)
            if about is not None and about.optional and written.get(name, 0) is None:
                del written[name]
        return written


def about_of(metadata: list[Any]) -> About | None:
    """What a field's annotation says of it."""
    return next((item for item in metadata if isinstance(item, About)), None)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Figure = Annotated[float | None, BeforeValidator(_finite)]
"""A number, or None where it was not measured or does not exist."""
