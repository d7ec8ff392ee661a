"""The rules that are priced, and how a configuration is changed to be without one.

They are data (`conf/price/rules.yaml`): what a rule says, the settings that take it out or loosen
it, and the threat, which is the fault that it is there for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from engine.config.complaints import close
from engine.config.packaged import packaged_mapping
from engine.config.strict import ConfigError, Strict, validated

Value = int | float | str


class ThreatConfig(Strict):
    """A fault, or another day: `settings` are dotted keys of the whole configuration."""

    says: Annotated[str, Field(min_length=1, max_length=200)]
    faults: dict[str, dict[str, Any]] = Field(default_factory=dict)
    settings: dict[str, Value] = Field(default_factory=dict)
    population: dict[str, Value] = Field(default_factory=dict)
    """The hours of it; without weight where a trace takes the population's place."""


class PricedRuleConfig(Strict):
    """One rule, and what the configuration is without it."""

    says: Annotated[str, Field(min_length=1, max_length=200)]
    engine: dict[str, Value] = Field(default_factory=dict)
    each_service: dict[str, Value] = Field(default_factory=dict)
    threat: ThreatConfig

    @model_validator(mode="after")
    def _changes_something(self) -> PricedRuleConfig:
        if not self.engine and not self.each_service:
            raise ValueError("engine: says nothing; name the settings that take the rule out")
        return self


class PricedRulesConfig(Strict):
    """All of them, in the order in which the waterfall puts them on."""

    rules: Annotated[dict[str, PricedRuleConfig], Field(min_length=1)]


def read(path: Path | None = None) -> dict[str, PricedRuleConfig]:
    """The rules of the file `path`, or the packaged ones; raises ConfigError."""
    return validated(PricedRulesConfig, packaged_mapping("price/rules.yaml", path)).rules


def chosen(
    wanted: Sequence[str], there: Mapping[str, PricedRuleConfig]
) -> dict[str, PricedRuleConfig]:
    """Those asked for in the order of the file, all without any; raises ConfigError."""
    for name in wanted:
        if name not in there:
            raise ConfigError(
                f'rules: "{name}" is not allowed ({", ".join(there)}){close(name, list(there))}'
            )
    return {name: rule for name, rule in there.items() if not wanted or name in wanted}


def without(settings: Mapping[str, Any], rules: Iterable[PricedRuleConfig]) -> dict[str, Any]:
    """A copy of a composed configuration in which none of `rules` holds."""
    changed: dict[str, Any] = copy.deepcopy(dict(settings))
    for rule in rules:
        for key, value in rule.engine.items():
            _put(changed["engine"], key, value)
        for service in changed["platform"]["services"].values():
            service.update(rule.each_service)
    return changed


def threatened(settings: Mapping[str, Any], threat: ThreatConfig) -> dict[str, Any]:
    """A copy of a composed configuration in which the threat comes true."""
    changed: dict[str, Any] = copy.deepcopy(dict(settings))
    changed["faults"] = {**(changed.get("faults") or {}), **copy.deepcopy(threat.faults)}
    for key, value in threat.settings.items():
        _put(changed, key, value)
    if changed.get("trace") is None:
        changed["population"].update(threat.population)
    changed["thresholds"] = {}  # they are for the scenario's whole day
    return changed


def _put(inner: dict[str, Any], key: str, value: Value) -> None:
    *sections, last = key.split(".")
    for section in sections:
        inner = inner.setdefault(section, {})
    inner[last] = value
