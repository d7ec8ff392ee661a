"""The words of a command line, taken apart once for every command: `key=value` and `--config-dir`.

A command has words of its own (`controllers=[…]`, `date=…`); those with a configuration tree pass
all others on, as overrides of it, in Hydra's grammar (`group=NAME`, `+key=value`, `~key`).  What is
neither is refused here, with what is allowed and what is near, before anything else is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.config.complaints import close
from engine.config.strict import ConfigError

CONFIG_DIR = "--config-dir"


@dataclass(frozen=True, slots=True)
class Assignments:
    """A command line: the words of the command itself, and those for the tree in their order."""

    own: Mapping[str, str] = field(default_factory=dict)
    """Key and value; no value is empty, quotes around one are gone."""
    overrides: tuple[str, ...] = ()
    config_dirs: tuple[str, ...] = ()
    """Folders of the user's, which are there."""


def read(
    arguments: Sequence[str],
    own: Sequence[str] = (),
    *,
    tree: bool = True,
    config_dirs: bool = False,
    refused: Mapping[str, str] | None = None,
) -> Assignments:
    """Take apart `arguments`; `own` are the keys of the command itself.

    `tree` says whether there is a configuration that other keys may be of, `config_dirs` whether
    that is searched in further folders; `refused` gives the reason why a key of the tree may not be
    given.  Raises ConfigError for a word that cannot be read, an unknown option, a folder that is
    not there, and a key that is unknown, refused, empty, or given twice.
    """
    given: dict[str, str] = {}
    overrides: list[str] = []
    folders: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        if config_dirs and key == CONFIG_DIR:
            folders.append(_folder(value if equals else rest.pop(0) if rest else ""))
        elif word.startswith("-"):
            allowed = [CONFIG_DIR, "--help"] if config_dirs else ["--help"]
            hint = close(key, allowed) or f" (allowed: {', '.join(allowed)})"
            raise ConfigError(f"{key}: unknown option{hint}")
        elif not key or not (equals or (tree and key.startswith("~"))):
            raise ConfigError(f'"{word}" cannot be read; write it as key=value{_keys(own, tree)}')
        elif key in own:
            if key in given:
                raise ConfigError(f"{key}: is given twice")
            given[key] = _unquoted(value.strip())
            if not given[key]:
                raise ConfigError(f"{key}: is empty")
        elif not tree:
            hint = close(key, own) or f" (allowed: {', '.join(own)})"
            raise ConfigError(f"{key}: unknown key{hint}")
        else:
            bare = key.lstrip("+~")
            if reason := (refused or {}).get(bare):
                raise ConfigError(f"{bare}: {reason}")
            overrides.append(word)
    return Assignments(given, tuple(overrides), tuple(folders))


def whole(key: str, text: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`; raises ConfigError."""
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ConfigError(f"{key}: {text} is not allowed ({low:,} … {high:,}, whole)")
    return value


def listed(key: str, text: str) -> list[str]:
    """The items of `A,B` or `[A,B]`, none of them empty; raises ConfigError."""
    inside = text.strip()
    if inside.startswith("[") != inside.endswith("]"):
        raise ConfigError(f'{key}: "{text}" cannot be read; write {key}=[A,B]')
    inside = inside.removeprefix("[").removesuffix("]").strip()
    items = [item.strip() for item in inside.split(",")] if inside else []
    if not all(items):
        raise ConfigError(f'{key}: "{text}" cannot be read; write {key}=[A,B]')
    if len(set(items)) != len(items):
        raise ConfigError(f"{key}: each one once")
    return items


def _folder(text: str) -> str:
    if not text:
        raise ConfigError(f"{CONFIG_DIR}: give a folder")
    if not Path(text).is_dir():
        raise ConfigError(f"{CONFIG_DIR}: {text} is no folder")
    return text


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _keys(own: Sequence[str], tree: bool) -> str:
    if not own:
        return ""
    return f" ({', '.join(f'{key}=' for key in own)}{' and the like' if tree else ''})"
