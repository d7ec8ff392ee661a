"""What the engine holds on one wedding: under a pseudonym, sealed, for a time, and erasable.

Nothing here knows a name.  A wedding's id becomes a pseudonym with a key (HMAC-SHA256), so that who
has the files alone cannot try ids out; what is held on it is sealed with a key of its own.  Erasing
destroys that key.  What was sealed with it elsewhere, in rows of the audit log and in backups of
it, can be read by nobody then, and the log still proves itself, as no row was touched.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.ports.cabinet import Cabinet, CabinetError
from engine.ports.clock import Clock
from engine.security.audit.rows import Value

DOCUMENT = "weddings.json"
VERSION = 1
DAY_S = 86_400.0
LOOK_S = 3600.0
"""Between two looks at whether something has been held long enough."""
KEY_BYTES, NONCE_BYTES, PSEUDONYM_LETTERS = 32, 12, 26
PREFIX = "w_"

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")

log = structlog.stdlib.get_logger(__name__)


class WeddingError(ValueError):
    """What cannot be held on a wedding, or a wedding that nothing is held on."""


class Held(StrEnum):
    """Kinds of what is held on one wedding."""

    REQUEST = "request"
    PREDICTION = "prediction"


@dataclass(frozen=True, slots=True)
class Processing:
    """One kind of what is held: a line of the records of processing."""

    what: str
    purpose: str
    kept_s: float


PROCESSING: Mapping[Held, Processing] = {
    Held.REQUEST: Processing(
        "service, instances and until when, of what people asked for on its behalf",
        "capacity stands ready for its guests, and it can be said why",
        90 * DAY_S,
    ),
    Held.PREDICTION: Processing(
        "type, numbers of guests and vendors, begin, of what somebody had predicted for it",
        "how much capacity it takes",
        30 * DAY_S,
    ),
}


@dataclass(frozen=True, slots=True)
class HeldEntry:
    """Something held on a wedding, opened; times are epoch seconds."""

    kind: Held
    at_s: float
    purpose: str
    fields: Mapping[str, Value]

    @property
    def until_s(self) -> float:
        """When it goes by itself."""
        return self.at_s + PROCESSING[self.kind].kept_s


class WeddingRegister:
    """The register in a cabinet."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet

    def pseudonym(self, wedding: str) -> str:
        """What stands for `wedding` in whatever is written; raises WeddingError, OSError."""
        register = _parsed(self._cabinet.read(DOCUMENT))
        if not register["pseudonyms"]:
            self._cabinet.change(DOCUMENT, lambda text: _written(_begun(_parsed(text))))
            register = _parsed(self._cabinet.read(DOCUMENT))
        return _pseudonym(register, wedding)

    def naming(self) -> Callable[[str], str]:
        """What gives the pseudonym of any foreign id, at once; raises OSError, CabinetError.

        An id of ours has the same one as everywhere.
        """
        register = _parsed(self._cabinet.read(DOCUMENT))
        if not register["pseudonyms"]:
            self._cabinet.change(DOCUMENT, lambda text: _written(_begun(_parsed(text))))
            register = _parsed(self._cabinet.read(DOCUMENT))
        key = base64.b64decode(register["pseudonyms"])
        return lambda foreign: _name(key, foreign)

    def keep(
        self, wedding: str, kind: Held, fields: Mapping[str, Value], *, purpose: str, now_s: float
    ) -> tuple[str, str]:
        """Hold `fields` on `wedding`; returns its pseudonym, and them sealed, for the audit log.

        Raises WeddingError for what is no id and for a wedding that was erased; OSError.
        """
        result = ("", "")

        def edit(register: dict[str, Any]) -> None:
            nonlocal result
            _begun(register)
            name = _pseudonym(register, wedding)
            if name in register["erased"]:
                raise WeddingError(f"{name} was erased; nothing is held on it any more")
            one = register["weddings"].setdefault(
                name, {"key": _text(secrets.token_bytes(KEY_BYTES)), "entries": []}
            )
            sealed = _sealed(one["key"], fields, f"{name} {kind}")
            one["entries"].append(
                {"kind": kind.value, "at_s": now_s, "purpose": purpose, "sealed": sealed}
            )
            result = (name, sealed)

        self._change(edit, now_s)
        return result

    def held(self, wedding: str) -> tuple[HeldEntry, ...]:
        """All that is held on it, oldest first; raises WeddingError, OSError, CabinetError."""
        register = _parsed(self._cabinet.read(DOCUMENT))
        one = register["weddings"].get(_pseudonym(register, wedding), {"entries": []})
        name = _pseudonym(register, wedding)
        return tuple(
            HeldEntry(
                Held(entry["kind"]), float(entry["at_s"]), str(entry["purpose"]),
                _opened(one["key"], entry["sealed"], f"{name} {entry['kind']}"),
            )
            for entry in one["entries"]
        )  # fmt: skip

    def opened(self, wedding: str, kind: Held, sealed: str) -> Mapping[str, Value]:
        """What a row of the audit log holds on it; raises WeddingError once it is erased."""
        register = _parsed(self._cabinet.read(DOCUMENT))
        name = _pseudonym(register, wedding)
        if name not in register["weddings"]:
            raise WeddingError(f"{name}: nothing is held on it any more")
        return _opened(register["weddings"][name]["key"], sealed, f"{name} {kind}")

    def erase(self, wedding: str, now_s: float) -> str:
        """Destroy its key and what is held on it, for good; returns its pseudonym.

        Raises WeddingError for what is no id; OSError.
        """
        erased = ""

        def edit(register: dict[str, Any]) -> None:
            nonlocal erased
            _begun(register)
            erased = _pseudonym(register, wedding)
            register["weddings"].pop(erased, None)
            register["erased"][erased] = now_s

        self._change(edit, now_s)
        return erased

    def retain(self, now_s: float) -> int:
        """Drop what has been held for long enough, and keys of nothing; returns how many entries.

        Raises OSError, CabinetError.
        """
        if not any(map(_is_over(now_s), _entries(_parsed(self._cabinet.read(DOCUMENT))))):
            return 0
        return self._change(lambda _: None, now_s)

    def counts(self) -> Mapping[Held, int]:
        """How many entries of each kind there are; raises OSError, CabinetError."""
        kinds = [entry["kind"] for entry in _entries(_parsed(self._cabinet.read(DOCUMENT)))]
        return {kind: kinds.count(kind.value) for kind in Held}

    def _change(self, edit: Callable[[dict[str, Any]], None], now_s: float) -> int:
        """Edit the register; what is over goes with it.  Returns how many entries did."""
        dropped = 0

        def edited(text: str) -> str:
            nonlocal dropped
            register = _parsed(text)
            edit(register)
            over = _is_over(now_s)
            for name, one in list(register["weddings"].items()):
                kept = [entry for entry in one["entries"] if not over(entry)]
                dropped += len(one["entries"]) - len(kept)
                one["entries"] = kept
                if not kept:
                    del register["weddings"][name]
            return _written(register)

        self._cabinet.change(DOCUMENT, edited)
        return dropped


