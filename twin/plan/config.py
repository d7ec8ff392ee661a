"""The configuration of a plan: that of a run, and what is only asked when planning."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from engine.config.strict import Strict
from scenarios.seasons.config import SeasonsConfig
from scenarios.weddings.config import Ranged
from twin.config import RunConfig, parse_as

if TYPE_CHECKING:
    from engine.planning.purchase import Offer

HISTORY_YEARS = 3
FIRST_DAY, LAST_DAY = dt.date(1975, 1, 1), dt.date(2088, 1, 1)


class PricingConfig(Strict):
    """What can be bought; see `conf/pricing`."""

    name: str = Field(min_length=1, max_length=100)
    discount: Ranged
    discount_by_service: dict[str, Ranged] = Field(default_factory=dict)
    term_hours: Annotated[float, Field(gt=0.0, le=30_000.0)] = 8760.0
    sizes: Annotated[
        tuple[Annotated[float, Field(ge=0.1, le=64.0)], ...], Field(min_length=1, max_length=12)
    ] = (1.0,)
    overhead: Ranged
    zone_usd_per_hour: Ranged

    @model_validator(mode="after")
    def _sensible(self) -> PricingConfig:
        if 1.0 not in self.sizes:
            raise ValueError("pricing.sizes: 1, the size of today, has to be among them")
        if len(set(self.sizes)) != len(self.sizes):
            raise ValueError("pricing.sizes: each one once")
        for key, ranged in (
            ("discount", self.discount),
            *((f"discount_by_service.{k}", v) for k, v in self.discount_by_service.items()),
        ):
            if ranged.rate >= 1.0:
                raise ValueError(
                    f"pricing.{key}.rate: {ranged.rate:g} is not allowed (0 … below 1)"
                )
        if self.overhead.rate >= 0.5:
            raise ValueError(
                f"pricing.overhead.rate: {self.overhead.rate:g} is not allowed (0 … below 0.5)"
            )
        return self

    def offer(self, service: str, price_per_hour: float) -> Offer:
        """What an instance of `service` with this on-demand price costs."""
        from engine.planning.purchase import Offer

        discount = self.discount_by_service.get(service, self.discount)
        low, high = discount.range
        return Offer(
            on_demand_per_hour=price_per_hour,
            reserved_per_hour=price_per_hour * (1.0 - discount.rate),
            term_hours=self.term_hours,
            reserved_low=price_per_hour * (1.0 - high),
            reserved_high=price_per_hour * (1.0 - low),
        )


class PlanningConfig(Strict):
    """What is asked of a plan; see `conf/plan.yaml`."""

    date: Annotated[dt.date, Field(ge=FIRST_DAY, le=LAST_DAY)]
    months: Annotated[int, Field(ge=1, le=12)]
    risk: Annotated[float, Field(ge=0.001, le=0.5)]
    check: bool = True
    margin: Annotated[float, Field(ge=0.01, le=0.5)] = 0.05
    paths: Annotated[int, Field(ge=50, le=5000)] = 400
    drawn: Annotated[int, Field(ge=100, le=20_000)] = 2000
    growth_sd: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05

    @model_validator(mode="after")
    def _paths_resolve_the_risk(self) -> PlanningConfig:
        if self.risk * self.paths < 1.0:
            raise ValueError(
                f"plan.paths: {self.paths} is too few for plan.risk {self.risk:g} "
                f"(at least {int(1.0 / self.risk + 0.999)})"
            )
        return self


class PlanConfig(RunConfig):
    """Everything that a plan is made of."""

    plan: PlanningConfig
    pricing: PricingConfig
    seasons: SeasonsConfig

    @model_validator(mode="after")
    def _services_are_priced(self) -> PlanConfig:
        for name in self.pricing.discount_by_service:
            if name not in self.platform.services:
                raise ValueError(
                    f'pricing.discount_by_service: "{name}" is not allowed '
                    f"({', '.join(self.platform.services)})"
                )
        return self

    @model_validator(mode="after")
    def _weddings_to_plan_for(self) -> PlanConfig:
        if self.trace is not None:
            raise ValueError(
                f'scenario: "{self.scenario.name}" replays a trace; a plan needs one with weddings'
            )
        return self


def parse(raw: Mapping[str, Any]) -> PlanConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    return parse_as(PlanConfig, raw)


def run_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What of it is a run's."""
    return {key: value for key, value in raw.items() if key not in ("plan", "pricing", "seasons")}
