"""Emergency access: sealed beforehand, opened once, for an hour at most, and never in silence.

An administrator seals a code for a person while all is well; it lies in an envelope.  Opening it
needs a reason and gives a token with the roles of an incident commander.  Neither the identity
provider nor a database is asked: the book is a document in the state folder, with the hash of the
code.  Everybody is told at once, and again each day until somebody else has reviewed what was done.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import structlog

from engine.ports.cabinet import Cabinet, CabinetError
from engine.ports.clock import Clock
from engine.ports.notifier import Alert, AlertState, Notifier
from engine.security.audit.rows import AuditEntry, Values
from engine.security.identity import NotAuthenticatedError
from engine.security.roles import Method, Principal, Role, is_same
from engine.security.tokens import DAY_S, ID_BYTES, SECRET_BYTES, digest, person

DOCUMENT = "break-glass.json"
VERSION = 1
SEALED, OPENED = "wtbg_", "wtbs_"
"""What a sealed code begins with, and the token that it is exchanged for."""

LONGEST_S = 3600.0
SEALED_S = 400 * DAY_S
"""A code that has lain about for longer is sealed anew."""
NAG_S = DAY_S
KEPT_S = 400 * DAY_S
LOOK_S = 1.0
"""Between two looks at whether there is something to tell."""

SHORTEST_REASON, LONGEST_REASON = 10, 500
ROLES = frozenset({Role.VIEWER, Role.OPERATOR, Role.INCIDENT_COMMANDER})
SOURCE = "break-glass"
"""Of its alerts."""

log = structlog.stdlib.get_logger(__name__)


class BreakGlassError(ValueError):
    """What cannot be sealed, opened or reviewed; the message holds no code."""


@dataclass(frozen=True, slots=True)
class SealedAccess:
    """One envelope; times are epoch seconds, inf where it has not come to that.

    `ends_s` is when the access ends that it was opened for, `told_s` the time of the last alert.
    """

    id: str
    holder: str
    sealed_by: str
    sealed_s: float
    expires_s: float
    sha256: str
    opened_s: float = math.inf
    ends_s: float = math.inf
    reason: str = ""
    session_sha256: str = ""
    told_s: float = math.inf
    reviewed_s: float = math.inf
    reviewed_by: str = ""
    verdict: str = ""

    @property
    def awaits_review(self) -> bool:
        """Whether it was opened, and nobody has looked at what was done with it."""
        return math.isfinite(self.opened_s) and math.isinf(self.reviewed_s)

    def is_open(self, now_s: float) -> bool:
        """Whether somebody has the access now."""
        return self.opened_s <= now_s < min(self.ends_s, self.reviewed_s)


class BreakGlass:
    """The book of emergency access in a cabinet."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet
        self._read: tuple[str, tuple[SealedAccess, ...]] = ("", ())

    def seal(self, holder: str, *, now_s: float, sealed_by: str, for_s: float) -> str:
        """Seal a code for `holder` that can be opened within `for_s`; returns it, once.

        Raises BreakGlassError, TokenError for a name, OSError, CabinetError.
        """
        holder = person(holder)
        if not 0.0 < for_s <= SEALED_S:
            raise BreakGlassError(
                f"for: {for_s / DAY_S:g} days are not allowed (more than 0 … {SEALED_S / DAY_S:g})"
            )
        if is_same(holder, sealed_by):
            raise BreakGlassError("name: is your own; who seals a code is not who opens it")
        made_id = secrets.token_hex(ID_BYTES)
        code = f"{SEALED}{made_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        access = SealedAccess(made_id, holder, sealed_by, now_s, now_s + for_s, digest(code))
        self._change(lambda book: (*book, access), now_s)
        return code

    def use(self, code: str, reason: str, *, now_s: float, for_s: float = LONGEST_S) -> str:
        """Open a sealed code, once; returns the token that gives access for `for_s`.

        Raises BreakGlassError for a code that is none or no more, and for a reason that says
        nothing; OSError, CabinetError.
        """
        reason = " ".join(reason.split())
        if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON or not reason.isprintable():
            raise BreakGlassError(
                f"reason: {SHORTEST_REASON} to {LONGEST_REASON} characters that say what happens"
            )
        if not 0.0 < for_s <= LONGEST_S:
            raise BreakGlassError(f"for: {for_s:g} s are not allowed (more than 0 … {LONGEST_S:g})")
        token = ""

        def edit(book: tuple[SealedAccess, ...]) -> tuple[SealedAccess, ...]:
            nonlocal token
            access = _of(book, code, SEALED)
            if access is None:
                raise BreakGlassError("there is no such sealed code")
            if math.isfinite(access.opened_s):
                raise BreakGlassError(
                    f"the code {access.id} was opened before, and only opens once"
                )
            if now_s >= access.expires_s:
                raise BreakGlassError(f"the code {access.id} has lain too long; seal another one")
            token = f"{OPENED}{access.id}_{secrets.token_urlsafe(SECRET_BYTES)}"
            after = replace(
                access, opened_s=now_s, ends_s=now_s + for_s, reason=reason,
                session_sha256=digest(token),
            )  # fmt: skip
            return tuple(after if each is access else each for each in book)

        self._change(edit, now_s)
        return token

    def exchanged(
        self,
        code: str,
        reason: str,
        write: Callable[[AuditEntry], object],
        *,
        now_s: float,
        for_s: float,
        asked_by: Values,
    ) -> str:
        """As `use`; that it was asked for, and by whom, is written down before, a refusal after.

        Raises what `use` and `write` raise; nothing is opened that cannot be written down.
        """
        sealed = self.opened_with(code)

        def note(outcome: str, why: str) -> None:
            write(
                AuditEntry(
                    at_ms=round(now_s * 1000.0), actor=sealed.holder if sealed else "",
                    action="use break-glass", target=sealed.id if sealed else "", outcome=outcome,
                    why=why, after={"seconds": for_s, **asked_by},
                )
            )  # fmt: skip

        note("accepted" if sealed else "refused", reason)
        try:
            return self.use(code, reason, now_s=now_s, for_s=for_s)
        except BreakGlassError as error:
            if sealed:
                note("refused", str(error))
            raise

    def review(self, which: str, verdict: str, *, now_s: float, reviewer: str) -> SealedAccess:
        """Say what came of the access with that id; it ends with it, if it had not ended before.

        Raises BreakGlassError where there is nothing to review, and for whoever had the access;
        OSError, CabinetError.
        """
        verdict = " ".join(verdict.split())
        if not SHORTEST_REASON <= len(verdict) <= LONGEST_REASON or not verdict.isprintable():
            raise BreakGlassError(
                f"verdict: {SHORTEST_REASON} to {LONGEST_REASON} characters that say what was found"
            )
        reviewed: list[SealedAccess] = []

        def edit(book: tuple[SealedAccess, ...]) -> tuple[SealedAccess, ...]:
            access = next((each for each in book if each.id == which), None)
            if access is None or not access.awaits_review:
                waiting = ", ".join(each.id for each in book if each.awaits_review) or "none"
                raise BreakGlassError(f'"{which}" does not wait for a review ({waiting})')
            if is_same(access.holder, reviewer):
                raise BreakGlassError(f"{reviewer} had the access; somebody else reviews it")
            after = replace(access, reviewed_s=now_s, reviewed_by=reviewer, verdict=verdict)
            reviewed.append(after)
            return tuple(after if each is access else each for each in book)

        self._change(edit, now_s)
        return reviewed[0]

    def who(self, shown: str, now_s: float) -> Principal:
        """Who shows the token of an access; raises NotAuthenticatedError."""
        if shown.startswith(SEALED):
            raise NotAuthenticatedError("a sealed code has to be opened first, with a reason")
        try:
            access = _of(self.book(), shown, OPENED)
        except (OSError, CabinetError):
            raise NotAuthenticatedError("the emergency access cannot be read now") from None
        if access is None:
            raise NotAuthenticatedError("no such token")
        if not access.is_open(now_s):
            raise NotAuthenticatedError(f"the emergency access {access.id} is over")
        return Principal(access.holder, ROLES, None, Method.BREAK_GLASS, access.id, access.ends_s)

    def book(self) -> tuple[SealedAccess, ...]:
        """All there is, newest last; raises OSError, CabinetError."""
        text = self._cabinet.read(DOCUMENT)
        if text != self._read[0]:
            self._read = (text, _parsed(text))
        return self._read[1]

    def opened_with(self, code: str) -> SealedAccess | None:
        """The envelope of a sealed code, None if there is none; raises OSError, CabinetError."""
        return _of(self.book(), code, SEALED)

    async def tell(self, notifier: Notifier, now_s: float) -> int:
        """Tell everybody what they have not been told yet; returns how many alerts went out.

        An access is told when it is opened, each day until it is reviewed, and when it was.  What
        `notifier` could not send is due again.  Raises OSError, CabinetError, and what it raises.
        """
        sent = 0
        for access in self.book():
            alert = _alert(access, now_s)
            if alert is not None:
                await notifier.notify(alert)
                self._note_told(access.id, alert.time_s, now_s)
                sent += 1
        return sent

    def _note_told(self, which: str, at_s: float, now_s: float) -> None:
        def edit(book: tuple[SealedAccess, ...]) -> tuple[SealedAccess, ...]:
            return tuple(replace(each, told_s=at_s) if each.id == which else each for each in book)

        self._change(edit, now_s)

    def _change(
        self,
        edit: Callable[[tuple[SealedAccess, ...]], tuple[SealedAccess, ...]],
        now_s: float,
    ) -> None:
        def edited(text: str) -> str:
            kept = [
                access for access in edit(_parsed(text))
                if access.awaits_review or now_s < max(
                    access.expires_s, access.reviewed_s if math.isfinite(access.reviewed_s) else 0.0
                ) + KEPT_S
            ]  # fmt: skip
            return _written(tuple(kept))

        self._cabinet.change(DOCUMENT, edited)


