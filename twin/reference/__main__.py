"""`python -m twin.reference`: the tables of `docs/reference/keys.md`, of the code."""

from __future__ import annotations

from twin.reference.keys import markdown

print(markdown(), end="")
