"""The walk over ticks and services, and what a crash takes."""

from __future__ import annotations

from typing import Any

from twin.queues.kernels.compiling import entry, part
from twin.queues.kernels.fluid.answering import answer
from twin.queues.kernels.fluid.layout import FAILED, LOST, Fluid, Turn
from twin.queues.kernels.fluid.moving import move
from twin.queues.kernels.fluid.retrying import try_again
from twin.queues.kernels.fluid.sampling import report


@entry
def advance(ticks: tuple[int, int], samples: tuple[int, float], arrays: tuple[Any, ...]) -> None:
    """Advance all services through the ticks of one second from the first to before the last.

    `samples` is their length in ticks and the time of tick 0 (s since the epoch), `arrays` a
    `Fluid` as a plain tuple, changed in place.
    """
    fluid = Fluid(*arrays)
    sample_s, start_s = samples
    services = fluid.spec.shape[0]
    for tick in range(ticks[0], ticks[1]):
        fluid.incoming[:] = 0.0
        for i in range(services):
            s = fluid.order[i]
            move(fluid, Turn(s, tick))
            call(fluid, s)
        for i in range(services - 1, -1, -1):
            answer(fluid, Turn(fluid.order[i], tick))
        if (tick + 1) % sample_s == 0:
            sample = (tick + 1) // sample_s - 1
            for s in range(services):
                fluid.metrics[s, sample, 0] = start_s + tick + 1
                report(fluid, s, sample, sample_s)


@part
def call(fluid: Fluid, s: int) -> None:
    """The calls of what finished arrive at the callees, in the same tick."""
    calls, incoming = fluid.calls, fluid.incoming
    finished = 0.0
    for level in range(fluid.done.shape[1]):
        finished += fluid.done[s, level]
    if finished > 0.0:
        for callee in range(fluid.spec.shape[0]):
            incoming[callee, 0] += calls[0, s, callee] * finished
            incoming[callee, 1] += calls[1, s, callee] * finished


@entry
def lose(s: int, tick: int, share: float, arrays: tuple[Any, ...]) -> None:
    """Fail `share` (0-1) of what is in service of `s`, after the ticks before `tick`.

    `arrays` is a `Fluid` as a plain tuple, changed in place.
    """
    fluid = Fluid(*arrays)
    for level in range(fluid.in_service.shape[1]):
        lost = fluid.in_service[s, level] * share
        fluid.in_service[s, level] -= lost
        fluid.state[s, FAILED] += lost
        fluid.state[s, LOST] += lost
        try_again(fluid, Turn(s, tick - 1), level, lost)
