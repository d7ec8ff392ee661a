"""The knobs of alerts: whom to tell, when to tell the next, when to leave people in peace."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from engine.config.strict import Strict
from engine.settings import Seconds

MINUTES = 24 * 60


class EscalationLevel(Strict):
    """Who is told so long after the level before, if nobody has acknowledged."""

    receivers: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    """Names of `alerts.receivers`."""
    after_s: Seconds = 0.0
    """Seconds after the level before."""


class QuietHours(Strict):
    """Times of the day, "HH:MM", between which warnings wait.

    They go over midnight where the end is before the beginning.
    """

    begin: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """From this time of the day on ..."""
    end: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    """... until this one."""
    time_zone: str = "UTC"
    """Whose time of the day it is, an IANA name."""

    @field_validator("time_zone")
    @classmethod
    def _there(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'"{name}" is not a time zone, such as Europe/Rome') from None
        return name

    def at(self, now_s: float) -> bool:
        """Whether they hold at `now_s` (epoch seconds)."""
        now = dt.datetime.fromtimestamp(now_s, ZoneInfo(self.time_zone))
        minute, begin, end = 60 * now.hour + now.minute, _minute(self.begin), _minute(self.end)
        if begin <= end:
            return begin <= minute < end
        return minute >= begin or minute < end


class WeddingDayMode(Strict):
    """What differs while major events are in progress: no quiet hours, and less patience."""

    major_events: Annotated[float, Field(ge=1.0)] = 1.0
    """So many of them at least."""
    faster: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Delays of escalation and reminders are this share of the usual."""
    warnings_page: bool = True
    """Warnings count as critical."""


class AlertSettings(Strict):
    """All of them."""

    levels: Annotated[tuple[EscalationLevel, ...], Field(min_length=1)] = (
        EscalationLevel(receivers=("on-call",)),
        EscalationLevel(receivers=("second",), after_s=600.0),
        EscalationLevel(receivers=("lead",), after_s=1200.0),
    )
    group_wait_s: Seconds = 30.0
    """Warnings wait so long for others of the same cause; what is critical does not."""
    repeat_s: Annotated[float, Field(ge=60.0, le=604_800.0)] = 3600.0
    """Whoever was told last is reminded after so long, if nobody acknowledged."""
    acknowledged_s: Annotated[float, Field(ge=60.0, le=604_800.0)] = 7200.0
    """An acknowledgement lapses after so long: acknowledged is not forgotten."""
    resolve_after_s: Seconds = 60.0
    """An incident is over when nothing of it was there for so long."""
    quiet: QuietHours | None = None
    wedding_day: WeddingDayMode = WeddingDayMode()

    @model_validator(mode="after")
    def _ordered(self) -> AlertSettings:
        if self.levels[0].after_s != 0.0:
            raise ValueError("levels.0.after_s: the first level is told at once (0)")
        return self


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)
