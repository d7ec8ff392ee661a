"""The seeds of replications.  Apart from what runs them, as whoever only counts needs no more."""

from __future__ import annotations

import numpy as np


def seed_of(seed: int, number: int) -> int:
    """The seed of replication `number`: 63 bits of the `number`-th child of `seed`."""
    if number == 0:
        return seed
    child = np.random.SeedSequence(seed, spawn_key=(number - 1,))
    return int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))
