"""The section `api`: where it listens, for whom, and how much it takes of anybody."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, field_validator

from engine.config import secrets
from engine.config.load import Reference
from engine.config.strict import Strict


class RateLimit(Strict):
    """So many requests a second in the long run, and so many at once after a pause."""

    per_s: Annotated[float, Field(gt=0.0, le=1e6)]
    """Requests a second in the long run ..."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)]
    """... and so many at once after a pause."""


class ApiLimits(Strict):
    """What one client, one request and one answer may take."""

    body_bytes: Annotated[int, Field(ge=256, le=16_777_216)] = 65_536
    """Of a request's body, but for remote write."""
    page: Annotated[int, Field(ge=1, le=10_000)] = 200
    """Rows of a page at the most."""
    range_s: Annotated[float, Field(ge=60.0, le=604_800.0)] = 86_400.0
    """How far back metrics are kept and can be asked for."""
    decisions: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """The newest ones that can be asked for."""
    events: Annotated[int, Field(ge=10, le=1_000_000)] = 2_000
    """The newest ones that a client that was away can still get."""
    streams: Annotated[int, Field(ge=1, le=10_000)] = 400
    """Clients of the event stream at one time."""
    connections: Annotated[int, Field(ge=2, le=20_000)] = 1_000
    """At one time, of all clients."""
    request_s: Annotated[float, Field(gt=0.0, le=600.0)] = 10.0
    """For a client to send a whole request, and to take what is sent to it."""
    prediction_s: Annotated[float, Field(gt=0.0, le=600.0)] = 60.0
    """For a prediction, before whoever asked is told to come again."""
    what_if_s: Annotated[float, Field(gt=0.0, le=600.0)] = 30.0
    """For the next hours to be tried out, before that is given up."""
    what_ifs: Annotated[int, Field(ge=1, le=100)] = 4
    """So many of these may be waited for at one time; they are worked out one after the other."""
    drain_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.5
    """From the beginning of a stop, so long new requests are still answered."""
    reads: RateLimit = RateLimit(per_s=1_000.0, burst=2_000)
    """Of one principal; the same for whoever has not shown who he is, by address."""
    writes: RateLimit = RateLimit(per_s=10.0, burst=100)
    predictions: RateLimit = RateLimit(per_s=5.0, burst=50)


class TlsConfig(Strict):
    """The server's certificate; with `clients`, machines show one of theirs."""

    certificate: Path
    """A PEM file with the chain."""
    key: Path
    """A PEM file with its private key."""
    clients: Path | None = None
    """Certificates of those who sign the clients'; null: clients show none."""


class BesideConfig(Strict):
    """What works something out in a process beside the engine's."""

    factory: Reference
    """What makes it, `module:callable`."""
    options: Annotated[dict[str, Any], AfterValidator(secrets.sealed)] = Field(default_factory=dict)
    """Given to the factory, by their names."""
    keys: tuple[str, ...] = ()
    """Of the whole tree, those that it is handed besides its options: the run's own platform."""


class PredictionsConfig(BesideConfig):
    """What works out seasons, days and plans; see `engine.api.predictions.Predictions`."""


class WhatIfConfig(BesideConfig):
    """What tries the hours to come out; see `engine.api.what_if.WhatIf`."""


class CacheConfig(Strict):
    """Where predictions that were worked out are kept besides in the process."""

    url: SecretStr
    """A Redis, such as redis://127.0.0.1:6379/0, rediss://… or unix://…."""


class ApiConfig(Strict):
    """Everything of the API."""

    address: str = "127.0.0.1"
    """The address it listens at."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8700
    """0: any that is free."""
    tls: TlsConfig | None = None
    limits: ApiLimits = ApiLimits()
    predictions: PredictionsConfig | None = None
    what_if: WhatIfConfig | None = None
    cache: CacheConfig | None = None
    """null: in the process alone."""

    @field_validator("address")
    @classmethod
    def _an_address(cls, given: str) -> str:
        try:
            ipaddress.ip_address(given)
        except ValueError:
            raise ValueError(
                f'"{given}" is not allowed (an IP address, such as 127.0.0.1 or ::1)'
            ) from None
        return given
