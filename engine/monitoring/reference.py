"""The alert catalogue of `docs/guides/monitoring.md` in words: every kind of finding."""

from __future__ import annotations

from engine.monitoring.findings import CATALOGUE


def catalogue() -> str:
    """The table of all kinds."""
    rows = [f"| `{kind}` | {entry.means} | {entry.advice} |" for kind, entry in CATALOGUE.items()]
    return "\n".join(["| finding | said when | what to do |", "| --- | --- | --- |", *rows]) + "\n"
