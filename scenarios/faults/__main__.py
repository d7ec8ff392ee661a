"""`python -m scenarios.faults`: the kinds of fault for `docs/reference/faults.md`, of the code."""

from __future__ import annotations

from scenarios.faults.reference import markdown

print(markdown(), end="")