async def keep_to_it(weddings: WeddingRegister, clock: Clock) -> None:
    """Drop what has been held for long enough, as long as it is not cancelled."""
    never = asyncio.Event()
    while True:
        try:
            dropped = await asyncio.to_thread(weddings.retain, clock.now_s())
        except (OSError, ValueError) as error:
            log.error(f"what is held on weddings could not be looked through: {error}")
        else:
            if dropped:
                log.info(f"{dropped} entries on weddings were held for long enough and are gone")
        await clock.wait(LOOK_S, never)


def page(counts: Mapping[Held, int]) -> str:
    """The records of processing (GDPR, article 30), as Markdown."""
    lines = [
        "# Records of processing",
        "",
        "What the engine holds on single weddings.  It knows no name and no address; a wedding is "
        "a pseudonym (HMAC-SHA256 with a key of the engine's).",
        "",
        "| kind | what | purpose | kept | entries now |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, processing in PROCESSING.items():
        days = f"{processing.kept_s / DAY_S:.0f} days"
        lines.append(
            f"| {kind} | {processing.what} | {processing.purpose} | {days} | {counts[kind]} |"
        )
    return "\n".join([
        *lines, "",
        "- Protected by: AES-256-GCM with a key for each wedding; those keys are sealed with the "
        "owner's where `python -m engine keys use` said so.",
        "- Seen by: a privacy officer, who has to give a purpose; each look is in the audit log.",
        "- Passed on to: nobody.",
        "- Erased: at once by `python -m engine privacy erase`, by itself after the time above.",
        "",
    ])  # fmt: skip


def _pseudonym(register: Mapping[str, Any], wedding: str) -> str:
    if not ID.fullmatch(wedding):
        raise WeddingError(
            "wedding: is no id (1 to 64 of A-Z a-z 0-9 _ . : -, without blanks; never a name)"
        )
    return _name(base64.b64decode(register["pseudonyms"]), wedding)


def _name(key: bytes, wedding: str) -> str:
    mac = hmac.digest(key, wedding.encode(errors="surrogatepass"), sha256)
    return PREFIX + base64.b32encode(mac).decode().lower()[:PSEUDONYM_LETTERS]


def _begun(register: dict[str, Any]) -> dict[str, Any]:
    """The register with a key for pseudonyms."""
    if not register["pseudonyms"]:
        register["pseudonyms"] = _text(secrets.token_bytes(KEY_BYTES))
    return register


def _sealed(key: str, fields: Mapping[str, Value], context: str) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    plain = json.dumps(dict(fields), sort_keys=True, allow_nan=False).encode()
    return _text(nonce + AESGCM(base64.b64decode(key)).encrypt(nonce, plain, context.encode()))


def _opened(key: str, sealed: str, context: str) -> Mapping[str, Value]:
    try:
        raw = base64.b64decode(sealed, validate=True)
        cipher = AESGCM(base64.b64decode(key))
        plain = cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())
        return dict(json.loads(plain))
    except (InvalidTag, ValueError):
        raise WeddingError(f"{context}: was touched, or is of another wedding") from None


def _entries(register: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for one in register["weddings"].values() for entry in one["entries"]]


def _is_over(now_s: float) -> Callable[[Mapping[str, Any]], bool]:
    return lambda entry: now_s >= entry["at_s"] + PROCESSING[Held(entry["kind"])].kept_s


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _parsed(text: str) -> dict[str, Any]:
    if not text:
        return {"version": VERSION, "pseudonyms": "", "weddings": {}, "erased": {}}
    try:
        register = json.loads(text)
        if register["version"] != VERSION:
            raise ValueError(f"version {register['version']}, this is {VERSION}")
        for one in register["weddings"].values():
            for entry in one["entries"]:
                Held(entry["kind"]), float(entry["at_s"]), str(entry["sealed"])
        base64.b64decode(register["pseudonyms"], validate=True)
        dict(register["erased"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CabinetError(f"{DOCUMENT}: cannot be read ({error})") from None
    return dict(register)


def _written(register: Mapping[str, Any]) -> str:
    return json.dumps(register, allow_nan=False, sort_keys=True) + "\n"
