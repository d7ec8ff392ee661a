"""Manual actions on their way: what was asked for, and how far the engine is with it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from engine.model import ActionResult, ManualScale, Observation, Plan, Status


class ManualStatus(StrEnum):
    """How far a manual action is (closed)."""

    REQUESTED = "requested"
    """It is in the store; the engine takes it at its next step."""
    AWAITING_APPROVAL = "awaiting_approval"
    HELD_BACK = "held_back"
    """The engine has it, and a limit stands against it for now; `detail` says which."""
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    REPLACED = "replaced"
    """Another one was asked for the same service since."""
    EXPIRED = "expired"


OVER = frozenset({ManualStatus.ROLLED_BACK, ManualStatus.REPLACED, ManualStatus.EXPIRED})


@dataclass(frozen=True, slots=True)
class ManualAction:
    """One of them."""

    scale: ManualScale
    asked_s: float
    estimated_s: float
    """When it should be done (epoch seconds)."""
    status: ManualStatus = ManualStatus.REQUESTED
    detail: str = ""
    decisions: tuple[str, ...] = ()
    """Ids of the engine's steps towards it."""
    changed_s: float = 0.0
    rollback_id: str = ""
    """The manual action that took it back."""

    def shown(self) -> dict[str, Any]:
        """As an answer shows it."""
        return {
            "id": self.scale.id,
            "status": self.status.value,
            "detail": self.detail,
            "service": self.scale.service,
            "from_instances": self.scale.before,
            "to_instances": self.scale.instances,
            "requested_by": self.scale.requested_by,
            "why": self.scale.why,
            "override": self.scale.override,
            "asked_s": round(self.asked_s, 3),
            "expires_s": round(self.scale.expires_s, 3),
            "estimated_completion_s": round(self.estimated_s, 3),
            "changed_s": round(self.changed_s or self.asked_s, 3),
            "decisions": list(self.decisions),
            "rollback_plan": {
                "service": self.scale.service,
                "instances": self.scale.before,
                "request": f"POST /api/scalability/actions/{self.scale.id}/rollback",
            },
            "rolled_back_by": self.rollback_id,
        }


class ManualBook:
    """The newest ones; asked for in the API's thread, followed in the shell's."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._actions: OrderedDict[str, ManualAction] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, action: ManualAction) -> None:
        """One more, or the same again."""
        with self._lock:
            self._actions.setdefault(action.scale.id, action)
            while len(self._actions) > self._most:
                self._actions.popitem(last=False)

    def get(self, scale_id: str) -> ManualAction | None:
        """The one with this id."""
        with self._lock:
            return self._actions.get(scale_id)

    def rolled_back(self, scale_id: str, by: str) -> None:
        """It was taken back by the manual action `by`."""
        with self._lock:
            action = self._actions[scale_id]
            self._actions[scale_id] = replace(
                action, status=ManualStatus.ROLLED_BACK, rollback_id=by
            )

    def step(self, now_s: float, observation: Observation, plan: Plan) -> None:
        """What a step made of them."""
        with self._lock:
            standing = {scale.id: scale for scale in observation.scales}
            for scale in standing.values():
                if scale.id not in self._actions:  # asked for otherwise, or before a restart
                    self._actions[scale.id] = ManualAction(scale, now_s, now_s)
            taken = {step.scale_id: (step.decision_id,) for step in plan.actions if step.scale_id}
            awaiting = {step.scale_id for step in plan.awaiting}
            declined = {
                one.recommendation.scale_id: one.why
                for one in plan.declined
                if one.recommendation.scale_id
            }
            for scale_id, action in list(self._actions.items()):
                if action.status in OVER:
                    continue
                if self._is_replaced(action, observation):
                    status, detail = ManualStatus.REPLACED, ""
                else:
                    status, detail = _status(
                        action, now_s, observation, declined, is_taken=scale_id in taken,
                        is_awaiting=scale_id in awaiting,
                    )  # fmt: skip
                new = taken.get(scale_id, ())
                if status is not action.status or detail != action.detail or new:
                    self._actions[scale_id] = replace(
                        action, status=status, detail=detail, changed_s=now_s,
                        decisions=(*action.decisions, *new)[-100:],
                    )  # fmt: skip

    def _is_replaced(self, action: ManualAction, observation: Observation) -> bool:
        """Whether one stands that was asked for the same service later."""
        scale = action.scale
        return any(
            one.service == scale.service
            and one.id != scale.id
            and self._actions[one.id].asked_s > action.asked_s
            for one in observation.scales
        )

    def result(self, result: ActionResult) -> None:
        """What became of one of its steps."""
        if result.status is not Status.FAILED:
            return
        with self._lock:
            for scale_id, action in self._actions.items():
                if result.decision_id in action.decisions and action.status not in OVER:
                    self._actions[scale_id] = replace(
                        action, status=ManualStatus.FAILED, detail=result.detail,
                        changed_s=result.time_s,
                    )  # fmt: skip


def _status(
    action: ManualAction,
    now_s: float,
    observation: Observation,
    declined: Mapping[str, str],
    *,
    is_taken: bool,
    is_awaiting: bool,
) -> tuple[ManualStatus, str]:
    scale = action.scale
    if now_s >= scale.expires_s:
        return (
            (action.status, action.detail)
            if action.status is ManualStatus.COMPLETED
            else (ManualStatus.EXPIRED, "")
        )
    if is_taken:
        return ManualStatus.IN_PROGRESS, ""
    if is_awaiting:
        return ManualStatus.AWAITING_APPROVAL, ""
    if all(scale.id != one.id for one in observation.scales):
        return action.status, action.detail
    service = next((s for s in observation.services if s.spec.name == scale.service), None)
    if service is not None and service.desired == scale.instances:
        if service.ready >= scale.instances:
            return ManualStatus.COMPLETED, ""
        return ManualStatus.IN_PROGRESS, "instances are booting"
    if scale.id in declined:
        return ManualStatus.HELD_BACK, declined[scale.id]
    return action.status, action.detail
