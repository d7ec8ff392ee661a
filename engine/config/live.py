"""The border of `python -m engine run`: its configuration, parsed once into validated types.

The tree may hold more than the engine knows: a scenario brings what its weddings are drawn from.
`scenario_keys` lists such keys, and `bookings.keys` those among them that whoever knows the
bookings is handed; he validates them, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from engine.config import secrets
from engine.config.api import ApiConfig
from engine.config.complaints import close
from engine.config.load import Reference, build
from engine.config.platform import PlatformConfig
from engine.config.run import Approver, BudgetConfig, ScenarioConfig, Seed
from engine.config.security import SecurityConfig
from engine.config.standing import StandingFloor, StandingPause, StandingRequests
from engine.config.strict import ConfigError, Strict, validated
from engine.controllers.registry import ControllerConfig
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.settings import MonitorSettings
from engine.record.schema.thresholds import ThresholdConfig
from engine.runtime.settings import LiveSettings
from engine.settings import EngineSettings

if TYPE_CHECKING:
    from engine.ports.notices import NoticeSender


class AdapterConfig(Strict):
    """What runs the instances; see `engine.ports.infrastructure.connect`."""

    factory: Reference
    """What makes it, `module:callable`."""
    given: Annotated[dict[str, Any], AfterValidator(secrets.sealed)] = Field(
        default_factory=dict, alias="options"
    )
    """The options as given, secrets sealed."""

    @property
    def options(self) -> dict[str, Any]:
        """The options in plain, for the adapter alone."""
        return dict(secrets.revealed(self.given))


class BookingsConfig(AdapterConfig):
    """What knows the calendar; `keys` of the tree are handed to it besides its options."""

    keys: tuple[str, ...] = ()
    """The seed, and those of `scenario_keys` that it is handed."""


class MetricsConfig(Strict):
    """What measures; the adapter knows the other keys."""

    model_config = ConfigDict(extra="allow")

    factory: Reference
    """What makes it, `module:callable`."""

    @model_validator(mode="before")
    @classmethod
    def _sealed(cls, given: object) -> object:
        return secrets.sealed(given) if isinstance(given, Mapping) else given

    @property
    def options(self) -> dict[str, Any]:
        """All keys but `factory`, in plain, for the adapter alone."""
        return dict(secrets.revealed(self.model_extra or {}))


class AlertsConfig(AlertSettings):
    """Who is told of what, and how to reach them."""

    receivers: dict[Annotated[str, Field(min_length=1)], AdapterConfig] = Field(
        default_factory=dict
    )
    """By name: `factory` is called with `options` and makes a sender of notices."""

    def check(self, at: str = "alerts") -> None:
        """Raise ValueError, naming the key under `at`, for a receiver that nobody can reach."""
        for k, level in enumerate(self.levels):
            for name in level.receivers:
                if name not in self.receivers:
                    raise ValueError(
                        f'{at}.levels.{k}.receivers: "{name}" is not allowed '
                        f"({', '.join(self.receivers) or f'{at}.receivers is empty'})"
                        f"{close(name, list(self.receivers))}"
                    )

    def senders(self, key: str = "alerts") -> dict[str, NoticeSender]:
        """Each receiver's; raises ConfigError naming the key under `key`."""
        made: dict[str, NoticeSender] = {}
        for name, config in self.receivers.items():
            at = f"{key}.receivers.{name}"
            try:
                made[name] = build(
                    config.factory,
                    key=f"{at}.factory",
                    options=config.options,
                    options_key=f"{at}.options",
                    methods=("send", "close"),
                )
            except ConfigError:
                raise
            except Exception as error:  # a sender of somebody's own may raise anything
                raise ConfigError(f"{at}.options: {error}") from error
        return made


class AuditConfig(Strict):
    """The log of what people and the engine do."""

    key: Path | None = None
    """A PEM file with the Ed25519 key that signs it; null: one that is made beside the log."""
    copies: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Files that each checkpoint is added to as well, best on another machine, or "syslog"."""


class ClusterLeaseConfig(Strict):
    """The Lease that says who leads, with `lease: kubernetes`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")] = "wedtwin-lead"
    """Of the Lease."""
    namespace: str | None = None
    """Null: that of the pod, or of the kubeconfig's context."""
    kubeconfig: Path | None = None
    """Null: in a pod its own account, and elsewhere what $KUBECONFIG or ~/.kube/config says."""
    context: str | None = None
    """Of the kubeconfig; null: its current one."""

    def options(self) -> dict[str, str]:
        """What says how the cluster is reached."""
        given = {name: getattr(self, name) for name in ("namespace", "kubeconfig", "context")}
        return {name: str(value) for name, value in given.items() if value is not None}


