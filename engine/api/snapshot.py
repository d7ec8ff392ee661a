"""What is read: one frozen value a step, and the texts that were made of it.

An answer is encoded once for all who ask for it, and has the hash of its bytes for an ETag.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.api.samples import SampleView
from engine.model import (
    Budget,
    Forecast,
    ManualFloor,
    ManualScale,
    Outlook,
    Pause,
    ServiceSpec,
)
from engine.security.roles import PlatformState

TEXTS = 128
"""Different answers of one step that are kept; more are made anew."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """An encoded answer with its strong validator (RFC 9110)."""

    content: bytes
    etag: str


def encoded(document: Mapping[str, Any]) -> EncodedText:
    """The text of `document`; raises ValueError for what JSON has no word for."""
    return text_of(
        json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    )


def text_of(content: bytes) -> EncodedText:
    """What was encoded already, with its validator."""
    return EncodedText(content, f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"')


@dataclass(frozen=True, slots=True, eq=False)
class ServiceLook:
    """One service in a step: counts, samples so far, forecasts, floor and state."""

    spec: ServiceSpec
    desired: int
    ready: int
    booting: int
    draining: int
    samples: SampleView
    forecasts: tuple[Forecast, ...]
    wedding_floor: int
    state: PlatformState


@dataclass(frozen=True, slots=True)
class WeddingsLook:
    """What is booked: how many are in progress now and at the next peak; NaN where not known."""

    noun: str
    now: float
    major_now: float
    peak: float
    peak_at_s: float
    major_ahead: bool
    """Whether a major one is booked within the time that protection looks ahead."""
    known_until_s: float


@dataclass(frozen=True, slots=True, eq=False)
class StepLook:
    """What a step saw and decided; `time_s` (epoch seconds) is when it was due."""

    number: int
    time_s: float
    services: Mapping[str, ServiceLook]
    weddings: WeddingsLook
    floors: tuple[ManualFloor, ...]
    pauses: tuple[Pause, ...]
    scales: tuple[ManualScale, ...]
    budget: Budget
    forecast_s: float
    """When the forecasts were made; NaN before any."""
    outlook: Outlook
    texts: dict[object, EncodedText] = field(default_factory=dict)
    """Answers made of it, by what was asked."""

    def text(self, key: object, make: Callable[[], Mapping[str, Any]]) -> EncodedText:
        """The answer to `key`, made once."""
        text = self.texts.get(key)
        if text is None:
            text = encoded(make())
            if len(self.texts) < TEXTS:
                self.texts[key] = text
        return text


@dataclass(frozen=True, slots=True)
class Shown:
    """What the engine showed of itself last; `shown_s` in wall time."""

    status: Mapping[str, Any]
    shown_s: float
