"""`python -m engine.monitoring`: the catalogue of `docs/guides/monitoring.md`, made of the code."""

from __future__ import annotations

from engine.monitoring.reference import catalogue

print(catalogue(), end="")