async def watch(access: BreakGlass, notifier: Notifier, clock: Clock) -> None:
    """Tell everybody as long as it is not cancelled; what does not work is tried again."""
    never = asyncio.Event()
    while True:
        try:
            await access.tell(notifier, clock.now_s())
        except Exception as error:  # a notifier may raise anything, and the next look must come
            log.error(f"emergency access: nobody could be told ({type(error).__name__}: {error})")
        await clock.wait(LOOK_S, never)


def _alert(access: SealedAccess, now_s: float) -> Alert | None:
    """What everybody has to be told of it now."""
    if math.isinf(access.opened_s):
        return None
    source = f"{SOURCE} {access.id}"
    if math.isinf(access.told_s):
        minutes = (access.ends_s - access.opened_s) / 60.0
        detail = f"{access.holder} has emergency access for {minutes:.0f} min: {access.reason}"
        return Alert(access.opened_s, source, AlertState.STARTED, detail)
    if access.awaits_review:
        if now_s < access.told_s + NAG_S:
            return None
        days = (now_s - access.opened_s) / DAY_S
        detail = f"what {access.holder} did with it has not been reviewed for {days:.0f} days"
        return Alert(now_s, source, AlertState.CHANGED, detail)
    if access.told_s < access.reviewed_s:
        detail = f"reviewed by {access.reviewed_by}: {access.verdict}"
        return Alert(access.reviewed_s, source, AlertState.ENDED, detail)
    return None


