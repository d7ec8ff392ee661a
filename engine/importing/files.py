"""The files of an import: each figure with its source beside it, and nothing of the user's lost.

`import/NAME.json` keeps every figure with its source for the next import.  A figure that somebody
has changed in the platform file since is theirs, and stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import SecretStr

from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError, validated
from engine.importing.figures import (
    BY_HAND,
    FIGURES,
    SAID,
    ImportedPlatform,
    ImportedService,
    SourcedFigure,
)
from engine.security.foreign_json import parsed_object
from engine.security.foreign_yaml import parsed_yaml

SCHEMA = 1


def companion(out: Path, name: str) -> Path:
    """Where all figures are kept with their sources."""
    return out / "import" / f"{name}.json"


def platform_file(out: Path, name: str) -> Path:
    """Where `platform=NAME` is found."""
    return out / "platform" / f"{name}.yaml"


def controller_name(name: str) -> str:
    """What the team's own autoscalers are called as a controller."""
    return f"{name}_hpas"


def written(files: Mapping[Path, str], *, overwrite: bool) -> None:
    """Write them all, or none where one is there and may not be replaced; raises ConfigError."""
    there = [str(path) for path in files if path.exists()]
    if there and not overwrite:
        raise ConfigError(
            f"out: {', '.join(there)} {'are' if len(there) > 1 else 'is'} there already; "
            "overwrite=true replaces what is there"
        )
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside = path.with_name(f".{path.name}.{os.getpid()}")
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        except OSError as error:
            raise ConfigError(f"out: {path} cannot be written: {error.strerror}") from None


def platform_files(out: Path, platform: ImportedPlatform, command: str) -> dict[Path, str]:
    """Platform, team's own autoscalers, and the figures with their sources."""
    name = platform.name
    raw = {"schema": SCHEMA, "kind": "import", **platform.plain()}
    return {
        platform_file(out, name): platform_text(platform, command),
        out / "controller" / f"{controller_name(name)}.yaml": controller_text(platform),
        companion(out, name): json.dumps(raw, indent=1) + "\n",
    }


def infrastructure_text(platform: ImportedPlatform) -> str:
    """How the engine reaches the workloads."""
    scaled = [name for name, one in platform.services.items() if _has_scaler(one)]
    rest = [name for name in platform.services if name not in scaled]
    mode = "floor" if scaled and not rest else "scale"
    guide = "docs/guides/kubernetes.md"
    lines = [f"# The workloads of {platform.source}, for python -m engine run: {guide}."]
    if scaled and rest:
        lines += [
            f"# {', '.join(scaled)}: with an autoscaler; {', '.join(rest)}: without.  The engine",
            "# refuses what somebody else scales: remove the autoscalers, or import those with one",
            "# alone (+workloads.NAME=deployment/NAME) and have their floor set (mode: floor).",
        ]
    elif scaled:
        lines += [
            "# Each has an autoscaler, so the engine sets its floor and leaves the rest to it."
        ]
    options: dict[str, Any] = {
        key: value for key, value in platform.cluster.items() if value is not None
    }
    options["workloads"] = {name: one.workload for name, one in platform.services.items()}
    options["mode"] = mode
    body = yaml.safe_dump({"defaults": ["kubernetes"], "options": options}, sort_keys=False)
    return "\n".join(lines) + "\n" + body


def controller_text(platform: ImportedPlatform) -> str:
    """The team's own autoscalers, for `twin compare controllers=[…]`."""
    lines = [
        f"# The autoscalers of {platform.source} as they are, for the twin.  target_cpu is in per",
        "# cent of what an instance does with all its slots busy.",
        f"name: {controller_name(platform.name)}",
        "factory: engine.controllers.own_hpas:OwnHpas",
        "options:",
        "  services:",
    ]
    for name, one in platform.services.items():
        kept = one.autoscaler or {"replicas": one.replicas}
        lines.append(f"    {_key(name)}: {_flow(kept)}  # {one.autoscaler_source}")
        lines += [f"    #   NOT PLAYED: {note}" for note in one.not_played]
    return "\n".join(lines) + "\n"


