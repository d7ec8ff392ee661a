"""Where the shell's thread leaves what it sees, and the API's thread picks it up.

It stands between the shell and the recording: whatever is noted goes on to the recording first, as
the audit log has to have a decision before it is carried out.  What it keeps besides is bounded.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from engine.adapters.store.recent import Recent
from engine.api.booked import weddings_of
from engine.api.decisions import DecisionBook
from engine.api.events import PLATFORM, EventKind, EventRing
from engine.api.figures import sample
from engine.api.manual import ManualBook
from engine.api.past import Past, PastStep
from engine.api.samples import Samples
from engine.api.snapshot import ServiceLook, Shown, StepLook, WeddingsLook
from engine.config.api import ApiLimits
from engine.model import (
    SAMPLE_FIELDS,
    Action,
    ActionResult,
    Category,
    FloatArray,
    Forecast,
    Observation,
    Outlook,
    Plan,
    ServiceSpec,
)
from engine.ports.metrics import Reading
from engine.record.decisions import ACTION, WARM, rows_of
from engine.runtime.shell import Notes
from engine.security.roles import PlatformState
from engine.settings import EngineSettings

_EVENTS = {"trouble_": EventKind.TROUBLE, "finding_": EventKind.FINDING}
"""What an event is in the stream, by how its kind begins; others are alerts."""
PEAK_AHEAD_S = 86_400.0
"""The next peak is looked for within so long."""


class Board:
    """Notes of the shell for whoever looks through the API.

    `notes` are told everything too.  `wall_s` says the time that snapshots age by.
    """

    def __init__(
        self,
        notes: Notes,
        specs: Sequence[ServiceSpec],
        settings: EngineSettings,
        limits: ApiLimits,
        *,
        events: EventRing,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self.settings = settings
        self.events = events
        self.decisions = DecisionBook(limits.decisions)
        self.manual = ManualBook(limits.decisions)
        self.look: StepLook | None = None
        """The newest step's; None before there was one."""
        self.shown: Shown | None = None
        self._notes = notes
        self._wall_s = wall_s
        kept = math.ceil(limits.range_s / settings.sample_s)
        self._samples = {name: Samples(kept) for name in self.specs}
        self.past = Past(tuple(self.specs), limits.range_s)
        self._forecasts: dict[str, tuple[Forecast, ...]] = {}
        self._forecast_s = math.nan
        self._floors: Mapping[str, int] = {}
        self._urgent_s: dict[str, float] = {}
        """When each service had its last emergency."""
        self._awaiting: Mapping[str, Mapping[str, Any]] = {}
        self._number = 0
        self._results = Recent()

    def begin_after(self, samples: Mapping[str, FloatArray], steps: Sequence[PastStep]) -> None:
        """Show what an engine before this one saw; to be called before the first step."""
        for name, rows in samples.items():
            self._samples[name].add(rows)
        self.past.begin_after(steps)

    # --- what the shell notes, in its thread

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        reading: Reading,
    ) -> None:
        """Note a step, and show it."""
        try:
            self._notes.step(time_s, observation, plan, compute_s, reading=reading)
        finally:
            self._take_in(time_s, observation, plan, reading)

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """Note commands that the store could not take."""
        self._notes.without_store(actions, time_s)

    def result(self, result: ActionResult) -> None:
        """Note what became of an action."""
        try:
            self._notes.result(result)
        finally:
            is_new = self.first_heard(result)
            row = self.decisions.result(result)
            self.manual.result(result)
            if row is not None and is_new:
                self.events.publish(EventKind.RESULT, row["service"], row)

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Note something that is no decision."""
        try:
            self._notes.event(time_s, kind, name, what, detail=detail)
        finally:
            what_kind = EventKind.ALERT
            for beginning, other in _EVENTS.items():
                what_kind = other if kind.startswith(beginning) else what_kind
            self.events.publish(
                what_kind,
                name if name in self.specs else PLATFORM,
                {"at_s": time_s, "kind": kind, "name": name, "what": what, "detail": detail},
            )

    def status(self, status: Mapping[str, Any]) -> None:
        """Note what the engine shows of itself at the end of a step, made or not."""
        try:
            self._notes.status(status)
        finally:
            self.shown = Shown(status, self._wall_s())
            standing = set(status["awaiting"])
            self._awaiting = {k: v for k, v in self._awaiting.items() if k in standing}

    # --- what the API's thread asks

    @property
    def leads(self) -> bool:
        """Whether the engine leads, as far as it has said."""
        return self.shown is None or bool(self.shown.status.get("leads", True))

    @property
    def awaiting(self) -> Mapping[str, Mapping[str, Any]]:
        """Actions that wait for approval, by their ids; see `recall`."""
        return self._awaiting

    @property
    def asked_before(self) -> tuple[str, ...]:
        """Ids of actions that wait and were asked about by the engine before this one."""
        standing = self.shown.status["awaiting"] if self.shown is not None else ()
        return tuple([one for one in standing if one not in self._awaiting])

    def first_heard(self, result: ActionResult) -> bool:
        """Whether nobody has said this very result before.

        Of two engines of which one takes over from the other both may say it.
        """
        return self._results.add(result.decision_id, f"{result.status.value}/{result.time_s:.3f}")

    def recall(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take actions of `asked_before` in, as the store has them."""
        self._awaiting = {**{row["decision_id"]: row for row in rows}, **self._awaiting}

    def state(self, service: str) -> PlatformState:
        """How it stands with `service`, "": with the worst of all."""
        look = self.look
        if look is None:
            return PlatformState.CALM
        if service:
            return look.services[service].state
        states = {one.state for one in look.services.values()}
        worst = (PlatformState.EMERGENCY, PlatformState.WEDDING_DAY)
        return next((state for state in worst if state in states), PlatformState.CALM)

    # --- inside

    def _take_in(
        self, time_s: float, observation: Observation, plan: Plan, reading: Reading
    ) -> None:
        now_s = observation.now_s
        for name, window in reading.windows.items():
            if name in self._samples and len(window):
                self._samples[name].add(_plain(window))
        if plan.forecasts:
            self._forecast_s = now_s
            self._forecasts = {
                name: tuple([f for f in plan.forecasts if f.service == name]) for name in self.specs
            }
        if plan.cycle:
            self._floors = dict(plan.floors)
        for action in plan.actions:
            if action.category is Category.EMERGENCY:
                self._urgent_s[action.service] = now_s
        weddings = _weddings(observation.outlook, now_s, self.settings.weddings.protection_s)
        self._number += 1
        services = {
            seen.spec.name: ServiceLook(
                seen.spec, seen.desired, seen.ready, seen.booting, seen.draining,
                self._samples[seen.spec.name].view(),
                self._forecasts.get(seen.spec.name, ()),
                int(self._floors.get(seen.spec.name, 0)),
                self._state(seen.spec.name, now_s, weddings),
            )
            for seen in observation.services
        }  # fmt: skip
        self._note_decisions(time_s, observation, plan)
        look = self.look = StepLook(
            self._number, now_s, services, weddings, observation.floors, observation.pauses,
            observation.scales, observation.budget, self._forecast_s, observation.outlook,
        )  # fmt: skip
        if self.past.wants(now_s):
            self.past.add(look, weddings_of(look))
        self.manual.step(now_s, observation, plan)
        self.events.publish(
            EventKind.SAMPLES, PLATFORM, {"at_s": now_s}, {n: shown(s) for n, s in services.items()}
        )

    def _note_decisions(self, time_s: float, observation: Observation, plan: Plan) -> None:
        rows = list(map(plain_row, rows_of(time_s, observation, plan)))
        numbered = self.decisions.add(rows)
        actions: Iterable[Action] = (*plan.actions, *plan.awaiting, *plan.dry)
        scales = {action.decision_id: action.scale_id for action in actions}
        new = {}
        for row in numbered:
            if row["outcome"] == "awaiting":
                asked = {**row, "scale_id": scales.get(row["decision_id"], "")}
                if row["decision_id"] not in self._awaiting:
                    self.events.publish(EventKind.APPROVAL, row["service"], asked)
                new[row["decision_id"]] = asked
            elif row["kind"] in (ACTION, WARM):
                self.events.publish(EventKind.DECISION, row["service"], row)
        if new:
            self._awaiting = {**self._awaiting, **new}

    def _state(self, name: str, now_s: float, weddings: WeddingsLook) -> PlatformState:
        # Not of an emergency that is still to come: the clock was set back then.
        if 0.0 <= now_s - self._urgent_s.get(name, -math.inf) < self.settings.emergency.calm_s:
            return PlatformState.EMERGENCY
        return PlatformState.WEDDING_DAY if weddings.major_ahead else PlatformState.CALM