def _of(book: tuple[SealedAccess, ...], shown: str, prefix: str) -> SealedAccess | None:
    """The access that a code or a token is of."""
    made_id, _, secret = shown.removeprefix(prefix).partition("_")
    if not shown.startswith(prefix) or not secret:
        return None
    access = next((each for each in book if each.id == made_id), None)
    if access is None:
        return None
    kept = access.sha256 if prefix == SEALED else access.session_sha256
    return access if kept and hmac.compare_digest(kept, digest(shown)) else None


def _parsed(text: str) -> tuple[SealedAccess, ...]:
    if not text:
        return ()
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            raise ValueError(f"version {raw['version']}, this is {VERSION}")
        return tuple(SealedAccess(**_times(entry)) for entry in raw["sealed"])
    except (ValueError, KeyError, TypeError) as error:
        raise CabinetError(f"{DOCUMENT}: cannot be read ({error})") from None


def _times(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with its times as floats; null is a time that has not come."""
    return {
        name: (math.inf if value is None else float(value)) if name.endswith("_s") else str(value)
        for name, value in entry.items()
    }


def _written(book: tuple[SealedAccess, ...]) -> str:
    entries = [
        {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in asdict(access).items()
        }
        for access in book
    ]
    return json.dumps({"version": VERSION, "sealed": entries}, allow_nan=False, indent=1) + "\n"
