"""`python -m engine.record.schema`: the tables of `docs/reference/record.md`, of the schema."""

from __future__ import annotations

from engine.record.schema.reference import markdown

print(markdown(), end="")
