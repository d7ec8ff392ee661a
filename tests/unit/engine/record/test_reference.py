"""What the documentation says of the record is what the schema says."""

from __future__ import annotations

from pathlib import Path

from engine.record.schema.paths import RunScope, possible
from engine.record.schema.reference import markdown

DOCUMENT = Path(__file__).parents[4] / "docs" / "reference" / "record.md"


def test_the_tables_of_the_documentation_are_those_of_the_schema() -> None:
    _, _, tables = DOCUMENT.read_text(encoding="utf-8").partition("-->\n\n")
    assert tables == markdown(), "make them again: python -m engine.record.schema"


def test_every_figure_that_a_limit_can_be_set_on_is_documented() -> None:
    scope = RunScope("twin", ("SERVICE",), horizons=("SECONDS",), faults=("FAULT",),
                  reasons=("REASON",))  # fmt: skip
    missing = [path for path in possible(scope) if f"| `{path}` | number |" not in markdown()]
    assert missing == []
