"""`python -m engine import`: what a cluster and its metrics say, as files that a run takes.

    kubernetes   workloads, autoscalers, requests, zones and node prices → platform, infrastructure,
                 and the team's own autoscalers as a controller
    prometheus   load, service times, boots, calls and instances of the last weeks → the figures of
                 that platform, and the load as a scenario

The last lines on stdout are the files.  Exit codes: 0 done, 2 bad input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.adapters.kubernetes.access import AccessError, access_of
from engine.adapters.kubernetes.survey import survey
from engine.commands.failing import failed
from engine.config import assignments, secrets
from engine.config.composition import composed
from engine.config.strict import ConfigError, validated
from engine.importing import cluster, files, prices
from engine.importing.figures import ImportedPlatform
from engine.importing.settings import ImportConfig

SOURCES = ("kubernetes", "prometheus")


def run(arguments: Sequence[str]) -> int:
    """Import what the first argument says; returns the exit code."""
    secrets.learn_arguments(arguments)
    source, *rest = arguments or [""]
    try:
        if source not in SOURCES:
            raise ConfigError(f'"{source}" is not allowed ({", ".join(SOURCES)})')
        given = assignments.read(rest, config_dirs=True)
        raw = composed(given.overrides, given.config_dirs, root="import")
        raw.pop("hydra", None)
        config = validated(ImportConfig, raw)
        line = secrets.command_line(["python", "-m", "engine", "import"], arguments)
        if source == "kubernetes":
            made = _of_cluster(config, line)
        else:
            from engine.commands import importing_history

            made = importing_history.run(config, line)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ConfigError, OSError) as error:
        return failed(error)
    for path in made:
        print(path)
    return 0


def _of_cluster(config: ImportConfig, line: str) -> list[Path]:
    table = prices.table(config.prices)
    adapter = config.cluster.adapter()
    try:
        access = access_of(adapter)
    except AccessError as error:
        raise ConfigError(f"cluster.kubeconfig: {error}") from None
    seen = asyncio.run(survey(access, config.cluster.timeout_s))
    wanted = cluster.chosen(seen, config.workloads)
    zones, zones_comment = cluster.zones_of(seen)
    name = config.name or access.namespace
    platform = ImportedPlatform(
        name=name,
        source=f"namespace {access.namespace} of {access.url}",
        zones=zones,
        zones_comment=zones_comment,
        services=cluster.services_of(seen, wanted, table, str(config.prices)),
        cluster={
            "kubeconfig": None if config.cluster.kubeconfig is None
            else str(config.cluster.kubeconfig.expanduser().absolute()),
            "context": config.cluster.context,
            "namespace": access.namespace,
        },
    )  # fmt: skip
    platform = files.with_given(platform, config.services)
    files.checked(platform)
    made = {
        **files.platform_files(config.out, platform, line),
        config.out / "infrastructure" / f"{name}.yaml": files.infrastructure_text(platform),
    }
    files.written(made, overwrite=config.overwrite)
    tell(platform)
    return list(made)


def tell(platform: ImportedPlatform) -> None:
    """Say how much of it is measured, and what is assumed."""
    for name, one in platform.services.items():
        assumed = [key for key, figure in one.figures.items() if figure.assumed]
        rest = f"; assumed: {', '.join(assumed)}" if assumed else ""
        print(f"{name} ({one.workload}): {len(one.figures)} figures{rest}", file=sys.stderr)
        for note in one.not_played:
            print(f"{name}: {note}", file=sys.stderr)
