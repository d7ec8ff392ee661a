"""What a scenario may say about the years: growth, holidays, bookings, weather, drift.

The figures, their sources and plausible ranges are in `conf/seasons`.
"""

from __future__ import annotations

import math
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from engine.config.complaints import close
from engine.config.strict import ConfigError, Strict
from engine.model import WeddingType
from scenarios.weddings.config import SHARE_TOLERANCE, Share

Factor = Annotated[float, Field(ge=0.0, le=20.0)]


class LongWeekend(Strict):
    """Weddings on the days of a weekend before a Monday off, over those of an ordinary one."""

    friday: Factor
    saturday: Factor
    sunday: Factor


class HolidayConfig(Strict):
    """How holidays move weddings."""

    country: str = Field(min_length=1)
    """Checked by `check_country`."""
    long_weekend: LongWeekend
    beside_long_weekend: Factor = Field(description="on the weekends before and after one")
    family_day: Factor = Field(description="on days that belong to the family")
    new_years_eve: Factor
    family_days: tuple[str, ...] = Field(description="names as in the holidays library")


class BookingConfig(Strict):
    """When weddings are entered, and how many are withdrawn again."""

    median_days: dict[WeddingType, Annotated[float, Field(gt=0.0, le=1500.0)]]
    sigma: float = Field(gt=0.0, le=3.0, description="log-standard deviation of the lead time")
    cancelled_share: float = Field(ge=0.0, le=0.5, description="withdrawn within the lead time")

    @model_validator(mode="after")
    def _all_types(self) -> Self:
        missing = [kind.value for kind in WeddingType if kind not in self.median_days]
        if missing:
            raise ValueError(f"median_days: {', '.join(missing)} missing")
        return self


class WeatherConfig(Strict):
    """Bad weather: how often, how lasting, how well foreseen, and what it does."""

    threshold: float = Field(ge=-3.0, le=4.0)
    persistence: float = Field(ge=0.0, lt=1.0)
    shared: float = Field(ge=0.0, le=1.0)
    skill_per_day: float = Field(ge=0.0, le=1.0)
    late_min: float = Field(ge=0.0, le=60.0)
    stay_away: Share
    cancelled: Share
    sign: dict[str, Annotated[float, Field(ge=-1.0, le=1.0)]]

    @property
    def severity_mean(self) -> float:
        """Mean of max(0, x - threshold) for a standard normal x."""
        return float(expected_severity(self.threshold, np.zeros(1), np.ones(1))[0])

    @property
    def severity_sd(self) -> float:
        """Standard deviation of max(0, x - threshold) for a standard normal x."""
        density, above = self._density_and_above()
        second = (1.0 + self.threshold**2) * above - self.threshold * density
        return math.sqrt(max(second - self.severity_mean**2, 0.0))

    def _density_and_above(self) -> tuple[float, float]:
        density = math.exp(-0.5 * self.threshold**2) / math.sqrt(2.0 * math.pi)
        return density, 0.5 * math.erfc(self.threshold / math.sqrt(2.0))


def expected_severity(
    threshold: float, mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean of max(0, x - threshold) for normal x of these means and positive deviations."""
    from scipy.special import ndtr  # only here: a configuration is read without it

    z = (mean - threshold) / sd
    density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    result: NDArray[np.float64] = (mean - threshold) * ndtr(z) + sd * density
    return result


class SplitConfig(Strict):
    """Shares of the variance of a day's response, by cause."""

    weekday: Share
    season: Share
    weather: Share
    persistent: Share
    fresh: Share

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = math.fsum(self.model_dump().values())
        if abs(total - 1.0) > SHARE_TOLERANCE:
            raise ValueError(f"the shares add up to {total:.4f}, they must add up to 1")
        return self


class SeasonsConfig(Strict):
    """Some years of weddings; the last one is the target of the forecasts."""

    first_year: int = Field(ge=1971, le=2090)
    years: int = Field(ge=1, le=10, description="the last one is the target")
    drawn: int = Field(
        ge=1,
        le=100_000,
        description="weddings in progress at the busiest instant of those that are drawn; a "
        "platform of more (population.simultaneous) is a multiple of them",
    )
    growth_per_year: float = Field(ge=-0.9, le=3.0)
    growth_sd: float = Field(ge=0.0, le=1.0)
    date_sd: float = Field(ge=0.0, le=1.0)
    holidays: HolidayConfig
    booking: BookingConfig
    weather: WeatherConfig
    drift_per_year: dict[str, Annotated[float, Field(ge=-1.0, le=1.0)]]
    split: SplitConfig
    persistent_days: float = Field(gt=0.0, le=1000.0)
    common: Share
    weekday_shape: Annotated[
        tuple[Annotated[float, Field(ge=-10.0, le=10.0)], ...], Field(min_length=7, max_length=7)
    ]
    season_peak_day: int = Field(ge=1, le=366)
    wedding_sigma: float = Field(ge=0.0, le=2.0)


def check_country(config: SeasonsConfig) -> None:
    """Raise ConfigError for a country whose holidays nobody knows.

    Not a part of validation: whatever else is wrong is said without the library of all holidays.
    """
    import holidays
    from holidays.registry import EntityLoader

    code = config.holidays.country
    # To list what each country supports, all of them would be imported.
    if code not in EntityLoader.get_country_codes():
        supported = holidays.list_supported_countries()
        raise ConfigError(
            f'seasons.holidays.country: "{code}" is not allowed (an ISO 3166 country code that the '
            f"holidays library knows, such as US){close(code, list(supported))}"
        )
