"""Who makes the reports: the twin ends at the record; `conf/reporters.yaml` names who goes on."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import yaml

from engine.config.load import load

NAMED = "reporters.yaml"


def reporter(kind: str) -> Callable[..., None]:
    """The callable that makes the reports in a folder of this kind; raises ConfigError."""
    references = yaml.safe_load(resources.files("conf").joinpath(NAMED).read_text("utf-8"))
    return load(references[kind], f"{NAMED}: {kind}")
