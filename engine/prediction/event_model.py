"""How events of a sort become load: phases, people, requests; a file that people can read and edit.

`python -m engine learn` makes one of past bookings and loads; a scenario's assumptions are one as
well.  An adapter of the bookings takes it to turn a row that says little (a time and a number of
guests) into an event with phases and roles, and events into an outlook.

The file is JSON with a closed schema, so opening it runs nothing, and what is wrong in it is named.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from engine.config.complaints import close
from engine.config.strict import ConfigError, Strict, validated
from engine.model import FloatArray, Response
from engine.record.files import write_atomically

FORMAT, VERSION = "wedtwin-events", 1
HOURS = 24
MOST_BYTES = 16 * 1024 * 1024

Name = Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
Rate = Annotated[float, Field(ge=0.0, le=1e6)]


@dataclass(frozen=True, slots=True, eq=False)
class EventModel:
    """Events of one sort: `offsets_s` (phases + 1) from the time they are booked for.

    `usual` (roles,) is how many people of each role come where a booking does not say.
    """

    noun: str
    phases: tuple[str, ...]
    offsets_s: tuple[float, ...]
    roles: tuple[str, ...]
    usual: tuple[float, ...]
    response: Response

    @property
    def length_s(self) -> float:
        """From the time an event is booked for to its end."""
        return self.offsets_s[-1]


class _Phase(Strict):
    name: Name
    starts_s: Annotated[float, Field(ge=-1_209_600.0, le=1_209_600.0)]


class _ModelFile(Strict):
    """The file."""

    format: str = FORMAT
    version: int = VERSION
    noun: Annotated[str, Field(min_length=1, max_length=40)]
    phases: Annotated[tuple[_Phase, ...], Field(min_length=1, max_length=50)]
    ends_s: Annotated[float, Field(gt=0.0, le=1_209_600.0)]
    usual: Annotated[dict[Name, Annotated[float, Field(ge=0.0, le=1e6)]], Field(min_length=1)]
    rates: dict[Name, dict[Name, dict[Name, Rate]]]
    """By service, role and phase: requests/s of one person; what is left out is 0."""
    background: dict[Name, Annotated[tuple[Rate, ...], Field(min_length=HOURS, max_length=HOURS)]]
    """By service: requests/s without any event in each hour of the day, UTC."""
    lateness_mean_s: Annotated[float, Field(ge=-86_400.0, le=86_400.0)] = 0.0
    lateness_sd_s: Annotated[float, Field(ge=0.0, le=86_400.0)] = 600.0
    turnout: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0
    unbooked_share: Annotated[float, Field(ge=0.0, lt=0.9)] = 0.0
    sigma: Annotated[float, Field(gt=0.0, le=3.0)]
    learned: dict[str, float | str] = Field(default_factory=dict)
    """What was found out when it was made."""

    @model_validator(mode="after")
    def _fits(self) -> _ModelFile:
        if self.format != FORMAT:
            raise ValueError(f'format: "{self.format}" is not allowed ({FORMAT})')
        if self.version != VERSION:
            raise ValueError(f"version: {self.version} is not allowed ({VERSION}); learn anew")
        names = [phase.name for phase in self.phases]
        edges = [*(phase.starts_s for phase in self.phases), self.ends_s]
        if len(set(names)) < len(names):
            raise ValueError("phases: a name comes twice")
        if any(b <= a for a, b in itertools.pairwise(edges)):
            raise ValueError("phases: each has to begin after the one before, and before ends_s")
        for service, roles in self.rates.items():
            for role, phases in roles.items():
                if role not in self.usual:
                    raise ValueError(
                        f'rates.{service}: "{role}" is not allowed ({", ".join(self.usual)})'
                        f"{close(role, list(self.usual))}"
                    )
                for phase in phases:
                    if phase not in names:
                        raise ValueError(
                            f'rates.{service}.{role}: "{phase}" is not allowed '
                            f"({', '.join(names)}){close(phase, names)}"
                        )
        return self


def read(path: Path, services: Sequence[str]) -> EventModel:
    """The model in the file, of these services; raises ConfigError naming what is wrong."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: is larger than {MOST_BYTES:,} bytes, no model of events")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); python -m engine learn makes one"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is no model of events ({error})") from None
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{path}: is no model of events (a JSON object is needed)")
    try:
        return of_document(raw, services)
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError("\n".join(f"{path}: {line}" for line in lines)) from None


def of_document(raw: Mapping[str, Any], services: Sequence[str]) -> EventModel:
    """The model that a document describes; raises ConfigError."""
    file = validated(_ModelFile, raw)
    named = {*file.rates, *file.background}
    if not named & set(services):
        raise ConfigError(
            f"rates: speaks of {', '.join(sorted(named)) or 'no service'}, "
            f"the platform has {', '.join(services)}"
        )
    roles = tuple(file.usual)
    phases = tuple(phase.name for phase in file.phases)
    rates = np.zeros((len(roles), len(phases), len(services)))
    background = np.zeros((HOURS, len(services)))
    for k, service in enumerate(services):
        for role, by_phase in file.rates.get(service, {}).items():
            for phase, rate in by_phase.items():
                rates[roles.index(role), phases.index(phase), k] = rate
        if service in file.background:
            background[:, k] = file.background[service]
    return EventModel(
        noun=file.noun,
        phases=phases,
        offsets_s=(*(phase.starts_s for phase in file.phases), file.ends_s),
        roles=roles,
        usual=tuple(file.usual.values()),
        response=Response(
            services=tuple(services),
            rates=rates,
            background=background,
            lateness_mean_s=file.lateness_mean_s,
            lateness_sd_s=file.lateness_sd_s,
            turnout=file.turnout,
            unbooked_share=file.unbooked_share,
            sigma=file.sigma,
        ),
    )


def document(model: EventModel, learned: Mapping[str, float | str] | None = None) -> dict[str, Any]:
    """What `write` writes."""
    response = model.response
    own = [k for k in range(len(response.services)) if _has_load(response, k)]
    raw = {
        "format": FORMAT,
        "version": VERSION,
        "noun": model.noun,
        "phases": [
            {"name": name, "starts_s": starts_s}
            for name, starts_s in zip(model.phases, model.offsets_s, strict=False)
        ],
        "ends_s": model.length_s,
        "usual": dict(zip(model.roles, model.usual, strict=True)),
        "rates": {response.services[k]: _table(model, response.rates[:, :, k]) for k in own},
        "background": {response.services[k]: response.background[:, k].tolist() for k in own},
        "lateness_mean_s": response.lateness_mean_s,
        "lateness_sd_s": response.lateness_sd_s,
        "turnout": response.turnout,
        "unbooked_share": response.unbooked_share,
        "sigma": response.sigma,
        "learned": dict(learned or {}),
    }
    return validated(_ModelFile, raw).model_dump(mode="json")


def write(model: EventModel, path: Path, learned: Mapping[str, float | str] | None = None) -> None:
    """Write the file, whole or not at all; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document(model, learned), indent=1, allow_nan=False) + "\n")


def _has_load(response: Response, k: int) -> bool:
    return bool(response.rates[:, :, k].any() or response.background[:, k].any())


def _table(model: EventModel, rates: FloatArray) -> dict[str, dict[str, float]]:
    return {
        role: {
            phase: rate
            for phase, rate in zip(model.phases, rates[i].tolist(), strict=True)
            if rate > 0.0 and math.isfinite(rate)
        }
        for i, role in enumerate(model.roles)
        if rates[i].any()
    }
