"""The configuration of forecasts: composed by Hydra, parsed once into validated types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pydantic import Field, ValidationError

from engine import EngineSettings
from engine.config.complaints import lines
from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError, Strict
from scenarios.seasons.config import SeasonsConfig
from scenarios.seasons.years import Seasons, generate
from scenarios.streams import Streams
from scenarios.weddings.config import DemandConfig, PopulationConfig


class ForecastConfig(Strict):
    """Everything that the seasons and the forecasts of them are made of."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    output: str = Field(min_length=1)
    population: PopulationConfig
    demand: DemandConfig
    platform: PlatformConfig
    engine: EngineSettings
    seasons: SeasonsConfig


def parse(raw: Mapping[str, Any]) -> ForecastConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    try:
        return ForecastConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, ForecastConfig))) from None


def composed(overrides: Sequence[str], config_dir: Path | None = None) -> ForecastConfig:
    """The configuration that `conf/forecasting.yaml` and `overrides` ("key=value") make.

    `config_dir` is searched for further groups.  Raises ConfigError, or Hydra's own errors where
    an override does not parse.
    """
    path = [] if config_dir is None else [f"hydra.searchpath=[file://{config_dir.resolve()}]"]
    with initialize_config_module("conf", version_base="1.3", job_name="forecasting"):
        config = compose("forecasting", [*path, *overrides])
    raw = OmegaConf.to_container(config, resolve=True)
    assert isinstance(raw, dict)
    return parse({str(key): value for key, value in raw.items()})


def seasons_of(config: ForecastConfig) -> Seasons:
    """The seasons of `config`; the same seed gives the same ones."""
    try:
        return generate(config.seasons, config.population, config.demand, Streams(config.seed))
    except ValueError as error:
        raise ConfigError(str(error)) from error


@lru_cache(maxsize=2)
def history(seed: int = 1, *overrides: str) -> Seasons:
    """The seasons of the configuration as it is shipped, changed by `overrides`."""
    return seasons_of(composed([f"seed={seed}", *overrides]))