def shown(service: ServiceLook) -> dict[str, Any]:
    """A service's counts and its newest sample."""
    newest = service.samples.newest
    return {
        "desired": service.desired,
        "ready": service.ready,
        "booting": service.booting,
        "draining": service.draining,
        "wedding_floor": service.wedding_floor,
        "state": service.state.value,
        "sample": sample(newest),
    }


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the decisions' table as JSON has it."""
    plain = {key: _rounded(value) for key, value in row.items()}
    plain["evidence"] = json.loads(row["evidence"])
    plain["rollback_to"] = None if row["rollback_to"] < 0 else row["rollback_to"]
    return plain


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _plain(window: np.ndarray[Any, np.dtype[np.void]]) -> FloatArray:
    return np.array(window.tolist(), dtype=np.float64).reshape(-1, len(SAMPLE_FIELDS))


def _weddings(outlook: Outlook, now_s: float, protection_s: float) -> WeddingsLook:
    first = math.floor((now_s - outlook.start_s) / outlook.bin_s)
    bins, begin = len(outlook.events), max(first, 0)

    def bins_until(ahead_s: float) -> slice:
        last = math.ceil((now_s + ahead_s - outlook.start_s) / outlook.bin_s)
        return slice(min(begin, bins), min(max(last, 0), bins))

    inside = 0 <= first < bins
    coming = outlook.events[bins_until(PEAK_AHEAD_S)]
    at = int(np.argmax(coming)) if len(coming) else 0
    return WeddingsLook(
        noun=outlook.noun,
        now=float(outlook.events[first]) if inside else math.nan,
        major_now=float(outlook.major_events[first]) if inside else math.nan,
        peak=float(coming[at]) if len(coming) else math.nan,
        peak_at_s=(
            outlook.start_s + (max(first, 0) + at + 0.5) * outlook.bin_s
            if len(coming)
            else math.nan
        ),
        major_ahead=bool((outlook.major_events[bins_until(protection_s)] > 0.0).any()),
        known_until_s=outlook.end_s,
    )
