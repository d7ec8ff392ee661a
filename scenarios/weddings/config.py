"""What a scenario may say about weddings and their load, as validated types.

The border between YAML and the rest: whatever passes here is complete, in range and finite, so
the generators need no checks of their own.  Figures and their sources are in `conf/population`
and `conf/demand`, not here: a default that nobody can see is a figure that nobody checks.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from typing import Annotated, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from engine.config.strict import Strict
from engine.model import WeddingType

ROLES = ("couple", "guest", "vendor", "planner")
"""Who takes part in a wedding, in the order of every `participants` column."""

SHARE_TOLERANCE = 0.005
"""Published shares are rounded: how far their sum may be from 1."""

HOURS_PER_DAY = 24
MINUTES_PER_DAY = 1440

_Key = TypeVar("_Key")


def _minutes_of_day(value: object) -> object:
    """`HH:MM` as minutes since midnight.

    A bare 16:30 in YAML 1.1 is the base-60 number 990, which is the same count, so it is taken.
    """
    if isinstance(value, str):
        hours, colon, minutes = value.partition(":")
        digits = hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2
        if colon and digits and int(hours) < HOURS_PER_DAY and int(minutes) < 60:
            return int(hours) * 60 + int(minutes)
        raise ValueError(f'"{value}" is not a time of day, write it as "HH:MM" (00:00 to 23:59)')
    return value


def _as_text(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _on_half_hours(minutes: int) -> int:
    if minutes % 30:
        raise ValueError(
            f'"{_as_text(minutes)}" is not on a full or half hour, '
            'write for example "16:00" or "16:30"'
        )
    return minutes


def _adds_up_to_one(shares: tuple[float, ...]) -> tuple[float, ...]:
    total = math.fsum(shares)
    if abs(total - 1.0) > SHARE_TOLERANCE:
        raise ValueError(f"the shares add up to {total:.4f}, they must add up to 1")
    return shares


def values_add_up_to_one(shares: dict[_Key, float]) -> dict[_Key, float]:
    """The shares as they are; raises ValueError where they do not add up to 1."""
    _adds_up_to_one(tuple(shares.values()))
    return shares


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        close = difflib.get_close_matches(name, sorted(available_timezones()), n=3)
        hint = f", did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(
            f'"{name}" is not an IANA time zone (such as America/New_York){hint}'
        ) from None
    return name


TimeOfDay = Annotated[
    int,
    BeforeValidator(_minutes_of_day),
    PlainSerializer(_as_text),
    Field(ge=0, lt=MINUTES_PER_DAY, strict=True),
]
HalfHour = Annotated[TimeOfDay, AfterValidator(_on_half_hours)]
Zone = Annotated[str, AfterValidator(_known_zone)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Count(Strict):
    """A number of people: log-normal, cut to [min, max] and rounded."""

    mean: float = Field(gt=0, le=5_000, description="mean before the cut, people")
    sd: float = Field(gt=0, le=5_000, description="standard deviation before the cut, people")
    min: int = Field(ge=0, le=5_000, description="fewest people")
    max: int = Field(ge=1, le=5_000, description="most people")

    @model_validator(mode="after")
    def _bounds_hold_the_mean(self) -> Self:
        if not self.min <= self.mean <= self.max:
            raise ValueError(f"mean {self.mean:g} is outside [min, max] = [{self.min}, {self.max}]")
        return self


class TypeConfig(Strict):
    """One of the four types of wedding."""

    share: Share = Field(description="share of all weddings")
    guests: Count = Field(description="guests who accepted the invitation")
    vendors: Count = Field(description="vendors hired (caterer, photographer, band ...)")
    planners: int = Field(ge=0, le=50, description="professional planners who use the platform")
    major: bool = Field(description="gets the proactive floor two hours ahead")


class PhaseConfig(Strict):
    """One phase of the day; it lasts until the next one starts."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="name, as in the demand table")
    start_min: int = Field(
        ge=-MINUTES_PER_DAY, le=MINUTES_PER_DAY, description="start, minutes after the ceremony's"
    )


