"""The page with the mutants that may live, each with the reason why no test notices it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

Key = tuple[str, str, str, str, int]

HEAD = """\
# Mutants that live

`make mutants` spoils the decision code and the runtime in one place after the other and runs the
unit and property tests that reach it ([why, and how](../decisions/0009-our-own-mutants.md)).
These mutants live: no test notices them, for the reason given. A full run fails when one lives
that is not listed here with a reason; `make mutants ARGS=--update` renews the list and keeps the
reasons.
"""

NO_REASON = "(no reason given yet)"

_ENTRY = re.compile(
    r"^- (?:`(?P<function>[^`]*)`: )?``? ?(?P<before>.*?) ?``? → "
    r"(?:``? ?(?P<after>.*?) ?``?|nothing)(?: #(?P<occurrence>\d+))?$"
)


def read(page: Path) -> dict[Key, str]:
    """The reason of each listed mutant; empty when there is no page.

    Raises ValueError for an entry that cannot be read.
    """
    reasons: dict[Key, str] = {}
    module, key = "", None
    lines = page.read_text("utf-8").splitlines() if page.exists() else []
    for number, line in enumerate(lines, start=1):
        if line.startswith("## "):
            module, key = line[3:].strip("` "), None
        elif line.startswith("- "):
            entry = _ENTRY.match(line)
            if entry is None:
                raise ValueError(f"{page}, line {number}: not an entry of the list: {line}")
            key = (
                module,
                entry["function"] or "",
                entry["before"],
                entry["after"] or "",
                int(entry["occurrence"] or 1),
            )
            reasons[key] = ""
        elif key is not None and line.startswith("  "):
            reasons[key] = f"{reasons[key]} {line.strip()}".strip()
    return {key: "" if reason == NO_REASON else reason for key, reason in reasons.items()}


def write(page: Path, survivors: Iterable[Key], reasons: Mapping[Key, str]) -> None:
    """Write the page anew, with the reasons there are."""
    text = [HEAD]
    for module, keys in groupby(sorted(set(survivors)), key=lambda key: key[0]):
        text.append(f"\n## `{module}`\n\n")
        text += [f"{_entry(key)}\n  {reasons.get(key) or NO_REASON}\n" for key in keys]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("".join(text), "utf-8")


def _entry(key: Key) -> str:
    _, function, before, after, occurrence = key
    where = f"`{function}`: " if function else ""
    again = f" #{occurrence}" if occurrence > 1 else ""
    return f"- {where}{_code(before)} → {_code(after) if after else 'nothing'}{again}"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"
