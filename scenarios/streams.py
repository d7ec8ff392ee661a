"""Randomness: one independent stream for each entity and purpose.

A stream's seed follows from the run's seed and the stream's own name, not from how many streams
were asked for before it.  So taking a fault out of a scenario, or changing a controller, leaves
every other draw as it was, and two controllers can be compared under common random numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

StreamOf = Callable[[str], np.random.Generator]
"""Gives the random generator of a purpose; each purpose has its own, independent of all others."""


class Streams:
    """Generators by name, all spawned from one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, name: str) -> np.random.Generator:
        """A fresh generator for `name`; the same name gives the same draws again."""
        return np.random.Generator(np.random.Philox(self._sequence(name)))

    def quick(self, name: str) -> np.random.Generator:
        """The same for the many millions of draws of single requests: SFC64 takes half the time."""
        return np.random.Generator(np.random.SFC64(self._sequence(name)))

    def child(self, name: str) -> Streams:
        """Streams of another world, as independent of this one's as of any other."""
        return Streams(int(self._sequence(name).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def _sequence(self, name: str) -> np.random.SeedSequence:
        digest = hashlib.blake2b(name.encode(), digest_size=16).digest()
        key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
        return np.random.SeedSequence(entropy=self.seed, spawn_key=key)
