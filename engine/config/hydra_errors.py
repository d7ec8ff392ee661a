"""Hydra's own complaints, said as this tool says all others: which key, what is allowed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from engine.config.complaints import close
from engine.config.tree import groups, packaged_choices

OPEN = (
    "thresholds", "faults", "trace.mix", "live.thresholds", "pricing.discount_by_service",
    "metrics.parameters", "metrics.headers", "metrics.names",
)  # fmt: skip
"""Mappings that take new keys, which Hydra wants to be said with a plus sign."""

EXTRAS = {"hydra/sweeper/optuna": "tune"}
"""Choices that Hydra knows only when an extra of this project is installed."""

CAUGHT = (HydraException, OmegaConfBaseException)


def explain(error: Exception, arguments: Sequence[str], root: str = "twin") -> str:
    """One clear message for an error of Hydra or OmegaConf."""
    text = str(error).strip()
    if isinstance(error, OverrideParseException):
        return f'"{error.override}" cannot be read; write it as key=value'
    missing = re.search(r"Could not find '([\w-]+)/([^']+)'", text) or re.search(
        r"Cannot find primary config '()([^']+)'", text
    )
    if missing and missing.group(1):
        group, _, name = f"{missing.group(1)}/{missing.group(2)}".rpartition("/")
        if extra := EXTRAS.get(f"{group}/{name}"):
            return f"{group}: \"{name}\" is not installed: pip install 'wedtwin[{extra}]'"
        allowed = choices(group, arguments)
        return f'{group}: "{name}" is not allowed ({", ".join(allowed)}){close(name, allowed)}'
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        key = unknown.group(1)
        if key in OPEN:
            return f"{key}: to add an entry to it, write +{key}.NAME=…"
        if key.rpartition(".")[0] in OPEN:
            return f"{key}: is not there yet; to add it, write +{key}=…"
        return f"{key}: unknown key{close(key, known_keys(root))}"
    unknown_group = re.search(r"In '[^']*': Could not find '([^']+)'", text)
    if unknown_group:
        return f'"{unknown_group.group(1)}" is not there; groups: {", ".join(groups())}'
    return text.splitlines()[0] if text else type(error).__name__


def choices(group: str, arguments: Sequence[str]) -> list[str]:
    """Names that a group offers, those of a `--config-dir` too."""
    names = set(packaged_choices(group))
    if group.startswith("hydra/"):
        Plugins.instance()  # each plugin stores its configuration when it is found
        with contextlib.suppress(OSError):  # there is no such group
            stored = ConfigStore.instance().list(group)
            names.update(name.removesuffix(".yaml") for name in stored if name.endswith(".yaml"))
    for folder in _config_dirs(arguments):
        names.update(path.stem for path in (folder / group).glob("*.yaml"))
    return sorted(names)


def known_keys(root: str = "twin") -> list[str]:
    """All dotted keys of the default configuration of a root (`conf/ROOT.yaml`)."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig

    keys: list[str] = []

    def walk(node: DictConfig, prefix: str) -> None:
        for key in node:
            path = f"{prefix}{key!s}"
            keys.append(path)
            child = node._get_node(key)
            if isinstance(child, DictConfig):
                walk(child, f"{path}.")

    GlobalHydra.instance().clear()
    with initialize_config_module("conf", version_base="1.3"):
        walk(compose(root), "")
    return keys


def _config_dirs(arguments: Sequence[str]) -> list[Path]:
    folders = []
    for i, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd") and i + 1 < len(arguments):
            folders.append(Path(arguments[i + 1]))
        elif argument.startswith("--config-dir="):
            folders.append(Path(argument.partition("=")[2]))
    return folders
