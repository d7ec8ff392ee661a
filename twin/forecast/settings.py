"""The configuration of forecasts: composed by Hydra, parsed once into validated types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from engine.config import composition
from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError, Strict, validated
from engine.settings import EngineSettings
from scenarios.seasons.config import SeasonsConfig, check_country
from scenarios.weddings.config import DemandConfig, PopulationConfig

if TYPE_CHECKING:
    from scenarios.seasons.years import Seasons


class ForecastConfig(Strict):
    """Everything that the seasons and the forecasts of them are made of."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    output: str = Field(min_length=1)
    population: PopulationConfig
    demand: DemandConfig
    platform: PlatformConfig
    engine: EngineSettings
    seasons: SeasonsConfig

    @property
    def drawn(self) -> SeasonsConfig:
        """The seasons that are drawn: of no more weddings than the platform has."""
        fewer = min(self.seasons.drawn, self.population.simultaneous)
        return self.seasons.model_copy(update={"drawn": fewer})

    @property
    def multiple(self) -> float:
        """How many weddings of the platform each one that is drawn stands for."""
        return self.population.simultaneous / self.drawn.drawn

    @property
    def size(self) -> str:
        """The platform's size, in words."""
        drawn = self.drawn.drawn
        learned = f", learned from {drawn:,} drawn" if drawn < self.population.simultaneous else ""
        return f"platform of {self.population.simultaneous:,} weddings at once{learned}"


def parse(raw: Mapping[str, Any]) -> ForecastConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    return validated(ForecastConfig, raw)


def composed(
    overrides: Sequence[str], config_dirs: Sequence[str] = (), own: Sequence[str] = ()
) -> ForecastConfig:
    """The configuration that `conf/forecasting.yaml` and `overrides` ("key=value") make.

    `config_dirs` are searched for further groups, `own` are keys that the command takes besides.
    Raises ConfigError.
    """
    return parse(composition.composed(overrides, config_dirs, root="forecasting", own=own))


def seasons_of(config: ForecastConfig) -> Seasons:
    """The seasons of `config`, as they are drawn; the same seed gives the same ones."""
    from scenarios.seasons.years import generate
    from scenarios.streams import Streams

    check_country(config.seasons)
    try:
        return generate(config.drawn, config.population, config.demand, Streams(config.seed))
    except ValueError as error:
        raise ConfigError(str(error)) from error


@lru_cache(maxsize=2)
def history(seed: int = 1, *overrides: str) -> Seasons:
    """The seasons of the configuration as it is shipped, changed by `overrides`."""
    return seasons_of(composed([f"seed={seed}", *overrides]))
