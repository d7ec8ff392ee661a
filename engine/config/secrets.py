"""Secrets of a configuration: what is one, and that it is written nowhere.

A password, a token or a key reaches the engine in its configuration: as an option of an adapter, as
a header, inside a URL.  It belongs to the adapter that needs it and to nobody else.  So the
validated configuration holds it as `SecretStr` (`sealed`), only the adapter gets the plain value
(`revealed`), what is recorded has a mark in its place (`recordable`, `command_line`), and whatever
else is written (log, journal, state, errors) passes `redacted`, which knows the secrets of this
process, because an adapter or a library may have put one into a message.

What counts is the name of the key, or the form of the text: everything below `headers` and
`cookies`; names such as `password`, `api_key`, `accessToken`; a URL or DSN with a password, or with
a parameter of such a name.  Sections of a closed schema without any such key (a service may be
called `auth`) are not searched for names.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from pydantic import Secret, SecretStr

MARK = "(not recorded)"
SHORTEST = 4
"""A secret below so many characters would be found in every other word, and is no secret."""

BELOW = ("header", "headers", "cookie", "cookies")
WORDS = (
    "auth", "authorization", "bearer", "cookie", "credential", "credentials", "dsn", "key",
    "passphrase", "passwd", "password", "passwords", "pwd", "secret", "secrets", "sig", "signature",
    "token", "tokens",
)  # fmt: skip
"""Words of which the last of a name says that it is a secret …"""
INSIDE = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "accesskey",
    "privatekey", "authorization",
)  # fmt: skip
"""… and what says so wherever it is in a name."""

CLOSED = (
    "scenario", "population", "demand", "trace", "platform", "engine", "telemetry", "faults",
    "thresholds", "schedule", "budget", "operator", "request",
)  # fmt: skip
"""Sections of the configuration whose keys are all known, none of them a secret."""

SCHEMES = ("basic", "bearer", "digest", "token", "apikey")

_USER = re.compile(r"(?<=://)[^\s\"'<>]*@")
_PARAMETER = re.compile(r"([\w.-]+)(\s*=\s*)('[^']*'|\"[^\"]*\"|[^&\s;,\"']+)")

_WORD = re.compile(r"[^\s'\"{}\[\],:=]+")

_learned: dict[str, None] = {}
"""Each secret of this process in every form in which it may turn up, the longest first."""


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", unquote(name))
    last = re.split(r"[^A-Za-z0-9]+", words.strip("'\" "))[-1].lower()
    joined = re.sub(r"[^a-z0-9]", "", name.lower())
    return last in WORDS or any(part in joined for part in INSIDE)


def sealed(tree: Any, name: str = "") -> Any:
    """A configuration's plain data with each secret as a SecretStr (other types as Secret).

    `name` is the key that `tree` stands at.
    """
    return _sealed(tree, _hides(name))


def revealed(tree: Any) -> Any:
    """The plain data again, for the adapter that needs it."""
    if isinstance(tree, Mapping):
        return {key: revealed(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [revealed(value) for value in tree]
    return tree.get_secret_value() if isinstance(tree, SecretStr | Secret) else tree


def recordable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A whole configuration as it may be written: a mark in the place of each secret."""
    return {
        key: _marked(_sealed(value, False, by_name=key not in CLOSED) if not _hides(key)
                     else sealed(value, key))
        for key, value in settings.items()
    }  # fmt: skip


def masked(text: str) -> str:
    """A text with a mark in place of what is secret in the URLs and DSNs in it."""
    return _PARAMETER.sub(
        lambda match: f"{match[1]}{match[2]}{MARK}" if is_secret_name(match[1]) else match[0],
        _USER.sub(f"{MARK}@", text),
    )


def command_line(program: Sequence[str], arguments: Sequence[str]) -> str:
    """The command as it may be written, to be typed again but for its secrets."""
    return shlex.join([*program, *map(shown, arguments)])


def shown(argument: str) -> str:
    """One argument of a command line, perhaps an override of Hydra's, as it may be written."""
    key, equals, text = argument.partition("=")
    if not equals:
        return masked(argument)
    if _is_secret_path(key):
        return f"{key}={MARK}"
    tree = _tree(argument)
    if tree is None:  # Hydra cannot read it: better too little than a secret
        return f"{key}={MARK}" if _is_suspect(text) else argument
    if any(True for _ in _secrets(tree)):
        return masked(argument) if _is_masked(argument, tree) else f"{key}={MARK}"
    return argument


def learn(tree: Any) -> None:
    """Know the secrets of a sealed configuration from now on, for `redacted`."""
    forms = {form for secret in _secrets(tree) for form in _forms(secret)}
    ordered = sorted({*_learned, *forms}, key=len, reverse=True)
    _learned.clear()
    _learned.update(dict.fromkeys(ordered))