class LateStart(Strict):
    """How late the day runs: `early_at_most_min` before time plus a log-normal delay."""

    mean_min: float = Field(ge=-60, le=240, description="mean lateness, minutes")
    sd_min: float = Field(gt=0, le=240, description="standard deviation, minutes")
    early_at_most_min: float = Field(ge=0, le=60, description="earliest start before time, minutes")

    @model_validator(mode="after")
    def _mean_is_after_the_earliest(self) -> Self:
        if self.mean_min <= -self.early_at_most_min:
            raise ValueError(
                f"mean_min {self.mean_min:g} must be later than the earliest start "
                f"(-early_at_most_min = {-self.early_at_most_min:g})"
            )
        return self


class Turnout(Strict):
    """Share of the booked guests who come."""

    mean: float = Field(gt=0, le=1, description="mean share")
    sd: float = Field(ge=0, le=0.5, description="standard deviation from wedding to wedding")


class Notice(Strict):
    """How long before its first phase a cancellation is entered (log-normal)."""

    mean_h: float = Field(gt=0, le=72, description="mean notice, hours")
    sd_h: float = Field(gt=0, le=72, description="standard deviation, hours")


class ActualConfig(Strict):
    """How the day differs from what was booked."""

    late_start: LateStart = Field(description="lateness of the whole day")
    overrun_sd_min: float = Field(
        ge=0, le=120, description="standard deviation of each phase's length, minutes"
    )
    turnout: Turnout = Field(description="share of the booked guests who come")
    cancelled_share: float = Field(
        ge=0, le=0.5, description="share of weddings cancelled on the day or the day before"
    )
    notice: Notice = Field(description="how long before the start a cancellation is entered")
    unbooked_share: float = Field(
        default=0.03, ge=0, le=1, description="share of weddings that never enter the schedule"
    )


class PopulationConfig(Strict):
    """The weddings of one simulated window and of the days around it."""

    simultaneous: int = Field(
        ge=1,
        le=10_000_000,
        description="weddings in progress at the busiest instant of the realised window",
    )
    date: dt.date = Field(
        ge=dt.date(1970, 1, 2), le=dt.date(2100, 1, 1), description="day of the weddings, ISO date"
    )
    start_utc: TimeOfDay = Field(
        default=480, description='start of the simulated window on that date, "HH:MM" UTC'
    )
    duration_s: int = Field(
        default=86_400,
        ge=900,
        le=604_800,
        multiple_of=60,
        description="length of the simulated window, seconds",
    )
    month_weights: Annotated[
        tuple[Share, ...], Field(min_length=12, max_length=12), AfterValidator(_adds_up_to_one)
    ] = Field(description="share of a year's weddings in January ... December")
    weekday_weights: Annotated[
        tuple[Share, ...], Field(min_length=7, max_length=7), AfterValidator(_adds_up_to_one)
    ] = Field(description="share of a week's weddings on Monday ... Sunday")
    types: dict[WeddingType, TypeConfig] = Field(description="the four types of wedding")
    time_zones: Annotated[
        dict[Zone, Share],
        Field(min_length=1, max_length=100),
        AfterValidator(values_add_up_to_one),
    ] = Field(description="IANA zone -> share of the weddings")
    ceremony_start: Annotated[
        dict[HalfHour, Share], Field(min_length=1), AfterValidator(values_add_up_to_one)
    ] = Field(description='local "HH:MM" on half hours -> share of the ceremonies')
    phases: tuple[PhaseConfig, ...] = Field(
        min_length=1, max_length=24, description="phases of the day, in order"
    )
    end_min: int = Field(
        ge=-MINUTES_PER_DAY,
        le=2 * MINUTES_PER_DAY,
        description="end of the last phase, minutes after the ceremony's start",
    )
    actual: ActualConfig = Field(description="how the day differs from what was booked")

    @model_validator(mode="after")
    def _all_types_once(self) -> Self:
        missing = [kind.value for kind in WeddingType if kind not in self.types]
        if missing:
            raise ValueError(f"types: {', '.join(missing)} missing")
        total = math.fsum(kind.share for kind in self.types.values())
        if abs(total - 1.0) > SHARE_TOLERANCE:
            raise ValueError(f"types: the shares add up to {total:.4f}, they must add up to 1")
        return self

    @model_validator(mode="after")
    def _phases_in_order(self) -> Self:
        names = [phase.name for phase in self.phases]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"phases: {', '.join(repeated)} appears more than once")
        for before, phase in zip(self.phases, self.phases[1:], strict=False):
            if phase.start_min <= before.start_min:
                raise ValueError(
                    f"phases: {phase.name} starts at {phase.start_min} min, which is not after "
                    f"{before.name} at {before.start_min} min; list the phases in order of time"
                )
        last = self.phases[-1]
        if self.end_min <= last.start_min:
            raise ValueError(
                f"end_min: {self.end_min} is not after the start of {last.name} "
                f"({last.start_min} min)"
            )
        return self

    @property
    def start_s(self) -> float:
        """Start of the window, epoch seconds."""
        midnight = dt.datetime.combine(self.date, dt.time(), tzinfo=dt.UTC)
        return midnight.timestamp() + 60.0 * self.start_utc

    @property
    def phase_names(self) -> tuple[str, ...]:
        """Names of the phases in order."""
        return tuple(phase.name for phase in self.phases)


