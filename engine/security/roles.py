"""Who may do what: one table of role × permission × extent × state, and nothing besides it.

A cell that is not in the table is refused.  The state is the one of the platform when it is asked:
what is an operator's everyday work is, on a day with a major wedding, somebody else's decision.

Three rules stand above the table.  Who is limited to some services has no say about another, nor
about all of them at once.  Who asked for something does not approve it, and nobody counts twice.
What was refused once stays refused: it has to be asked for anew.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product


class Role(StrEnum):
    """What a person or a machine is to this engine."""

    VIEWER = "viewer"
    PLANNER = "planner"
    OPERATOR = "operator"
    APPROVER = "approver"
    INCIDENT_COMMANDER = "incident_commander"
    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    ADMINISTRATOR = "administrator"
    COLLECTOR = "collector"
    """A machine that sends samples and is told nothing."""


class Permission(StrEnum):
    """What can be done: the verb of a request, and of its row in the audit log."""

    LOOK = "look"
    """See metrics, decisions, requests, troubles and plans, as they are."""
    SEND_SAMPLES = "send_samples"
    """Write samples, by remote write."""
    PREDICT = "predict"
    """Have predictions, plans and recommendations worked out."""
    FLOOR = "floor"
    """Keep at least so many instances."""
    DROP_FLOOR = "drop_floor"
    """Take a floor back."""
    PAUSE = "pause"
    RESUME = "resume"
    SCALE_OUT = "scale_out"
    """More instances now, within the limits of the service."""
    SCALE_IN = "scale_in"
    """Fewer instances now; see `approvals_needed` for the day of a wedding."""
    ROLL_BACK = "roll_back"
    """Undo a manual action; the direction in which that scales is asked for besides."""
    OVERRIDE = "override"
    """Go past the size of a step, the rest after it, budget and quota, to more instances."""
    APPROVE = "approve"
    REJECT = "reject"
    ACKNOWLEDGE = "acknowledge"
    """Take an incident on."""
    ESCALATE = "escalate"
    """Have the next people told of an incident now."""
    WATCH = "watch"
    """Start a monitoring session."""
    END_WATCH = "end_watch"
    """End a monitoring session."""
    READ_AUDIT = "read_audit"
    READ_WEDDING = "read_wedding"
    """See what is held on one wedding."""
    ERASE_WEDDING = "erase_wedding"
    ISSUE_TOKENS = "issue_tokens"
    """Make, list and revoke tokens."""
    ROTATE_KEYS = "rotate_keys"
    SEAL_BREAK_GLASS = "seal_break_glass"
    REVIEW_BREAK_GLASS = "review_break_glass"


class Extent(StrEnum):
    """What a request is about."""

    STATELESS = "stateless"
    STATEFUL = "stateful"
    """A service that loses something with an instance."""
    PLATFORM = "platform"
    """All services at once, or the engine itself."""


class PlatformState(StrEnum):
    """How it stands with what a request is about."""

    CALM = "calm"
    WEDDING_DAY = "wedding_day"
    """The protection of a major wedding is in force."""
    EMERGENCY = "emergency"
    """The service drowns now."""


class Method(StrEnum):
    """How somebody showed who he is."""

    TOKEN = "token"
    OIDC = "oidc"
    CERTIFICATE = "certificate"
    """A machine: it does what its roles say and answers no question that is put to people."""
    BREAK_GLASS = "break_glass"
    LOCAL = "local"
    """A user of the machine that has the engine's state."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `name` is one of a person, however he showed who he is.

    `services` None: all of them.  `token_id` says which token it was and cannot be used as one.
    `expires_s` is epoch seconds.
    """

    name: str
    roles: frozenset[Role]
    services: frozenset[str] | None = None
    method: Method = Method.TOKEN
    token_id: str = ""
    expires_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Situation:
    """What matters of the moment: the platform's state, the service, and an answer's question.

    `stateful` is the service's.  For an answer: `asked_by` who asked for the action, `scale_in`
    whether it takes instances away, `approved_by` who has approved it so far, `rejected_by` who has
    refused it.
    """

    state: PlatformState = PlatformState.CALM
    stateful: bool = False
    scale_in: bool = False
    asked_by: str = ""
    approved_by: tuple[str, ...] = ()
    rejected_by: str = ""


Cell = tuple[Role, Permission, Extent, PlatformState]

ANY_STATE = frozenset(PlatformState)
SERVICES = frozenset({Extent.STATELESS, Extent.STATEFUL})
EVERYTHING = frozenset(Extent)


def _cells(
    roles: Iterable[Role],
    permissions: Iterable[Permission],
    extents: Iterable[Extent],
    states: Iterable[PlatformState] = ANY_STATE,
) -> set[Cell]:
    return set(product(roles, permissions, extents, states))


def _table() -> frozenset[Cell]:
    r, p, e, s = Role, Permission, Extent, PlatformState
    not_emergency = {s.CALM, s.WEDDING_DAY}
    looking = set(Role) - {r.PRIVACY_OFFICER, r.COLLECTOR}
    return frozenset(
        _cells(looking, {p.LOOK}, EVERYTHING)
        | _cells({r.COLLECTOR}, {p.SEND_SAMPLES}, {e.PLATFORM})
        | _cells({r.PLANNER, r.OPERATOR, r.APPROVER, r.INCIDENT_COMMANDER}, {p.PREDICT}, EVERYTHING)
        # Who plans lets capacity stand ready; on the day itself those decide who are there.
        | _cells({r.PLANNER}, {p.FLOOR}, SERVICES, {s.CALM})
        | _cells({r.OPERATOR}, {p.FLOOR, p.RESUME, p.SCALE_OUT, p.ROLL_BACK}, SERVICES)
        # In an emergency an engine that holds still does the most harm.
        | _cells({r.OPERATOR}, {p.PAUSE}, SERVICES, not_emergency)
        | _cells({r.OPERATOR}, {p.DROP_FLOOR}, SERVICES, {s.CALM})
        | _cells({r.OPERATOR}, {p.SCALE_IN}, {e.STATELESS}, not_emergency)
        | _cells({r.OPERATOR}, {p.SCALE_IN}, {e.STATEFUL}, {s.CALM})
        | _cells({r.APPROVER}, {p.APPROVE, p.REJECT}, SERVICES)
        | _cells(
            {r.INCIDENT_COMMANDER},
            {p.FLOOR, p.DROP_FLOOR, p.SCALE_OUT, p.ROLL_BACK, p.REJECT},
            SERVICES,
        )
        | _cells({r.INCIDENT_COMMANDER}, {p.PAUSE, p.RESUME}, EVERYTHING)
        | _cells({r.INCIDENT_COMMANDER}, {p.SCALE_IN}, SERVICES, not_emergency)
        | _cells({r.INCIDENT_COMMANDER}, {p.APPROVE, p.OVERRIDE}, SERVICES, {s.EMERGENCY})
        # Whoever is on call answers alerts, whatever the day is.
        | _cells(
            {r.OPERATOR, r.APPROVER, r.INCIDENT_COMMANDER}, {p.ACKNOWLEDGE, p.ESCALATE}, SERVICES
        )
        # To look more closely harms nobody; to look away does, most of all on the day itself.
        | _cells({r.OPERATOR, r.INCIDENT_COMMANDER}, {p.WATCH}, EVERYTHING)
        | _cells({r.OPERATOR}, {p.END_WATCH}, SERVICES, {s.CALM})
        | _cells({r.INCIDENT_COMMANDER}, {p.END_WATCH}, EVERYTHING)
        | _cells({r.AUDITOR}, {p.READ_AUDIT, p.REVIEW_BREAK_GLASS}, {e.PLATFORM})
        | _cells({r.PRIVACY_OFFICER}, {p.READ_WEDDING, p.ERASE_WEDDING}, {e.PLATFORM})
        # Who gives roles away has none of those that scale.
        | _cells(
            {r.ADMINISTRATOR}, {p.ISSUE_TOKENS, p.ROTATE_KEYS, p.SEAL_BREAK_GLASS}, {e.PLATFORM}
        )
    )


TABLE = _table()
"""All that is allowed."""

ANSWERS = frozenset({Permission.APPROVE, Permission.REJECT})


def refusal(
    principal: Principal,
    permission: Permission,
    service: str,
    situation: Situation,
    *,
    now_s: float,
) -> str:
    """Why `principal` may not, "" if he may; `service` "" is the platform as a whole."""
    if not now_s < principal.expires_s:
        return f"{principal.name}: what was shown has expired"
    if principal.services is not None and service not in principal.services:
        limits = ", ".join(sorted(principal.services)) or "none"
        return f"{principal.name} is limited to some services ({limits})"
    extent = extent_of(service, stateful=situation.stateful)
    if not any((role, permission, extent, situation.state) in TABLE for role in principal.roles):
        return _not_in_the_table(principal, permission, service, situation.state)
    return _no_answer(principal, permission, situation) if permission in ANSWERS else ""


def extent_of(service: str, *, stateful: bool) -> Extent:
    """What a request about `service` is about; "" is the platform."""
    if not service:
        return Extent.PLATFORM
    return Extent.STATEFUL if stateful else Extent.STATELESS


def visible(principal: Principal, services: Sequence[str]) -> tuple[str, ...]:
    """Those of `services` that `principal` may be shown, in their order.

    Whether he may look at all is `refusal`'s to say.
    """
    allowed = principal.services
    return tuple(name for name in services if allowed is None or name in allowed)


def approvals_needed(situation: Situation) -> int:
    """How many people have to approve the action in question."""
    risky = situation.scale_in and situation.state is PlatformState.WEDDING_DAY
    return 2 if risky else 1


def is_same(one: str, other: str) -> bool:
    """Whether two names are those of one person: case and width of letters do not matter."""
    return folded(one) == folded(other)


def _no_answer(principal: Principal, permission: Permission, situation: Situation) -> str:
    """Why he may not give this answer, though his role answers such questions."""
    if principal.method is Method.CERTIFICATE:
        return f"{principal.name} is a machine; people answer"
    if situation.rejected_by:
        return f"{situation.rejected_by} has refused it, and that is final; ask anew"
    if permission is Permission.APPROVE:
        if is_same(principal.name, situation.asked_by):
            return f"{principal.name} has asked for it; somebody else approves it"
        if any(is_same(principal.name, other) for other in situation.approved_by):
            return f"{principal.name} has approved it already; somebody else has to as well"
    return ""


def _not_in_the_table(
    principal: Principal, permission: Permission, service: str, state: PlatformState
) -> str:
    roles = ", ".join(sorted(principal.roles)) or "no role"
    what, when = service or "the platform", state.replace("_", " ")
    return f"{principal.name} ({roles}) may not {permission.replace('_', ' ')} {what} ({when})"


def folded(name: str) -> str:
    """A name as it is compared with others."""
    return unicodedata.normalize("NFKC", name).strip().casefold()
