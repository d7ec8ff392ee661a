"""`python -m engine.record.schema`: the tables of `docs/record.md`, made of the schema."""

from __future__ import annotations

from engine.record.schema.reference import markdown

print(markdown(), end="")
