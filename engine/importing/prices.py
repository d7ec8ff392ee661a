"""What an instance costs: its share of the node that it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.config.strict import ConfigError
from engine.importing.figures import SourcedFigure
from engine.importing.quantities import quantity
from engine.security.foreign_yaml import ForeignYamlError, parsed_yaml

TYPE = "node.kubernetes.io/instance-type"
ANNOTATION = "wedtwin/price-per-hour"
PER_CORE = 0.048
"""ASSUMPTION: half of 0.096 USD/h, which conf/platform/wedsync.yaml has for two cores."""
HIGHEST = 1e6


def table(path: Path | None) -> dict[str, float]:
    """USD/h by instance type, of a file that the user gives; raises ConfigError."""
    if path is None:
        return {}
    try:
        raw = parsed_yaml(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"prices: {path} cannot be read: {error.strerror}") from None
    except ForeignYamlError as error:
        raise ConfigError(f"prices: {path} is {error}") from None
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(f"prices: {path} holds no prices (a line each: m5.large: 0.096)")
    for name, price in raw.items():
        if (
            isinstance(price, bool)
            or not isinstance(price, int | float)
            or not 0 <= price < HIGHEST
        ):
            raise ConfigError(f"prices: {path}: {name}: {price} is no price in USD/h")
    return {str(name): float(price) for name, price in raw.items()}


def price(
    cores: float,
    memory: float,
    nodes: Sequence[Mapping[str, Any]],
    prices: Mapping[str, float],
    *,
    where: str,
) -> SourcedFigure:
    """Of a pod that asks for so much and stands on `nodes`, each once for each of its pods.

    `where` is the table's file, for people.
    """
    shares: list[float] = []
    sources: set[str] = set()
    unknown: set[str] = set()
    for node in nodes:
        meta = node.get("metadata") or {}
        kind = str((meta.get("labels") or {}).get(TYPE, ""))
        noted = (meta.get("annotations") or {}).get(ANNOTATION)
        if noted is not None:
            whole, source = _noted(noted, str(meta.get("name"))), f"annotation {ANNOTATION}"
        elif kind in prices:
            whole, source = prices[kind], f"{kind} in {where}"
        else:
            unknown.add(kind or "nodes without an instance type")
            continue
        room = (node.get("status") or {}).get("allocatable") or {}
        have = quantity(room.get("cpu", 0)), quantity(room.get("memory", 0))
        parts = [w / h for w, h in zip((cores, memory), have, strict=True) if h > 0.0]
        shares.append(whole * min(max(parts, default=1.0), 1.0))
        sources.add(source)
    if not shares:
        missing = f"; there is no price of {', '.join(sorted(unknown))}" if unknown else ""
        return SourcedFigure(
            round(PER_CORE * max(cores, 0.01), 6),
            f"{PER_CORE} USD/h for each core that it requests{missing} (plausible: 0.02 … 0.1)",
            assumed=True,
        )
    part = f"; not of {', '.join(sorted(unknown))}" if unknown else ""
    return SourcedFigure(
        round(sum(shares) / len(shares), 6),
        f"USD/h, its share of the node (the larger of cpu and memory): {', '.join(sorted(sources))}"
        f"{part}",
    )


def _noted(given: object, node: str) -> float:
    try:
        value = float(str(given))
    except ValueError:
        value = -1.0
    if not 0.0 <= value < HIGHEST:
        raise ConfigError(f"node {node}: {ANNOTATION}: {given} is no price in USD/h")
    return value