class LiveRunSettings(LiveSettings):
    """How the shell runs, and the limits of its run."""

    thresholds: dict[str, ThresholdConfig] = Field(default_factory=dict)
    record_every_s: Annotated[float, Field(ge=5.0, le=1e9)] | None = 86_400.0
    """A record is closed after so long and the next begun; null: one for all of the run."""
    floors: tuple[StandingFloor, ...] = ()
    """Counts below which services do not go, always or as scheduled."""
    pauses: tuple[StandingPause, ...] = ()
    """What is left as it is, always or as scheduled."""
    audit: AuditConfig = AuditConfig()
    store: SecretStr | None = None
    """`postgresql://…` that several engines share; null: a file in the state folder."""
    lease: Literal["one", "shards", "kubernetes"] = "one"
    """Whether one engine leads, by the folder or database, or by a Lease of a cluster; or each of
    several has shards of the platform."""
    cluster_lease: ClusterLeaseConfig = ClusterLeaseConfig()
    """That Lease."""

    @property
    def shell(self) -> LiveSettings:
        """The shell's part."""
        own = set(type(self).model_fields) - set(LiveSettings.model_fields)
        return LiveSettings(**self.model_dump(exclude=own))

    @property
    def standing(self) -> StandingRequests:
        """What stands besides the requests of people."""
        return StandingRequests(floors=self.floors, pauses=self.pauses)


class LiveConfig(Strict):
    """Everything that a live run is made of."""

    seed: Seed
    """Only the twin's own parts draw from it."""
    output: str = Field(min_length=1)
    """Folder below which records are written."""
    reporter: Reference | None = None
    """What makes a report of the record, `module:callable`; null: nothing."""
    scenario: ScenarioConfig
    scenario_keys: tuple[str, ...] = ()
    """Further keys of the tree that a scenario may bring; the engine reads none of them."""
    platform: PlatformConfig
    engine: EngineSettings
    monitor: MonitorSettings = MonitorSettings()
    alerts: AlertsConfig
    controller: ControllerConfig
    infrastructure: AdapterConfig
    metrics: MetricsConfig
    bookings: BookingsConfig
    live: LiveRunSettings
    api: ApiConfig = ApiConfig()
    security: SecurityConfig = SecurityConfig()
    notifiers: tuple[AdapterConfig, ...] = ()
    """Who is told of troubles and emergency access, beside the log."""
    approval: Approver = "automatic"
    """Who answers what needs approval: at once, nobody, or somebody after so many seconds."""
    budget: BudgetConfig = Field(default_factory=BudgetConfig)

    @model_validator(mode="after")
    def _fits(self) -> LiveConfig:
        for needed in ("foresight", "history"):
            if getattr(self.controller, needed):
                raise ValueError(
                    f'controller: "{self.controller.name}" needs {needed}, which only the twin has'
                )
        if self.live.lease == "shards":
            if self.live.store is None:
                raise ValueError(
                    'live.lease: "shards" needs a database that all share (live.store)'
                )
            for key, ceiling in self.budget.model_dump().items():
                if ceiling is not None:
                    raise ValueError(
                        f'budget.{key}: is not allowed with live.lease "shards": it is a ceiling '
                        "over all services, and no engine sees what the others spend"
                    )
        self.live.standing.check(list(self.platform.services), "live")
        self.engine.check(list(self.platform.services))
        self.monitor.check(list(self.platform.services))
        self.alerts.check()
        return self


def parse(raw: Mapping[str, Any]) -> LiveConfig:
    """The validated configuration; raises ConfigError with one line for each wrong key."""
    own = LiveConfig.model_fields
    brought = [str(key) for key in raw.get("scenario_keys") or ()]
    allowed = [*own, *brought]
    unknown = [key for key in raw if key not in allowed]
    if unknown:
        hints = (close(key, allowed) or f" (allowed: {', '.join(allowed)})" for key in unknown)
        raise ConfigError(
            "\n".join(f"{key}: unknown key{h}" for key, h in zip(unknown, hints, strict=True))
        )
    infrastructure = raw.get("infrastructure")
    if isinstance(infrastructure, Mapping) and "factory" not in infrastructure:
        raise ConfigError(
            "infrastructure.factory: is missing; the simulated one is the twin's alone, "
            "give one that is there, such as infrastructure=haproxy"
        )
    return validated(LiveConfig, {key: value for key, value in raw.items() if key in own})


def handed(config: LiveConfig, raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the bookings are handed: their options, and the keys of the tree that they name.

    Raises ConfigError for a key that is not there.
    """
    keys: dict[str, Any] = {}
    for key in config.bookings.keys:
        if key in config.bookings.options:
            raise ConfigError(f"bookings.keys: {key} is among bookings.options already")
        if key != "seed" and key not in config.scenario_keys:
            there = ["seed", *config.scenario_keys]
            raise ConfigError(
                f"bookings.keys: {key} is not allowed ({', '.join(there)}){close(key, there)}"
            )
        if key in raw:
            keys[key] = raw[key]
    return {**config.bookings.options, **keys}
