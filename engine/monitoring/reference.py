"""The alert catalogue in words, for `docs/monitoring.md`: every kind of finding, from the code."""

from __future__ import annotations

from engine.monitoring.findings import CATALOGUE


def catalogue() -> str:
    """The table of all kinds."""
    rows = [f"| `{kind}` | {entry.means} | {entry.advice} |" for kind, entry in CATALOGUE.items()]
    return "\n".join(["| finding | said when | what to do |", "| --- | --- | --- |", *rows]) + "\n"
