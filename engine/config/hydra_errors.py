"""Hydra's own complaints, said as this tool says all others: which key, what is allowed."""

from __future__ import annotations

import contextlib
import difflib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from engine.config.complaints import close
from engine.config.strict import ConfigError
from engine.config.tree import groups, keys, packaged_choices

OPEN = (
    "thresholds", "faults", "trace.mix", "live.thresholds", "pricing.discount_by_service",
    "metrics.parameters", "metrics.headers", "metrics.names",
)  # fmt: skip
"""Mappings that take new keys, which Hydra wants to be said with a plus sign."""

EXTRAS = {"hydra/sweeper/optuna": "tune"}
"""Choices that Hydra knows only when an extra of this project is installed."""

CAUGHT = (HydraException, OmegaConfBaseException)


def explain(
    error: Exception, arguments: Sequence[str], root: str = "twin", own: Sequence[str] = ()
) -> str:
    """One clear message for an error of Hydra or OmegaConf.

    `root` is the file that the tree begins at, `own` are keys that the command takes besides.
    """
    text = str(error).strip()
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    several = re.search(
        r"Ambiguous value for argument '(.+)'|Sweep parameters '(.+)' requires", text
    )
    if several:
        return _several(several.group(1) or several.group(2))
    missing = re.search(r"Could not find '([\w-]+)/([^']+)'", text) or re.search(
        r"Cannot find primary config '()([^']+)'", text
    )
    if missing and missing.group(1):
        group, _, name = f"{missing.group(1)}/{missing.group(2)}".rpartition("/")
        if extra := EXTRAS.get(f"{group}/{name}"):
            return f"{group}: \"{name}\" is not installed: pip install 'wedtwin[{extra}]'"
        allowed = choices(group, arguments)
        return f'{group}: "{name}" is not allowed ({", ".join(allowed)}){close(name, allowed)}'
    refused = re.search(r"Could not override '([^']+)'", text)
    if refused:
        key = refused.group(1)
        if key in OPEN:
            return f"{key}: to add an entry to it, write +{key}.NAME=…"
        if key.rpartition(".")[0] in OPEN:
            return f"{key}: is not there yet; to add it, write +{key}=…"
        return unknown(key, root, arguments, own)
    unknown_group = re.search(r"In '[^']*': Could not find '([^']+)'", text)
    if unknown_group:
        return f'"{unknown_group.group(1)}" is not there; groups: {", ".join(groups())}'
    if "Interpolation" in text or "interpolation" in text:
        text += "\nFor a text with ${ in it, write \\${"
    # What Hydra advises to do stands in the lines below the first.
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n  ".join(lines) if lines else type(error).__name__


def check(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a word that Hydra would meet with a traceback.

    That is one without a key, and a choice of a group that is a number or a mapping.
    """
    for word in arguments:
        group, equals, value = word.partition("=")
        if not group and equals:
            raise ConfigError(_unreadable(word))
        if equals and group in groups() and re.fullmatch(r"-?[\d.]+|\{.*\}|true|false", value):
            allowed = choices(group, arguments)
            raise ConfigError(f'{group}: "{value}" is not allowed ({", ".join(allowed)})')


def _unreadable(word: str) -> str:
    """What may be meant by a word that Hydra cannot read, and how to write that."""
    key, _, value = word.partition("=")
    quoted = quote(word)
    if not key or not quoted:
        return f'"{word}" cannot be read; write it as key=value'
    more = ""
    if value[:1] in ("[", "{"):
        more = "A list is written [a,b], a mapping {a: b}, each bracket closed. "
    return (
        f'"{word}" cannot be read: marks such as = , : # ; & ( [ {{ and quotes mean something in a '
        f"value. {more}To have them as text, quote it, once for the shell as well: {quoted}"
    )


def _several(word: str) -> str:
    """What may be meant by a value that Hydra could sweep over, and how to write each."""
    key, _, value = word.partition("=")
    meant = f"to run it with each, add -m: python -m twin run -m {shlex.quote(word)}"
    quoted = quote(word)
    if not re.fullmatch(r"\w+\(.*\)", value) and quoted:
        meant += (
            f"; for a list write {shlex.quote(f'{key}=[{value}]')}; for this very text {quoted}"
        )
    return f"{word}: is several values, and here one is needed; {meant}"


def quote(word: str) -> str:
    """The word as one types it for the value to be that very text; "" where that cannot be."""
    key, equals, value = word.partition("=")
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)
    escaped += "\\" * (len(escaped) - len(escaped.rstrip("\\")))
    candidate = f'{key}{equals}"{escaped}"'
    try:
        read = OverridesParser.create().parse_override(candidate)
    except HydraException:
        return ""
    return shlex.quote(candidate) if equals and str(read.value()) == value else ""


def choices(group: str, arguments: Sequence[str]) -> list[str]:
    """Names that a group offers, those of a `--config-dir` too."""
    names = set(packaged_choices(group))
    if group.startswith("hydra/"):
        Plugins.instance()  # each plugin stores its configuration when it is found
        with contextlib.suppress(OSError):  # there is no such group
            stored = ConfigStore.instance().list(group)
            names.update(name.removesuffix(".yaml") for name in stored if name.endswith(".yaml"))
    for folder in _config_dirs(arguments):
        names.update(path.stem for path in (folder / group).glob("*.yaml"))
    return sorted(names)


def unknown(key: str, root: str, arguments: Sequence[str] = (), own: Sequence[str] = ()) -> str:
    """Which key is not there, and which are: near ones, else those beside it.

    `own` are keys that the command takes besides the tree of `root`.
    """
    there = [*own, *keys(root, _chosen(arguments))]
    parent, _, last = key.rpartition(".")
    beside = [other for other in there if other.rpartition(".")[0] == parent]
    leaves = {other.rpartition(".")[2]: other for other in beside}
    near = [other for other in there if other.endswith(f".{last}")][:3]
    near = near or [leaves[leaf] for leaf in difflib.get_close_matches(last, leaves, 3, 0.5)]
    if near:
        return f"{key}: unknown key; did you mean {' or '.join(near)}?"
    return f"{key}: unknown key" + (
        f" (allowed: {', '.join(beside)})" if beside else close(key, there)
    )


def _chosen(arguments: Sequence[str]) -> dict[str, str]:
    """The choices of groups among the arguments."""
    words = (argument.partition("=") for argument in arguments)
    return {key: value for key, _, value in words if key in groups()}


def _config_dirs(arguments: Sequence[str]) -> list[Path]:
    folders = []
    for i, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd") and i + 1 < len(arguments):
            folders.append(Path(arguments[i + 1]))
        elif argument.startswith("--config-dir="):
            folders.append(Path(argument.partition("=")[2]))
    return folders
