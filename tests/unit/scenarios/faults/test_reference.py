"""What the documentation says of the kinds of fault is what their classes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.faults.reference import PARTS, markdown
from scenarios.faults.registry import KINDS


def test_the_reference_is_made_of_the_code(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
    assert text.partition("-->\n\n")[2] == markdown(), "make it again: python -m scenarios.faults"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_in_it_and_spoils_a_part(kind: str) -> None:
    assert f"### `{kind}`" in markdown()
    assert KINDS[kind].spoils in PARTS
