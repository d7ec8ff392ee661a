"""Floors and pauses as answers show them."""

from __future__ import annotations

import math
from typing import Any

from engine.api.snapshot import StepLook
from engine.config.recurrence import Recurrence
from engine.model import ManualFloor, Pause
from engine.ports.desk import Asked


def floors_of(look: StepLook, name: str) -> list[dict[str, Any]]:
    """The floors of a service that hold in this step."""
    return [standing(one, None, True) for one in look.floors if one.service == name]


def pauses_of(look: StepLook, name: str) -> list[dict[str, Any]]:
    """The pauses of a service, or of all, that hold in this step."""
    return [standing(one, None, True) for one in look.pauses if one.service in ("", name)]


def asked_for(one: Asked, now_s: float) -> dict[str, Any] | None:
    """A request as it was asked for; None for what is neither a floor nor a pause, or is over."""
    request = one.request
    if not isinstance(request, ManualFloor | Pause) or request.expires_s <= now_s:
        return None
    return standing(request, one.schedule, one.at(now_s) is not None)


def standing(
    request: ManualFloor | Pause, schedule: Recurrence | None, holds_now: bool
) -> dict[str, Any]:
    """A floor or a pause."""
    is_floor = isinstance(request, ManualFloor)
    return {
        "kind": "floor" if is_floor else "pause",
        "service": request.service,
        "instances": request.instances if isinstance(request, ManualFloor) else None,
        "direction": request.direction.value if isinstance(request, Pause) else None,
        "pinned": request.pinned if isinstance(request, Pause) else None,
        "expires_s": None if math.isinf(request.expires_s) else round(request.expires_s, 3),
        "requested_by": request.requested_by if isinstance(request, ManualFloor) else "",
        "holds_now": holds_now,
        "schedule": None if schedule is None else schedule.model_dump(),
    }
