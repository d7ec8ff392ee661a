"""Clients that try again after their requests have ended badly."""

from __future__ import annotations

from twin.queues.kernels.compiling import part
from twin.queues.kernels.fluid.layout import DUST, Fluid, Turn
from twin.queues.kernels.services import RETRIES, RETRY_SHARE


@part
def try_again(fluid: Fluid, turn: Turn, level: int, amount: float) -> None:
    """Schedule the retries of `amount` requests of one attempt level that ended badly.

    A share of them comes again, spread over the ticks by the clients' backoff; calls from services
    (the last level) do not.
    """
    s, tick = turn
    spec, retries = fluid.spec, fluid.retries
    if amount <= 0.0 or level >= spec[s, RETRIES] or level == retries.shape[2] - 1:
        return
    amount *= spec[s, RETRY_SHARE]
    if amount < DUST:
        return
    delays = retries.shape[1]
    for delay in range(1, delays):
        share = fluid.backoff[s, level, delay]
        if share > 0.0:
            retries[s, (tick + delay) % delays, level + 1] += amount * share