class Ranged(Strict):
    """An assumed figure together with the range that is still plausible."""

    rate: float = Field(ge=0, le=1_000, description="the figure that is used")
    range: tuple[float, float] = Field(description="lowest and highest plausible figure")

    @model_validator(mode="after")
    def _rate_is_in_its_range(self) -> Self:
        low, high = self.range
        if not 0 <= low <= high:
            raise ValueError(f"range [{low:g}, {high:g}] must rise and not be negative")
        if not low <= self.rate <= high:
            raise ValueError(f"rate {self.rate:g} is outside its range [{low:g}, {high:g}]")
        return self


class BackgroundConfig(Strict):
    """Load without a wedding of today: registered users who plan one of another day."""

    users: int = Field(ge=0, le=1_000_000_000, description="registered users")
    requests_per_user_day: dict[str, Ranged] = Field(
        description="service -> requests a day and user"
    )
    local_hours: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1_000)], ...], Field(min_length=24, max_length=24)
    ] = Field(description="relative activity in the local hours 0 ... 23")

    @model_validator(mode="after")
    def _some_hour_is_active(self) -> Self:
        if not sum(self.local_hours) > 0:
            raise ValueError("local_hours: at least one hour must be above 0")
        return self


class DemandConfig(Strict):
    """How many requests people at weddings make, and how sure that is."""

    rates: dict[str, dict[str, dict[str, Ranged]]] = Field(
        min_length=1,
        description="service -> role -> phase -> requests/s per participant entering there",
    )
    background: BackgroundConfig = Field(description="load that is there without any wedding")
    day_sigma: float = Field(
        ge=0, le=1, description="log-sd of a day's response of each service around the table"
    )
    noise_sigma: float = Field(
        default=0.03, ge=0, le=1, description="log-sd of the slow noise within the day"
    )
    noise_time_s: float = Field(
        default=120.0, ge=1, le=86_400, description="correlation time of the slow noise, seconds"
    )
    usual_unbooked_share: float = Field(
        default=0.03,
        ge=0,
        le=0.9,
        description="share of weddings that history says is missing from the schedule",
    )

    @model_validator(mode="after")
    def _roles_are_known_and_whole(self) -> Self:
        for service, roles in self.rates.items():
            for role in roles:
                if role not in ROLES:
                    raise ValueError(
                        f"rates.{service}: unknown role {role}, allowed: {', '.join(ROLES)}"
                    )
            missing = [role for role in ROLES if role not in roles]
            if missing:
                raise ValueError(f"rates.{service}: {', '.join(missing)} missing")
        unknown = sorted(set(self.background.requests_per_user_day) - set(self.rates))
        if unknown:
            raise ValueError(
                f"background.requests_per_user_day: {', '.join(unknown)} has no entry in rates"
            )
        return self

    @property
    def services(self) -> tuple[str, ...]:
        """Services at which users enter the platform, in the table's order."""
        return tuple(self.rates)
