"""What drives the engine in a hunt: names alone, so that the command answers `--help` at once."""

from __future__ import annotations

SIMULATED = "simulated"
"""The SimPy process of the twin."""

LIVE = "live"
"""The asyncio loop of production, on a virtual clock."""

SHELLS = (SIMULATED, LIVE)
