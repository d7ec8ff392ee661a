"""What the documentation says of the keys is what their types say."""

from __future__ import annotations

from pathlib import Path

from twin.reference.keys import markdown


def test_the_reference_is_made_of_the_code(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "keys.md").read_text(encoding="utf-8")
    assert text.partition("-->\n\n")[2] == markdown(), (
        "make it again: python -m twin.reference keys"
    )


def test_every_key_says_what_it_is() -> None:
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert len(rows) > 400
    assert [row for row in rows if row.endswith("|  |")] == []
