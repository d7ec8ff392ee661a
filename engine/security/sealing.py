"""Encryption of what is kept: AES-256-GCM, each key of data sealed under a key of the owner's.

An envelope is `WTS1`, the id of the owner's key, a key of data sealed under it, and the text sealed
under that.  What it is (its context) is authenticated, so that one document cannot be put in the
place of another.  The owner's keys come from a file, an environment variable or a command; the
first of them seals and all of them open, so that a rotation stops nothing: a new key is put on top,
what is there is sealed anew, and the old one is taken away.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from engine.config.secrets import learn
from engine.ports.cabinet import Cabinet, CabinetError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"WTS1"
ID_BYTES, KEY_BYTES, NONCE_BYTES, TAG_BYTES = 6, 32, 12, 16
HEAD = len(MAGIC) + ID_BYTES
WRAPPED = NONCE_BYTES + KEY_BYTES + TAG_BYTES
SHORTEST = HEAD + WRAPPED + NONCE_BYTES + TAG_BYTES
MOST_SEALED = 1 << 24
"""Texts under one key of data: random nonces stay far from meeting (NIST SP 800-38D, 8.3)."""

FRESH_S = 60.0
"""A new key on top is noticed after so long."""

LINE = re.compile(r"wtk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
COMMAND_S = 30.0
ARMOUR = "wts1:"
"""What a sealed text begins with."""


class SealError(ValueError):
    """What cannot be opened, or keys that cannot be read; the message holds no key."""


@dataclass(frozen=True, slots=True)
class OwnerKey:
    """A key with the id that it goes by."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        return f"OwnerKey({self.id})"


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """Where the owner's keys are: one of a file, an environment variable, a command."""

    file: str = ""
    variable: str = ""
    command: tuple[str, ...] = ()

    def read(self) -> tuple[OwnerKey, ...]:
        """The keys that are there now, the one that seals first; raises SealError."""
        if self.file:
            return keys_in(_of_file(Path(self.file)), self.file)
        if self.variable:
            return keys_in(os.environ.get(self.variable, ""), f"${self.variable}")
        return keys_in(_of_command(self.command), self.command[0])


def _cipher_of(secret: bytes) -> AESGCM:
    # Only now: a command that seals nothing should not wait for the library.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(secret)


class Sealer:
    """Seals and opens; asks for the keys again when one is met that it does not have."""

    def __init__(self, keys: Callable[[], tuple[OwnerKey, ...]]) -> None:
        """Raises SealError where there is no key."""
        self._keys = keys
        self._lock = threading.Lock()
        self._owner: dict[str, AESGCM] = {}
        self._opened: dict[bytes, AESGCM] = {}
        self._sealing = (b"", _cipher_of(bytes(KEY_BYTES)))
        self._left = 0
        self._renewed_s = 0.0
        self.key_id = ""
        self.renew()

    def renew(self) -> None:
        """Go by the keys that are there now; raises SealError."""
        self._renewed_s = time.monotonic()
        keys = self._keys()
        with self._lock:
            self._owner = {key.id: _cipher_of(key.secret) for key in keys}
            self._opened = {}
            self.key_id, self._left = keys[0].id, 0

    def seal(self, plain: bytes, context: str) -> bytes:
        """The envelope of `plain`, which opens as `context` and as nothing else."""
        if time.monotonic() - self._renewed_s > FRESH_S:
            with contextlib.suppress(SealError):  # who cannot be asked now is asked the next time
                self.renew()
        with self._lock:
            if self._left == 0:
                head = MAGIC + bytes.fromhex(self.key_id)
                secret, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
                wrapped = self._owner[self.key_id].encrypt(nonce, secret, head)
                self._sealing = (head + nonce + wrapped, _cipher_of(secret))
                self._left = MOST_SEALED
            self._left -= 1
            front, cipher = self._sealing
        nonce = secrets.token_bytes(NONCE_BYTES)
        return front + nonce + cipher.encrypt(nonce, plain, front + context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """What is in the envelope; raises SealError where it was touched or its key is not here."""
        if len(sealed) < SHORTEST or not sealed.startswith(MAGIC):
            raise SealError(f"{context}: is not sealed")
        from cryptography.exceptions import InvalidTag

        front, rest = sealed[: HEAD + WRAPPED], sealed[HEAD + WRAPPED :]
        try:
            cipher = self._cipher(front, context)
            return cipher.decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], front + context.encode())
        except InvalidTag:
            raise SealError(f"{context}: was touched, or is something else") from None

    def seal_text(self, text: str, context: str) -> str:
        """As `seal`, in letters."""
        return ARMOUR + base64.b64encode(self.seal(text.encode(), context)).decode()

    def open_text(self, text: str, context: str) -> str:
        """As `open`; raises SealError."""
        if not text.startswith(ARMOUR):
            raise SealError(f"{context}: is not sealed")
        try:
            raw = base64.b64decode(text.removeprefix(ARMOUR), validate=True)
        except ValueError:
            raise SealError(f"{context}: was touched") from None
        return self.open(raw, context).decode()

    def _cipher(self, front: bytes, context: str) -> AESGCM:
        """That of an envelope's key of data."""
        opened = self._opened
        if front not in opened:
            key_id = front[len(MAGIC) : HEAD].hex()
            if key_id not in self._owner:
                self.renew()
            if key_id not in self._owner:
                raise SealError(f"{context}: is sealed with the key {key_id}, which is not here")
            nonce, wrapped = front[HEAD : HEAD + NONCE_BYTES], front[HEAD + NONCE_BYTES :]
            secret = self._owner[key_id].decrypt(nonce, wrapped, front[:HEAD])
            if len(opened) > 256:
                opened.clear()
            opened[front] = _cipher_of(secret)
        return opened[front]


