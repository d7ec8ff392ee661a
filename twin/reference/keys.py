"""`docs/reference/keys.md`: the keys of a run of the twin, and of a live run."""

from __future__ import annotations

from engine.config.composition import composed
from engine.config.keys import keys_of, table
from engine.config.live import LiveConfig
from twin.config import RunConfig

ELSEWHERE = {
    "faults": "[the faults](faults.md), each under a name",
    "sweep.name": "of the folder that a sweep writes; by itself the time",
}
"""Keys that another page describes, and one whose default is another each time."""


def markdown() -> str:
    """Two tables: all keys of a run, and those that only a live run has."""
    run = list(keys_of(RunConfig, composed([]), ELSEWHERE))
    there = {key.path for key in run}
    live = [key for key in keys_of(LiveConfig, composed([], root="live")) if key.path not in there]
    return (
        f"## A run of the twin\n\n{table(run)}\n## Live besides\n\n"
        f"What a live run has and a run of the twin has not.\n\n{table(live)}"
    )