def platform_text(platform: ImportedPlatform, command: str) -> str:
    """The platform file, a comment beside each figure."""
    lines = [
        f"# {platform.source}, as imported by",
        f"#   {command}",
        "# Beside each figure: where it is from.  What is an ASSUMPTION is yours to look at; what",
        "# you change here stays at the next import.",
        *(f"# {note}" for note in platform.notes),
        f"name: {_key(platform.name)}",
        f"zones: {_flow(list(platform.zones))}  # {platform.zones_comment}",
        "services:",
    ]
    for name, one in platform.services.items():
        lines.append(f"  {_key(name)}:  # {one.kind} {one.namespace}/{one.object_name}")
        group = ""
        for key in _keys(one):
            *above, last = key.split(".")
            inside = ".".join(above)
            for depth, part in enumerate(above):
                if ".".join(above[: depth + 1]) not in (group, *_parents(group)):
                    lines.append(f"{'  ' * (depth + 2)}{_key(part)}:")
            group = inside
            figure = one.figures[key]
            said = f"{'  ' * (len(above) + 2)}{_key(last)}: {_flow(figure.value)}"
            lines.append(f"{said:<38}  # {figure.comment()}")
    return "\n".join(lines) + "\n"


def earlier(out: Path, name: str) -> ImportedPlatform:
    """What was imported before, with what was changed by hand since; raises ConfigError."""
    path = companion(out, name)
    try:
        raw = parsed_object(path.read_bytes())
        if raw.pop("schema") != SCHEMA or raw.pop("kind") != "import":
            raise ValueError(f"it is no import of schema {SCHEMA}")
        platform = ImportedPlatform.of(raw)
    except OSError:
        raise ConfigError(
            f"name: {path} is not there; first: python -m engine import kubernetes "
            f"out={out} name={name}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"name: {path} cannot be read: {error}") from None
    return _with_changes(platform, platform_file(out, name))


def checked(platform: ImportedPlatform) -> PlatformConfig:
    """The platform as a run takes it; raises ConfigError naming the figure that it does not."""
    raw = yaml.safe_load(platform_text(platform, ""))
    return validated(PlatformConfig, raw, "platform")


def with_given(
    platform: ImportedPlatform, given: Mapping[str, Mapping[str, Any]]
) -> ImportedPlatform:
    """With the figures that the user says on the command line; raises ConfigError."""
    services = dict(platform.services)
    for name, figures in given.items():
        if name not in services:
            raise ConfigError(f'services: "{name}" is not allowed ({", ".join(services)})')
        known_keys = [
            *FIGURES,
            *(key for key in services[name].figures if key.startswith("calls.")),
        ]
        more = {}
        for key, value in _leaves(figures):
            if key not in known_keys and not key.startswith("calls."):
                raise ConfigError(
                    f'services.{name}: "{key}" is not allowed ({", ".join(known_keys)})'
                )
            more[key] = SourcedFigure(value, SAID)
        services[name] = services[name].with_figures(more)
    return replace(platform, services=services)


def _with_changes(platform: ImportedPlatform, path: Path) -> ImportedPlatform:
    try:
        raw = parsed_yaml(path.read_bytes())
        now = {str(name): dict(_leaves(one)) for name, one in raw["services"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"name: {path} cannot be read: {error}") from None
    services = dict(platform.services)
    for name, one in platform.services.items():
        changed = {
            key: SourcedFigure(value, BY_HAND)
            for key, value in now.get(name, {}).items()
            if key in one.figures and one.figures[key].value != value
        }
        services[name] = one.with_figures(changed)
    return replace(platform, services=services)


def _keys(one: ImportedService) -> Sequence[str]:
    return [
        *(k for k in FIGURES if k in one.figures),
        *(k for k in one.figures if k not in FIGURES),
    ]


def _parents(group: str) -> list[str]:
    parts = group.split(".")
    return [".".join(parts[:k]) for k in range(1, len(parts))]


def _leaves(tree: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping):
            leaves += _leaves(value, f"{path}.")
        else:
            leaves.append((path, value))
    return leaves


def _has_scaler(one: ImportedService) -> bool:
    return not one.figures["min_instances"].assumed


def _flow(value: object) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("\n...")
    )


def _key(name: str) -> str:
    return _flow(name)


def shown(url: SecretStr) -> str:
    """An address without what is secret in it."""
    parts = urlsplit(url.get_secret_value())
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
