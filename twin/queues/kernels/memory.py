"""The memory that an instance is measured to use: it follows the utilisation, slowly."""

from __future__ import annotations

import math

from twin.queues.kernels.compiling import kernel

IDLE = 0.30
PER_UTILISATION = 0.45
TIME_S = 60.0


@kernel
def memory_used(before: float, utilisation: float, sample_s: int) -> float:
    """Share (0-1) of the memory in use at the end of a sample, `before` at its beginning.

    It approaches IDLE + PER_UTILISATION * utilisation exponentially; at once where nothing was
    measured before (0).
    """
    memory = IDLE + PER_UTILISATION * utilisation
    if before > 0.0:
        memory += (before - memory) * math.exp(-sample_s / TIME_S)
    return memory
