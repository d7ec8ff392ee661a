"""Rows of an audit log that only who has the owner's keys can read, though anybody can check them.

A sealed row is the leaf of the tree as it lies in the file: so the proof needs no key.  It is
sealed (AES-256-GCM) with a key of the log's own, which is a document of the sealed cabinet: a
rotation of the owner's keys seals that document anew and leaves every row as it was signed.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.ports.cabinet import Cabinet, CabinetError
from engine.security.audit.rows import canonical

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

DOCUMENT = "audit-keys.json"
"""Of the cabinet: the keys of the log, the one that seals first."""

KEY_BYTES, NONCE_BYTES, ID_BYTES = 32, 12, 4
CONTEXT = b"row of the audit log"
SEALED = "sealed"
"""The member of a row that holds all others."""


class SealedRowError(ValueError):
    """A sealed row that cannot be opened."""


class RowSealer:
    """Seals rows and opens them; random nonces stay far from meeting below 2^32 rows a key."""

    def __init__(self, cabinet: Cabinet) -> None:
        """Makes the first key, if there is none; raises OSError, CabinetError."""
        self._cabinet = cabinet
        self._ciphers: dict[str, AESGCM] = {}
        self._id = ""
        self._read()
        if not self._id:
            cabinet.change(DOCUMENT, lambda text: text or _with_a_new_key(""))
            self._read()

    def sealed(self, row: bytes, row_id: str) -> bytes:
        """The row as it lies in the file; it can still be told by its id, if it has one."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        text = nonce + self._ciphers[self._id].encrypt(nonce, row, CONTEXT)
        outside = {"key": self._id, SEALED: base64.b64encode(text).decode()}
        return canonical(outside | ({"id": row_id} if row_id else {}))

    def opened(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What is in a sealed row; raises SealedRowError."""
        from cryptography.exceptions import InvalidTag

        name = str(row.get("key"))
        if name not in self._ciphers:
            self._read()
        if name not in self._ciphers:
            raise SealedRowError(f"the log's key {name} is not here")
        try:
            raw = base64.b64decode(row[SEALED], validate=True)
            text = self._ciphers[name].decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], CONTEXT)
            plain = json.loads(text)
        except (InvalidTag, ValueError, TypeError):
            raise SealedRowError("the row was touched, or is something else") from None
        if not isinstance(plain, dict):
            raise SealedRowError("the row is something else")
        return plain

    def _read(self) -> None:
        # Only now: a command that writes no row should not wait for the library.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        text = self._cabinet.read(DOCUMENT)
        try:
            keys = [
                (key["id"], base64.b64decode(key["secret"])) for key in json.loads(text or "[]")
            ]
            self._ciphers = {name: AESGCM(secret) for name, secret in keys}
        except (ValueError, KeyError, TypeError):
            raise CabinetError(f"{DOCUMENT}: cannot be read") from None
        self._id = keys[0][0] if keys else ""


def renew(cabinet: Cabinet) -> None:
    """Put a new key on top; the rows before stay readable.  Raises OSError, CabinetError."""
    cabinet.change(DOCUMENT, _with_a_new_key)


def is_sealed(row: Mapping[str, Any]) -> bool:
    """Whether a row's members are sealed."""
    return SEALED in row and "key" in row


def _with_a_new_key(text: str) -> str:
    secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    fresh = {"id": secrets.token_hex(ID_BYTES), "secret": secret}
    return json.dumps([fresh, *json.loads(text or "[]")])
