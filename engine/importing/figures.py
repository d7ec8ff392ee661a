"""A figure with its source: what is imported is either read somewhere, or said to be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

Value = float | int | bool | str

BY_HAND, SAID = "changed by hand", "said on the command line"
"""Sources of what the user knows better than any import."""

FIGURES = (
    "slots", "service_s", "service_scv", "boot.median_s", "boot.p95_s", "price_per_hour",
    "slo_p95_s", "min_instances", "max_instances", "stateful", "user_facing",
)  # fmt: skip
"""Those of a service in a platform file, in its order; its calls come after them."""


@dataclass(frozen=True, slots=True)
class SourcedFigure:
    """A value, where it was read, and whether it is only assumed."""

    value: Value
    source: str
    assumed: bool = False

    def comment(self) -> str:
        """What stands beside it in a file."""
        return f"ASSUMPTION: {self.source}" if self.assumed else self.source


@dataclass(frozen=True, slots=True)
class ImportedService:
    """One workload as a service.

    `figures` are those of the platform file, by dotted key.  `cores` is the processor time that an
    instance takes when all its slots are busy, `request` what it asks the scheduler for.
    `autoscaler` are the options of `engine.controllers.own_hpas` for it, with their sources as
    `autoscaler_source`, and `aim_cores` the processor time of a pod that it aims at; `not_played`
    is what of it the twin cannot play.
    """

    workload: str
    namespace: str
    replicas: int
    request: float
    cores: float
    figures: Mapping[str, SourcedFigure]
    autoscaler: Mapping[str, Any] | None = None
    autoscaler_source: str = ""
    aim_cores: float | None = None
    not_played: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Such as deployment."""
        return self.workload.split("/")[0]

    @property
    def object_name(self) -> str:
        """The workload's name in the cluster."""
        return self.workload.split("/")[1]

    def number(self, key: str) -> float:
        """A figure that is a number."""
        return float(self.figures[key].value)

    def with_figures(self, more: Mapping[str, SourcedFigure]) -> ImportedService:
        """The same with these figures in the place of others."""
        return replace(self, figures={**self.figures, **more})


@dataclass(frozen=True, slots=True)
class ImportedPlatform:
    """All that an import says of a platform; `source` is the cluster, for people."""

    name: str
    source: str
    zones: tuple[str, ...]
    zones_comment: str
    services: Mapping[str, ImportedService]
    cluster: Mapping[str, Any] = field(default_factory=dict)
    """The options of `infrastructure=kubernetes` that reach it."""
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As data for a file."""
        return asdict(self)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ImportedPlatform:
        """What `plain` made; raises KeyError, TypeError or ValueError for anything else."""
        services = {}
        for name, one in raw["services"].items():
            figures = {key: SourcedFigure(**figure) for key, figure in one["figures"].items()}
            services[name] = ImportedService(
                **{**one, "figures": figures, "not_played": tuple(one["not_played"])}
            )
        given = {"services": services, "zones": tuple(raw["zones"]), "notes": tuple(raw["notes"])}
        return cls(**{**raw, **given})
