"""`python -m engine.monitoring`: the alert catalogue of `docs/monitoring.md`, made of the code."""

from __future__ import annotations

from engine.monitoring.reference import catalogue

print(catalogue(), end="")
