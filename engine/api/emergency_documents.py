"""Emergency access: what is asked and answered at `engine.api.routes.emergency`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, SecretStr

from engine.api.documents import Document, RequestBody
from engine.security.break_glass import LONGEST_REASON, LONGEST_S, SHORTEST_REASON

MOST_CODE = 200


class EmergencyRequest(RequestBody):
    """A sealed code, and what happens; everybody is told."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"code": "wtbg_…", "reason": "nobody can log in, and guests wait"}]
        }
    )

    code: Annotated[SecretStr, Field(min_length=1, max_length=MOST_CODE)]
    reason: Annotated[str, Field(min_length=SHORTEST_REASON, max_length=LONGEST_REASON)]
    for_s: Annotated[float, Field(gt=0.0, le=LONGEST_S)] = LONGEST_S


class EmergencyDocument(Document):
    """The token, shown this once, and when it ends (epoch seconds)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"token": "wtbs_…", "expires_s": 1781874000.0}]},
    )

    token: str
    expires_s: float
