"""What the documentation says of the engine's own metrics is what it shows."""

from __future__ import annotations

from pathlib import Path

from engine.api.routes.exposition import FAMILIES, markdown


def test_the_reference_is_made_of_the_code(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    made = text.partition("-->\n\n")[2]
    assert made == markdown(), "make it again: python -m twin.reference metrics"


def test_each_family_is_in_it_with_its_type_and_labels() -> None:
    rows = markdown().splitlines()[2:]
    assert len(rows) == len(FAMILIES) == len({one.name for one in FAMILIES})
    assert "| `wedtwin_steps_total` | counter |  | Steps that were made |" in rows
    assert "| `wedtwin_instances` | gauge | `service`, `what` | Instances by what they do |" in rows
