"""The engine's memory between steps: plain data that survives a JSON round trip.

Everything that a decision may depend on besides the observation is here and nowhere else, so an
engine that is killed and restored from its last snapshot makes the same next plan.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any

from engine.model import Action, Category, Reason, Rollback, WeddingContext

VERSION = 2
NEVER = -math.inf


@dataclass(slots=True)
class ResponseMemory:
    """How this service's load compares with the booked outlook (logs of ratios).

    `level` is the slow ratio with variance `variance`, `surge` the fast departure from it,
    `horizon_variance` the squared error seen at each of the forecaster's horizons, and `issued`
    the medians that wait to be judged, as (due_s, log rate) for each horizon.
    """

    level: float = 0.0
    variance: float = math.nan
    surge: float = 0.0
    updated_s: float = NEVER
    horizon_variance: list[float] = field(default_factory=list)
    issued: list[list[tuple[float, float]]] = field(default_factory=list)
    issued_s: float = NEVER
    slowdown: float = 1.0


@dataclass(slots=True)
class Watch:
    """A completed step whose effect is still being judged."""

    decision_id: str
    from_instances: int
    to_instances: int
    decided_s: float
    error_rate: float
    request_rate: float
    healthy: bool


@dataclass(slots=True)
class Sent:
    """The last command sent for a service.

    `rest_s` is when the step before it in the same direction was made, for the case that this one
    turns out not to have happened; `undoes` the watch that a rollback put an end to; `highest` the
    most that was asked for since the last answer.
    """

    decision_id: str
    from_instances: int
    to_instances: int
    highest: int
    sent_s: float
    rest_s: float
    accepted: bool = False
    undoes: Watch | None = None


@dataclass(slots=True)
class ServiceMemory:
    """What is remembered of one service."""

    last_out_s: float = NEVER
    last_in_s: float = NEVER
    hold_out_until_s: float = NEVER
    hold_in_until_s: float = NEVER
    calm_from_s: float = NEVER
    last_seen_s: float = NEVER
    targets: list[tuple[float, int]] = field(default_factory=list)
    response: ResponseMemory = field(default_factory=ResponseMemory)
    desired: int = -1
    """What was desired when last looked at; -1: never looked at."""
    sent: Sent | None = None
    watch: Watch | None = None
    pending: Action | None = None
    pending_until_s: float = NEVER


_TIMES = (
    "last_out_s",
    "last_in_s",
    "hold_out_until_s",
    "hold_in_until_s",
    "calm_from_s",
    "last_seen_s",
    "pending_until_s",
)


@dataclass(slots=True)
class AutoscalerState:
    """All of the engine's memory."""

    last_step_s: float = NEVER
    next_cycle_s: float = NEVER
    decisions: int = 0
    services: dict[str, ServiceMemory] = field(default_factory=dict)

    def turn_back(self, by_s: float) -> None:
        """Move every time that is remembered back, as the clock was set back by `by_s`.

        What has to rest for another minute then rests for another minute, not for an hour.
        """
        self.last_step_s -= by_s
        self.next_cycle_s -= by_s
        for memory in self.services.values():
            for name in _TIMES:
                setattr(memory, name, getattr(memory, name) - by_s)
            memory.targets = [(time_s - by_s, target) for time_s, target in memory.targets]
            memory.response.updated_s -= by_s
            memory.response.issued_s -= by_s
            memory.response.issued = [
                [(due_s - by_s, rate) for due_s, rate in line] for line in memory.response.issued
            ]
            if memory.sent is not None:
                memory.sent.sent_s -= by_s
                memory.sent.rest_s -= by_s
            for watch in (memory.watch, memory.sent.undoes if memory.sent else None):
                if watch is not None:
                    watch.decided_s -= by_s

    def wake_up(self, now_s: float) -> None:
        """Take nothing away for a while: what was done since `last_step_s` is not remembered.

        A count that has changed and changed back cannot be told from one that has not.
        """
        for memory in self.services.values():
            if self.last_step_s > NEVER:
                memory.last_in_s = now_s

    def to_json(self) -> str:
        """The state as JSON text (non-finite numbers as Python's json writes them)."""
        document = {"version": VERSION, "state": dataclasses.asdict(self)}
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> AutoscalerState:
        """Read what `to_json` wrote; raises ValueError for anything else."""
        try:
            document = json.loads(text)
            if document["version"] != VERSION:
                raise ValueError(f"engine state: version {document['version']} is not {VERSION}")
            raw = document["state"]
            services = {name: _service(item) for name, item in raw["services"].items()}
            return cls(
                last_step_s=float(raw["last_step_s"]),
                next_cycle_s=float(raw["next_cycle_s"]),
                decisions=int(raw["decisions"]),
                services=services,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"engine state: not a snapshot of this engine ({error!r})") from error


def _service(raw: dict[str, Any]) -> ServiceMemory:
    response = dict(raw["response"])
    response["issued"] = [
        [(float(due), float(value)) for due, value in line] for line in response["issued"]
    ]
    fields = dict(raw)
    fields["response"] = ResponseMemory(**response)
    fields["targets"] = [(float(time_s), int(target)) for time_s, target in raw["targets"]]
    fields["watch"] = _watch(raw["watch"])
    if raw["sent"] is not None:
        fields["sent"] = Sent(**(raw["sent"] | {"undoes": _watch(raw["sent"]["undoes"])}))
    fields["pending"] = _action(raw["pending"]) if raw["pending"] is not None else None
    return ServiceMemory(**fields)


def _watch(raw: dict[str, Any] | None) -> Watch | None:
    return None if raw is None else Watch(**raw)


def _action(raw: dict[str, Any]) -> Action:
    fields = dict(raw)
    fields["reason"] = Reason(raw["reason"])
    fields["category"] = Category(raw["category"])
    fields["rollback"] = Rollback(**raw["rollback"])
    fields["weddings"] = WeddingContext(**raw["weddings"])
    return Action(**fields)
