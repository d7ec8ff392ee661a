"""Make the controller that a run's configuration names.

The callable of `controller.factory` gets the engine's settings and the options of the YAML as
keywords, and returns anything with `step`, `snapshot` and `restore`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from engine.config.load import Reference, build
from engine.config.strict import Strict
from engine.model import Controller
from engine.runtime.errors import ControllerError
from engine.settings import EngineSettings


class ControllerConfig(Strict):
    """Which controller drives the platform."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_-]+$")
    """What records and comparisons call it."""
    factory: Reference
    """What makes it, `module:callable`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Given to the factory, by their names."""
    foresight: bool = False
    """Whether it is told what is to come.  That makes it no controller but a bound; reports say so.
    """
    history: bool = False
    """Whether it is told the loads of the same weekday in the weeks before."""


def engine(settings: EngineSettings) -> Controller:
    """WedTwin's own engine, with what was learned for it if its settings name a file of that.

    A file that cannot be used is no error: the engine goes by the schedule alone, and says so in
    `refused`.
    """
    from engine.autoscaler import Autoscaler  # a configuration is read without it

    path = settings.forecast.artefact
    if path is None:
        return Autoscaler(settings)
    # Only who asks for a learned model pays for importing what reads it.
    from engine.forecast import blend, schedule
    from engine.prediction import artefact

    learned, refused = artefact.load_or_none(Path(path), blend.KIND, blend.VERSION)
    if learned is None:
        return Autoscaler(settings, refused=refused)
    try:
        return Autoscaler(settings, blend.from_state(learned.state, schedule.HORIZONS_S))
    except ValueError as error:
        return Autoscaler(settings, refused=f"{path}: {error}")


def make(
    config: ControllerConfig,
    settings: EngineSettings,
    foresight: Callable[[], Any],
    history: Callable[[], Any],
) -> Controller:
    """The controller of `config`; raises ValueError naming the key that is wrong.

    `foresight` and `history` are asked for only if the configuration says so.
    """
    ahead: dict[str, Any] = {}
    if config.foresight:
        ahead["foresight"] = foresight()
    if config.history:
        ahead["history"] = history()
    try:
        controller: Controller = build(
            config.factory,
            settings,
            key="controller.factory",
            options={**config.options, **ahead},
            options_key="controller.options",
            methods=("step", "snapshot", "restore"),
        )
    except ValueError:
        raise
    except Exception as error:
        raise ControllerError(f"controller {config.name} raised {error!r} when made") from error
    return controller
