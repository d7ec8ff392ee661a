"""Signed checkpoints: C2SP signed-note and tlog-checkpoint, with Ed25519.

A checkpoint names the log, how many rows it has, and the root of their tree.  The log signs it;
whoever else signs it adds a line.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519 = b"\x01"
"""The kind of signature (C2SP signed-note)."""

MARK = "\N{EM DASH} "
HASH_BYTES, ID_BYTES = 32, 4


class NoteError(ValueError):
    """A note that cannot be read, or that the key did not sign."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself: its name, how many rows it has, the root of their tree."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs: a key with a name."""

    name: str
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> Verifier:
        """Who can check it."""
        return Verifier(self.name, self.key.public_key())


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key with the name that it signs under."""

    name: str
    key: Ed25519PublicKey

    @property
    def key_id(self) -> bytes:
        """Which of several keys of that name it is."""
        named = self.name.encode() + b"\n" + ED25519 + self.key.public_bytes_raw()
        return sha256(named).digest()[:ID_BYTES]

    @property
    def text(self) -> str:
        """As it is handed out: NAME+ID+KEY."""
        public = ED25519 + self.key.public_bytes_raw()
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(public).decode()}"


def signed(checkpoint: Checkpoint, signer: Signer) -> str:
    """The note, with the log's signature."""
    signature = signer.verifier.key_id + signer.key.sign(checkpoint.body.encode())
    return f"{checkpoint.body}\n{_line(signer.name, signature)}"


def opened(note: str, trusted: Verifier) -> Checkpoint:
    """What the note says, if `trusted` signed it; raises NoteError."""
    body, lines = _parts(note)
    for line in lines:
        name, _, encoded = line.removeprefix(MARK).partition(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise NoteError("a signature of the note is not base64") from None
        if name == trusted.name and raw[:ID_BYTES] == trusted.key_id:
            _check(body, raw[ID_BYTES:], trusted)
            return _read(body)
    raise NoteError(f"the note is not signed by {trusted.name}")


def _check(body: str, signature: bytes, trusted: Verifier) -> None:
    try:
        trusted.key.verify(signature, body.encode())
    except InvalidSignature:
        raise NoteError(f"the signature of {trusted.name} is not one of this note") from None


def _line(name: str, signature: bytes) -> str:
    return f"{MARK}{name} {base64.b64encode(signature).decode()}\n"


def _parts(note: str) -> tuple[str, Sequence[str]]:
    body, separator, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not separator or lines[-1] or not all(line.startswith(MARK) for line in lines[:-1]):
        raise NoteError("it is no signed note: text, an empty line, signatures")
    return body + "\n", lines[:-1]


def _read(body: str) -> Checkpoint:
    lines = body.split("\n")
    try:
        origin, size, encoded = lines[0], lines[1], lines[2]
        root = base64.b64decode(encoded, validate=True)
        if not origin or not size.isascii() or str(int(size)) != size or len(root) != HASH_BYTES:
            raise ValueError
    except (ValueError, IndexError):
        raise NoteError("it is no checkpoint: origin, size, root") from None
    return Checkpoint(origin, int(size), root)