class SealedCabinet:
    """A cabinet whose documents are sealed; one that is not is refused, whoever put it there."""

    def __init__(self, inner: Cabinet, sealer: Sealer, plain: Collection[str]) -> None:
        """`plain` are the names of those that have to be readable without any key."""
        self._inner = inner
        self._sealer = sealer
        self._plain = frozenset(plain)
        self._read: dict[str, tuple[str, str]] = {}

    def read(self, name: str) -> str:
        """The document in plain, "" if there is none; raises OSError, CabinetError."""
        sealed = self._inner.read(name)
        if name in self._plain:
            return sealed
        kept = self._read.get(name)
        if kept is None or kept[0] != sealed:
            kept = (sealed, self._opened(name, sealed))
            self._read[name] = kept
        return kept[1]

    def change(self, name: str, edit: Callable[[str], str]) -> None:
        """As the port says; raises OSError, CabinetError, and whatever `edit` raises."""

        def edited(sealed: str) -> str:
            self._sealer.renew()  # a key that was retired meanwhile must seal nothing any more
            text = edit(self._opened(name, sealed))
            return self._sealer.seal_text(text, name) if text else ""

        self._inner.change(name, edit if name in self._plain else edited)

    def _opened(self, name: str, sealed: str) -> str:
        try:
            return self._sealer.open_text(sealed, name) if sealed else ""
        except SealError as error:
            raise CabinetError(f"{error} (python -m engine keys)") from None


def key_of(sealed: str) -> str:
    """The id of the owner's key that a sealed text is under; raises SealError."""
    try:
        raw = base64.b64decode(sealed.removeprefix(ARMOUR)[:32], validate=True)
    except ValueError:
        raise SealError("it was touched") from None
    return raw[len(MAGIC) : HEAD].hex()


def made() -> str:
    """A new key, as a line of a file of keys."""
    text = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")
    return f"wtk_{secrets.token_hex(ID_BYTES)}_{text}"


def keys_in(text: str, place: str) -> tuple[OwnerKey, ...]:
    """The keys in a text, one a line, `#` before a remark; raises SealError, naming `place`."""
    keys: dict[str, OwnerKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        match = LINE.fullmatch(word)
        if match is None:
            raise SealError(f"{place}: line {number} is no key (python -m engine keys make)")
        if match[1] in keys:
            raise SealError(f"{place}: the key {match[1]} is there twice")
        learn(SecretStr(word))
        learn(SecretStr(match[2]))
        keys[match[1]] = OwnerKey(match[1], base64.urlsafe_b64decode(match[2] + "="))
    if not keys:
        raise SealError(f"{place}: there is no key (python -m engine keys make)")
    return tuple(keys.values())


def place_in(text: str) -> KeyPlace:
    """Where keys are, as `place_text` wrote it; raises SealError."""
    try:
        raw = json.loads(text)
        place = KeyPlace(str(raw["file"]), str(raw["variable"]), tuple(map(str, raw["command"])))
    except (ValueError, KeyError, TypeError):
        raise SealError("the place of the keys cannot be read") from None
    if sum(map(bool, (place.file, place.variable, place.command))) != 1:
        raise SealError("the place of the keys is not one of a file, a variable, a command")
    return place


def place_text(place: KeyPlace) -> str:
    """The place as it is written down."""
    raw: Mapping[str, object] = {
        "file": place.file, "variable": place.variable, "command": list(place.command),
    }  # fmt: skip
    return json.dumps(raw) + "\n"


def _of_file(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise SealError(f"{path}: others may read or change it (chmod 600)")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SealError(f"{path}: is no text") from None
    except OSError as error:
        raise SealError(f"{path}: cannot be read ({error.strerror})") from None


def _of_command(command: tuple[str, ...]) -> str:
    """What the command prints; nothing of it is ever said."""
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=COMMAND_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise SealError(f"{command[0]}: cannot be run ({type(error).__name__})") from None
    if run.returncode != 0:
        raise SealError(f"{command[0]}: ended with {run.returncode}")
    return run.stdout
