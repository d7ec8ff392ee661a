"""The office of an engine that keeps everything in one folder of this machine."""

from __future__ import annotations

from pathlib import Path

from engine.adapters import cabinet_files
from engine.adapters.audit_place import audit_of
from engine.adapters.store.sealed import local_credentials
from engine.adapters.store.sqlite import local_desk
from engine.api.assembly import Office
from engine.config.security import SecurityConfig
from engine.security.audit.courier import Courier
from engine.security.tokens import Tokens


def local_office(folder: Path) -> Office:
    """The office in `folder`: its store, its audit log and its tokens, as configured by default."""
    desk = local_desk(folder)
    return Office(
        state=folder,
        desk=desk,
        courier=Courier(desk, audit_of(folder)),
        credentials=local_credentials(folder),
        security=SecurityConfig(),
    )


def local_tokens(folder: Path) -> Tokens:
    """The tokens of the engine in `folder`, to make or revoke some beside it."""
    return Tokens(local_credentials(folder), cabinet_files.opened(folder))
