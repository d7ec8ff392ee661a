"""A scenario as Hydra composes it, for whoever needs no Hydra application around it.

`python -m twin run -m` is such an application; a load test is not, yet has to read the same tree in
the same way, or it would make another day than the twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from engine.config import hydra_errors
from engine.config.strict import ConfigError


def composed(
    overrides: Sequence[str],
    config_dirs: Sequence[str] = (),
    root: str = "twin",
    own: Sequence[str] = (),
) -> dict[str, Any]:
    """The configuration tree with `overrides` (`key=value`), as plain data.

    `config_dirs` are folders of the user's own, searched besides the packaged tree; `root` is the
    file that the tree begins at; `own` are keys that the command takes besides, to be named where a
    key is near one of them.  Raises ConfigError.
    """
    for folder in config_dirs:
        if not Path(folder).is_dir():
            raise ConfigError(f"--config-dir: {folder} is no folder")
    wanted = list(overrides)
    if config_dirs:
        paths = ",".join(f"file://{Path(folder).resolve()}" for folder in config_dirs)
        wanted.append(f"hydra.searchpath=[{paths}]")
    arguments = [*overrides, *(f"--config-dir={folder}" for folder in config_dirs)]
    hydra_errors.check(overrides)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("conf", version_base="1.3"):
            raw = OmegaConf.to_container(compose(root, wanted), resolve=True)
    except hydra_errors.CAUGHT as error:
        raise ConfigError(hydra_errors.explain(error, arguments, root, own)) from error
    assert isinstance(raw, dict)
    return {str(key): value for key, value in raw.items()}


def needs_hydra(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for what only a Hydra application can do.

    That are its options (`--multirun`, `--cfg`), what is set of Hydra itself, and the user's own
    folders, whose files may do so.  All else needs the tree alone, and composing that once: the
    application composes it twice, which is most of the time that a wrong word waits for its answer.
    """
    return any(word.startswith("-") or word.lstrip("+~").startswith("hydra") for word in arguments)
