"""Emergency access as it would be used, timed, while whatever could be asked for help is gone."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from engine.adapters.alert_log import AlertLog
from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.store.sqlite import local_desk
from engine.client import ApiProblemError, EngineClient
from engine.commands.break_glass import exchanged
from engine.config.security import OidcConfig, SecurityConfig
from engine.model import ManualFloor
from engine.ports.credentials import Texts
from engine.security import gate
from engine.security.audit.log import FOLDER as AUDIT
from engine.security.audit.log import opened
from engine.security.audit.rows import AuditEntry
from engine.security.break_glass import LONGEST_S, BreakGlass
from engine.security.identity import authenticated
from engine.security.roles import Permission, PlatformState, Situation, refusal
from engine.security.tokens import Tokens

HOLDER, SERVICE, INSTANCES = "whoever is on call", "api", 12
REASON = "a drill: nobody can log in, and guests wait"
SHORT_S = 60.0
NOBODY = "http://127.0.0.1:9"
"""An identity provider that does not answer: the discard port."""


def drilled(state: Path) -> dict[str, float]:
    """Seconds since the seal at which each step was done, in the order of the steps.

    `state` is an empty folder.  The identity provider cannot be reached and no database is there.
    Raises AssertionError where somebody is let in who must not, or refused who must not be.
    """
    begun_s = time.monotonic()
    steps: dict[str, float] = {}

    def done(step: str) -> None:
        steps[step] = time.monotonic() - begun_s

    provider = OidcConfig(issuer=NOBODY, audience="drill", jwks=NOBODY)
    cabinet = FileCabinet(state / FOLDER)
    access = BreakGlass(cabinet)
    tokens = Tokens(_NoDatabase(), cabinet)
    identity = gate.opened(SecurityConfig(oidc=provider), tokens, cabinet)
    code = access.seal(HOLDER, now_s=time.time(), sealed_by="drill", for_s=LONGEST_S)
    done("sealed")
    token = exchanged(state, code, REASON, LONGEST_S)
    done("opened, and in the audit log")
    alerts = asyncio.run(access.tell(AlertLog(), time.time()))
    if alerts != 1:
        raise AssertionError(f"{alerts} alerts went out instead of one")
    done("everybody told")
    now_s = time.time()
    who = asyncio.run(authenticated(identity, f"Bearer {token}", now_s))
    situation = Situation(PlatformState.EMERGENCY)
    reason = refusal(who, Permission.FLOOR, SERVICE, situation, now_s=now_s)
    if reason:
        raise AssertionError(reason)
    opened(state / AUDIT).append(
        AuditEntry(
            at_ms=round(now_s * 1000.0), actor=who.name, action=Permission.FLOOR, target=SERVICE,
            outcome="accepted", why=REASON, after={"instances": INSTANCES, "token": who.token_id},
        )
    )  # fmt: skip
    with closing(local_desk(state)) as desk:
        desk.ask(ManualFloor(SERVICE, INSTANCES, math.inf, who.name))
    done("first action accepted")
    return steps


class _NoDatabase:
    """Credentials in a database that cannot be reached."""

    def is_unchanged(self) -> bool:
        """Nobody knows."""
        return False

    def glimpse(self, mark: str | None) -> NoReturn:  # noqa: ARG002 (as the port has it)
        """It is not there."""
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED), "a drill's database")

    def change(self, edit: Callable[[Texts], Texts]) -> NoReturn:  # noqa: ARG002
        """It is not there."""
        self.glimpse(None)

    def close(self) -> None:
        """Nothing to let go of."""


def drilled_there(state: Path, url: str, ca: Path | None, sealed_by: str) -> dict[str, float]:
    """The same on the engine with this state folder, whose API runs at `url`, as it is now.

    The action is the floor that a service has in any case, where nobody has asked for one, and is
    taken back; while the store takes nothing, a manual action to the count that a service has, for
    a minute.  The access awaits its review as any other.  Raises OSError where the engine does not
    do it, and what `exchanged` raises.
    """
    begun_s = time.monotonic()
    steps: dict[str, float] = {}

    def done(step: str) -> None:
        steps[step] = time.monotonic() - begun_s

    access = BreakGlass(FileCabinet(state / FOLDER))
    code = access.seal(HOLDER, now_s=time.time(), sealed_by=sealed_by, for_s=LONGEST_S)
    done("sealed")
    token = exchanged(state, code, REASON, LONGEST_S)
    done("opened, and in the audit log")
    try:
        with EngineClient(url, token, ca=ca) as engine:
            engine.who_am_i()
            done("let in")
            try:
                _floor(engine, lambda: done("first action accepted"))
            except ApiProblemError as error:
                if error.problem.status != 503:
                    raise
                _held(engine, lambda: done("first action accepted, while the store takes nothing"))
    except (ApiProblemError, ValueError) as error:
        raise OSError(f"{url}: {error}") from None
    return steps


def _floor(engine: EngineClient, done: Callable[[], None]) -> None:
    """Ask for the floor that a service has in any case, and take it back."""
    floors = {floor.service for floor in engine.floors().items}
    free = [one for one in engine.services().items if one.name not in floors]
    if not free:
        raise ValueError("every service has a floor of somebody's")
    engine.keep_floor(free[0].name, free[0].min_instances, for_s=SHORT_S, why=REASON)
    done()
    engine.drop_floor(free[0].name, why=REASON)


def _held(engine: EngineClient, done: Callable[[], None]) -> None:
    """Ask for the count that a service has."""
    service = engine.services().items[0]
    engine.execute_scaling_decision(service.name, service.desired, for_s=SHORT_S, why=REASON)
    done()
