"""What drives the engine in a hunt, and what goes wrong: names alone, so that `--help` is quick."""

from __future__ import annotations

SIMULATED = "simulated"
"""The SimPy process of the twin."""

LIVE = "live"
"""The asyncio loop of production, on a virtual clock."""

SHELLS = (SIMULATED, LIVE)

PLATFORM = "platform"
"""Whatever goes wrong with the platform, its messages and the engine."""

METRICS = "metrics"
"""What the engine is shown is wrong, and nothing else."""

ADVERSARIES = (PLATFORM, METRICS)