def learn_arguments(arguments: Sequence[str]) -> None:
    """Know the secrets that were typed, before anything is made of them."""
    for argument in arguments:
        key, equals, text = argument.partition("=")
        tree = _tree(argument) if equals else sealed(argument)
        learn(tree)
        if equals and (_is_secret_path(key) or (tree is None and _is_suspect(text))):
            learn(SecretStr(text.strip("'\" ")))
            learn([SecretStr(word) for word in _WORD.findall(text) if not _says_little(word)])


def forget() -> None:
    """Know no secret any more."""
    _learned.clear()


def redacted(written: Any) -> Any:
    """What is about to be written, a mark in the place of each secret of this process.

    A text, or plain data whose texts are looked at; anything else stays as it is.
    """
    if not _learned:
        return written
    if isinstance(written, str):
        for secret in _learned:
            if secret in written:
                written = written.replace(secret, MARK)
        return written
    if isinstance(written, Mapping):
        return {key: redacted(value) for key, value in written.items()}
    if isinstance(written, list | tuple):
        return [redacted(value) for value in written]
    return written


def guard() -> None:
    """Let nothing that is logged, and no traceback of this process, show a secret."""
    for handler in logging.getLogger().handlers:
        handler.handleError = _not_written  # type: ignore[assignment]
        if not isinstance(handler.formatter, _Redacting):
            handler.setFormatter(_Redacting(handler.formatter or logging.Formatter()))
    sys.excepthook = _excepthook


def _not_written(_: logging.LogRecord) -> None:
    """What went wrong with a line of the log, if that can be said: its own words may be secret."""
    kind, error, trace = sys.exc_info()
    if kind is not None and error is not None:
        with contextlib.suppress(OSError, ValueError):  # stderr itself may be gone
            _excepthook(kind, error, trace)


class _Redacting(logging.Formatter):
    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return str(redacted(self._inner.format(record)))


def _excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    import traceback

    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, trace))))


def _hides(name: str) -> bool:
    return name.strip("'\" ").lower() in BELOW or is_secret_name(name)


def _sealed(value: Any, hidden: bool, *, by_name: bool = True) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _sealed(inner, hidden or (by_name and _hides(str(key))), by_name=by_name)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_sealed(inner, hidden, by_name=by_name) for inner in value]
    if isinstance(value, str):
        return SecretStr(value) if value and (hidden or masked(value) != value) else value
    if hidden and isinstance(value, int | float) and not isinstance(value, bool):
        return Secret(value)
    return value


def _marked(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _marked(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_marked(value) for value in tree]
    if isinstance(tree, SecretStr):
        text = tree.get_secret_value()
        return masked(text) if "://" in text and masked(text) != text else MARK
    return MARK if isinstance(tree, Secret) else tree


def _secrets(tree: Any) -> Iterator[str]:
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from _secrets(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _secrets(value)
    elif isinstance(tree, SecretStr | Secret):
        yield str(tree.get_secret_value())


def _forms(secret: str) -> Iterator[str]:
    """A secret, the secrets inside it, and how each looks where it was escaped."""
    parts = {secret}
    for match in _USER.finditer(secret):
        user, _, password = match[0][:-1].partition(":")
        parts |= {match[0][:-1], password or user}
        parts.add(base64.b64encode(unquote(match[0][:-1]).encode()).decode())
    parts |= {match[3].strip("'\"") for match in _PARAMETER.finditer(secret)
              if is_secret_name(match[1])}  # fmt: skip
    words = secret.split()
    if len(words) == 2 and words[0].lower() in SCHEMES:
        parts.add(words[1])
    for part in [*parts, *map(unquote, parts)]:
        for form in (
            part, quote(part), quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1],
            json.dumps(part, ensure_ascii=False)[1:-1], repr(part)[1:-1], shlex.quote(part),
        ):  # fmt: skip
            if len(form) >= SHORTEST:
                yield form


def _is_secret_path(key: str) -> bool:
    parts = [part for part in re.split(r"[./@]", key.strip("+~'\" ")) if part]
    return bool(parts) and parts[0] not in CLOSED and any(map(_hides, parts))


def _is_suspect(text: str) -> bool:
    """Whether a text that nobody can read may hold a secret."""
    names = re.findall(r"([\w.'\"-]+)\s*[:=]", text)
    return masked(text) != text or any(map(_hides, names))


def _says_little(word: str) -> bool:
    """Whether it is more likely the name of a secret than one."""
    return _hides(word) or word.lower() in SCHEMES


def _is_masked(argument: str, tree: Any) -> bool:
    """Whether the mark that URLs get is enough to hide all of its secrets."""
    left = masked(argument)
    return left != argument and all(
        masked(secret) != secret and secret not in left for secret in _secrets(tree)
    )


def _tree(argument: str) -> Any:
    """What an override sets, sealed; None where Hydra cannot read it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(argument)
        if override.is_sweep_override():
            return None
        value: Any = override.value()
    except HydraException:
        return None
    name = override.key_or_group.rpartition(".")[2]
    in_closed = override.key_or_group.partition(".")[0] in CLOSED
    return _sealed(value, not in_closed and _hides(name), by_name=not in_closed)
